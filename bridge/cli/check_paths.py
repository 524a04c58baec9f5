"""What a configuration names on this machine: PEM files, folders, groups. Is it there, and can it be used?

Owns the look at them for ``check`` and ``run --check``: ``run`` meets each only when it needs it. Creates and binds
nothing.
"""

import dataclasses
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridge.config import Config, MiSettings
from bridge.daemon.database import require_room
from bridge.daemon.listeners import server_context
from bridge.errors import ConfigError, ConnectFailed
from bridge.protocol.mi_address import UnixAddress, parse_datagram_address
from bridge.transport.peer_roles import Grant, PeerRoles
from bridge.transport.state_dir import StateDir
from bridge.transport.tls import client_context
from bridge.transport.unix_path import gid_of, require_member

_OF_THE_UNIT = "/run/janus-bridge"  # systemd makes it when it starts the unit, and removes it afterwards

_NAMES_FILE = re.compile("(_ca|_cert|_key|_file)$")
_CREDENTIALS = "/run/credentials/"  # systemd's, for the unit alone

# proc(5): 1 is about folders that all may write, 2 the group, too.
_PROTECTED_FIFOS = Path("/proc/sys/fs/protected_fifos")


def faults(config: Config) -> Iterator[str]:
    """One line each: section, key, and what is wrong there."""
    yield from _certificate(config.mi)
    yield from _client_files("cluster", config.cluster.tls_ca)
    for key, path in [*_paths(config.mi), *_reply_dir(config.mi)]:
        if os.path.dirname(path) != _OF_THE_UNIT:
            yield from _folder(key, path)
    yield from _roles(config.mi)
    yield from _group(config.mi)
    for name, gateway in config.janus.gateways.items():
        yield from _client_files(f"janus.gateways.{name}", gateway.tls_ca, gateway.tls_cert, gateway.tls_key)
    for name, domain in config.events.tls_domains.items():
        yield from _client_files(f"events.tls_domains.{name}", domain.tls_ca, domain.tls_cert, domain.tls_key)


def refusals(config: Config) -> Iterator[str]:
    """Those for which ``run`` does not start, here and now; of addresses, daemon/listeners.py knows."""
    yield from _certificate(config.mi)
    if config.cluster.cluster_id is not None:
        yield from _client_files("cluster", config.cluster.tls_ca)
    yield from _roles(config.mi)
    paths = _paths(config.mi)
    if paths:
        yield from _group(config.mi)
    for key, path in paths:
        yield from _folder(key, path)
        yield from _membership(config.mi, key, path)
    state = StateDir(config.state.dir)
    try:
        state.look()
        require_room(config, state)
    except ConfigError as exc:
        yield str(exc)


def files(config: Config) -> Iterator[tuple[str, str]]:
    """Those that the service reads: what to call each, and its path."""
    if config.source is not None:
        yield "the configuration", str(config.source)
    named: dict[str, Any] = {name: getattr(config, name) for name in ("janus", "mi", "cluster")}
    named |= {f"janus.gateways.{name}": gateway for name, gateway in config.janus.gateways.items()}
    named |= {f"events.tls_domains.{name}": domain for name, domain in config.events.tls_domains.items()}
    for section, settings in named.items():
        for key in (field.name for field in dataclasses.fields(settings) if _NAMES_FILE.search(field.name)):
            path = getattr(settings, key)
            if path and not path.startswith(_CREDENTIALS):
                yield f"[{section}] {key} {path}", path


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


def _certificate(mi: MiSettings) -> Iterator[str]:
    try:
        server_context(mi)
    except ConfigError as exc:
        yield str(exc)


def _client_files(section: str, ca: str | None, cert: str | None = None, key: str | None = None) -> Iterator[str]:
    try:
        client_context(ca, cert, key)
    except ConnectFailed as exc:
        yield f"[{section}] {exc.reason}"


def _paths(mi: MiSettings) -> list[tuple[str, str]]:
    """What is made in the file system: the key of [mi], and the path."""
    addresses = map(parse_datagram_address, mi.datagram)
    paths = [("datagram", address.path) for address in addresses if isinstance(address, UnixAddress)]
    return paths if mi.fifo is None else [*paths, ("fifo", mi.fifo)]


def _reply_dir(mi: MiSettings) -> list[tuple[str, str]]:
    return [] if mi.fifo is None else [("fifo_reply_dir", f"{mi.fifo_reply_dir}/.")]


def _folder(key: str, path: str) -> Iterator[str]:
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        yield f"[mi] {key} {path}: there is no folder {folder}"


def _membership(mi: MiSettings, key: str, path: str) -> Iterator[str]:
    try:
        require_member(path, mi.unix_group)
    except ConfigError as exc:
        yield f"[mi] {key} {exc}"


def _roles(mi: MiSettings) -> Iterator[str]:
    try:
        PeerRoles().replace({}, [Grant(one.role, one.users, one.groups) for one in mi.roles])
    except ConfigError as exc:
        yield f"[mi] roles: {exc}"


def _group(mi: MiSettings) -> Iterator[str]:
    if mi.unix_group is not None:
        try:
            gid_of(mi.unix_group)
        except ConfigError:
            yield f"[mi] unix_group {mi.unix_group}: there is no such group"
