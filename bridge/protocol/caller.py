"""Who calls an MI method, and what the method needs to be called by.

Owns the roles and their order: who has one may do what the lower ones may. Must not know how a caller proves who it is
(that is each transport's), or any method. Authority: ``[mi] roles``; docs/security.md.
"""

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
