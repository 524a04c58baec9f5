"""What the sender of a datagram may do: the kernel says who it is, ``[mi] roles`` what that means.

Owns users and groups as numbers, looked up when the configuration is read and never for a datagram: a directory that
hangs must stop nobody. Must not know methods. Authority: unix(7), SCM_CREDENTIALS (SO_PEERCRED's kin for datagrams).
"""

import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bridge.errors import ConfigError
from bridge.protocol.caller import Caller, Role

_UCRED: Final = struct.Struct("3i")  # pid, uid, gid
# For these and nothing else: file descriptors that somebody sends along find no room, and the kernel closes them.
CREDENTIALS_SPACE: Final = socket.CMSG_LEN(_UCRED.size)
_ALL_USERS: Final = ["0", "0", "4294967295"]


class Grant(NamedTuple):
    """``users`` and ``groups`` are names or numbers."""

    role: Role
    users: Iterable[str]
    groups: Iterable[str]


@dataclass(slots=True)
class PeerRoles:
    """The rules as they are now; ``replace`` them at a reload. As made, senders may do everything."""

    _kinds: Mapping[str, Role] = field(default_factory=dict)
    _users: Mapping[int, Role] | None = None  # None: no role names users or groups, and the file's mode decides alone
    _groups: Mapping[int, Role] = field(default_factory=dict)

    def replace(self, kinds: Mapping[str, Role], grants: Iterable[Grant]) -> None:
        """``kinds``: what those may do of whom the kernel says nothing. Raises ConfigError for a user or group that is
        not there; nothing has changed then.
        """
        users: dict[int, Role] = {}
        groups: dict[int, Role] = {}
        for grant in grants:
            for gid, members in (_group(name, grant.role) for name in grant.groups):
                _raise_to(groups, gid, grant.role)
                for uid in members:
                    _raise_to(users, uid, grant.role)
            for name in grant.users:
                _raise_to(users, _user(name, grant.role), grant.role)
        named = bool(users or groups)
        users[0] = users[os.geteuid()] = Role.EVERYTHING  # who can read the tokens anyway
        self._kinds, self._users, self._groups = kinds, users if named else None, groups

    @property
    def blind(self) -> bool:
        """Whether users are named whom this process may not be able to tell apart: it is in a user namespace, as
        systemd's PrivateUsers= makes one, and the kernel shows all who are not mapped there as one.
        """
        if self._users is None:
            return False
        try:
            with open("/proc/self/uid_map", encoding="ascii") as file:
                return file.read().split() != _ALL_USERS
        except OSError:
            return False

    def of(self, kind: str) -> Caller:
        """A sender of whom the kernel says nothing: who wrote to the FIFO, or sent a UDP datagram, which is somebody on
        this machine: it has millions of loopback addresses.
        """
        return Caller(self._kinds.get(kind, Role.EVERYTHING), kind)

    def of_unix(self, ancillary: Iterable[tuple[int, int, bytes]]) -> Caller:
        """The sender of a unix datagram, of the ancillary data that came with it."""
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(data) == _UCRED.size:
                _pid, uid, gid = _UCRED.unpack(data)
                if self._users is None:
                    return Caller(Role.EVERYTHING, f"uid {uid}")
                role = max(self._users.get(uid, Role.NONE), self._groups.get(gid, Role.NONE))
                return Caller(role, f"uid {uid}")
        return Caller(Role.EVERYTHING if self._users is None else Role.NONE, "a sender without credentials")


def _raise_to(roles: dict[int, Role], number: int, role: Role) -> None:
    roles[number] = max(roles.get(number, Role.NONE), role)


def _user(name: str, role: Role) -> int:
    return _number(name, lambda: pwd.getpwnam(name).pw_uid, "user", role)


def _group(name: str, role: Role) -> tuple[int, list[int]]:
    """Its number and its members; those whose primary group it is show it themselves."""
    gid = _number(name, lambda: grp.getgrnam(name).gr_gid, "group", role)
    try:
        members = grp.getgrgid(gid).gr_mem
    except KeyError:
        return gid, []
    found = []
    for member in members:
        try:
            found.append(pwd.getpwnam(member).pw_uid)
        except KeyError:  # listed, but gone
            continue
    return gid, found


def _number(name: str, look_up: Callable[[], int], kind: str, role: Role) -> int:
    if name.isascii() and name.isdecimal() and len(name) <= 10:
        return int(name)
    try:
        return look_up()
    except (KeyError, ValueError):
        raise ConfigError(f"role {role}: there is no {kind} {name!r}") from None
