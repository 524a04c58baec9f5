"""Who calls an MI method, and what the method needs to be called by.

Owns the roles and their order: who has one may do what the lower ones may. Must not know how a caller proves who it is
(that is each transport's), or any method. Authority: ``[mi] roles``; docs/security.md.
"""

import functools
import ipaddress
from enum import IntEnum
from typing import Final, NamedTuple


class Role(IntEnum):
    """``NONE`` may nothing; it is the caller that a door lets in and no role names."""

    NONE = 0
    READ_ONLY = 1
    COMMANDS = 2
    EVERYTHING = 3

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


# As they are written in the configuration.
ROLES: Final = {str(role): role for role in Role if role is not Role.NONE}


class Caller(NamedTuple):
    """``name`` tells callers apart, in logs and for limits per caller: an address, ``uid 1000``, ``fifo``."""

    role: Role
    name: str


@functools.lru_cache(maxsize=1024)
def client_of(peer: str) -> str:
    """The name of whoever is behind an IP address. Who can take many addresses at will is one client under all of them:
    this machine, a /64 of IPv6.
    """
    address = ip_address(peer)
    if address.is_loopback:
        return "loopback"
    return str(address) if address.version == 4 else str(ipaddress.IPv6Network((int(address), 64), strict=False))


def ip_address(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address of a socket; one of IPv4 that came over IPv6 is one of IPv4."""
    address = ipaddress.ip_address(peer)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
