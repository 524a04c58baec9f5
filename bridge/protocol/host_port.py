"""``HOST:PORT``, the same wherever it is written: IPv6 in brackets, a host name as resolvers take it.

Owns these texts, in both directions. Must not know which host or port is meant for what. Authority: RFC 3986 3.2.2 and
RFC 6874 (zones), RFC 1123 2.1.
"""

import ipaddress
import re
from typing import TypeAlias

from bridge.protocol.numbers import read_port

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# What getaddrinfo and TLS take without an exception: labels of 1 to 63 characters, 253 in all. An underscore is in no
# host name (RFC 952), but names in container networks have it.
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\.?")
_ZONE = re.compile(r"[A-Za-z0-9_.-]{1,15}")  # an interface's name or number


def read_host(text: str) -> str:
    """A host name, an IPv4 address or an IPv6 one in brackets, which it loses. Raises ValueError."""
    if text.startswith("["):
        try:
            address = ipaddress.IPv6Address(text[1:].removesuffix("]").replace("%25", "%", 1))  # RFC 6874
        except ValueError:
            address = None
        if address is None or not text.endswith("]") or not _ZONE.fullmatch(address.scope_id or "none"):
            raise ValueError(f"host {text!r} is not an IPv6 address in brackets")
        return str(address)
    if not _HOST.fullmatch(text):
        raise ValueError(f"host {text!r} is empty or not a host name")
    return text


def read_host_port(text: str, *, least: int = 1) -> tuple[str, int]:
    """``HOST:PORT``, the port from ``least``; 0 asks a listener for a free one. Raises ValueError with one line that
    names the part at fault.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("there is no port")
    number = read_port(port, least)
    if ":" in host and not host.startswith("["):
        raise ValueError(f"IPv6 is written in brackets, [::1]:{'PORT' if number is None else number}")
    host = read_host(host)
    if number is None:
        raise ValueError(f"port {port!r} is not a number {'from 1' if least else 'up'} to 65535")
    return host, number


def bracketed(host: str) -> str:
    """A host as it stands in front of ``:PORT``."""
    return f"[{host}]" if ":" in host else host
