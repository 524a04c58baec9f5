"""What a configuration names on this machine: PEM files, folders, groups. Is it there, and can it be used?

Owns the look at them for ``check``: ``run`` meets each only when it needs it. Creates and binds nothing.
"""

import grp
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from bridge.config import Config, MiSettings
from bridge.daemon.listeners import server_context
from bridge.errors import ConfigError, ConnectFailed
from bridge.protocol.caller import Role
from bridge.protocol.mi_address import UnixAddress, parse_datagram_address
from bridge.transport.peer_roles import Grant, PeerRoles
from bridge.transport.tls import client_context

_OF_THE_UNIT = "/run/janus-bridge"  # systemd makes it when it starts the unit, and removes it afterwards

_PROTECTED_FIFOS = Path(
    "/proc/sys/fs/protected_fifos"
)  # proc(5): 1 is about folders that all may write, 2 the group, too


def faults(config: Config) -> Iterator[str]:
    """One line each: section, key, and what is wrong there."""
    try:
        server_context(config.mi)
    except ConfigError as exc:
        yield str(exc)
    yield from _names(config.mi)
    for janus_id, gateway in config.janus.gateways.items():
        try:
            client_context(gateway.tls_ca, gateway.tls_cert, gateway.tls_key)
        except ConnectFailed as exc:
            yield f"[janus.gateways.{janus_id}] {exc.reason}"


def doubts(mi: MiSettings) -> Iterator[str]:
    """What works for some users and not for others."""
    if mi.fifo is None:
        return
    folder = os.path.dirname(mi.fifo)
    try:
        mode, protection = os.stat(folder).st_mode, int(_PROTECTED_FIFOS.read_text())
    except (OSError, ValueError):
        return
    writable = mode & stat.S_IWOTH or (protection > 1 and mode & stat.S_IWGRP)
    if protection and mode & stat.S_ISVTX and writable:
        yield (
            f"[mi] fifo {mi.fifo}: {folder} is sticky and fs.protected_fifos is {protection}, so that clients of other "
            f"users, which open it with O_CREAT, are refused; {_OF_THE_UNIT} is a place for it"
        )


def _names(mi: MiSettings) -> Iterator[str]:
    addresses = map(parse_datagram_address, mi.datagram)
    paths = [("datagram", address.path) for address in addresses if isinstance(address, UnixAddress)]
    if mi.fifo is not None:
        paths += [("fifo", mi.fifo), ("fifo_reply_dir", f"{mi.fifo_reply_dir}/.")]
    for key, path in paths:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder) and folder != _OF_THE_UNIT:
            yield f"[mi] {key} {path}: there is no folder {folder}"
    try:
        PeerRoles().replace(Role.NONE, Role.NONE, [Grant(one.role, one.users, one.groups) for one in mi.roles])
    except ConfigError as exc:
        yield f"[mi] roles: {exc}"
    if mi.unix_group is not None and not mi.unix_group.isdecimal():
        try:
            grp.getgrnam(mi.unix_group)
        except KeyError:
            yield f"[mi] unix_group {mi.unix_group}: there is no such group"
