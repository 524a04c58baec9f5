"""Which addresses the service needs, for systemd's IPAddressDeny= and IPAddressAllow=.

Owns who is named in configuration and table, and the lines of the unit. Must not know how either is read. Authority:
systemd.resource-control(5): the lists hold for what comes in and for what goes out.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bridge.config import Config
from bridge.config.kinds import is_loopback
from bridge.config.rules import reachable
from bridge.protocol.cluster import Node
from bridge.protocol.gateway import Gateway
from bridge.protocol.mi_address import parse_http_address
from bridge.protocol.printable import printable

# Of a name; its addresses, none if it is not known now.
LookUp = Callable[[str], Sequence[str]]
_HEAD = """
# Made by `janus-bridge unit --restrict-addresses` of configuration and table as they are now. A gateway, subscriber or
# database that is added elsewhere, or a name that gets another address, is out of reach until the unit is made anew.
IPAddressDeny=any
IPAddressAllow=localhost
"""


class Peer(NamedTuple):
    """``host``: a name or an address without brackets; ``what`` it is to the bridge."""

    host: str
    what: str


def peers(config: Config, gateways: Iterable[Gateway], nodes: Iterable[Node] = ()) -> Iterator[Peer]:
    """Whom the bridge connects to, or sends to. ``nodes``: the other bridges of its cluster."""
    databases = {"the database": config.janus.janus_db_url, "the cluster's database": config.cluster.db_url}
    for what, database in databases.items():
        for url in database.each if database is not None else ():
            if url.host and url.unix_socket is None:
                yield Peer(url.host, what)
    for gateway in gateways:
        if gateway.url is not None:
            yield Peer(gateway.url.host.partition("%")[0], f"gateway {gateway.janus_id}")
    for node in nodes:
        with suppress(ValueError):  # an address that nobody can reach either
            yield Peer(parse_http_address(node.url).host.partition("%")[0], f"bridge {node.node_id}")
    for subscriber in config.events.subscribers:
        if subscriber.socket.host:
            yield Peer(subscriber.socket.host, f"subscriber {subscriber.socket}")


def lines(config: Config, found: Iterable[Peer], look_up: LookUp, resolv_conf: Path) -> tuple[list[str], list[str]]:
    """The unit's lines, and the names that are not known now."""
    made, missing, named = _HEAD.strip("\n").split("\n"), [], False
    for host, whats in _by_host(found).items():
        words = ", ".join(whats)
        if _is_address(host):
            made += _allow(words, [host])
            continue
        named = True
        addresses = look_up(host)
        if addresses:
            made += _allow(f"{words}: {host}, whose addresses may change", addresses)
        else:
            missing.append(host)
            made.append(f"# {words}: {host}, which is not found now")
    if named:
        made += _allow("name servers of /etc/resolv.conf", _name_servers(resolv_conf))
    if any(reachable(config.mi)):
        made += _allow("[mi] allow: clients", map(str, config.mi.allow))
    made += _allow("[events] allow: what MI may subscribe", map(str, config.events.allow))
    return made, missing


def _by_host(found: Iterable[Peer]) -> dict[str, list[str]]:
    hosts: dict[str, list[str]] = {}
    for peer in found:
        if not is_loopback(peer.host):
            hosts.setdefault(peer.host, []).append(printable(peer.what))
    return hosts


def _allow(words: str, addresses: Iterable[str]) -> list[str]:
    """Nothing for this machine: it is allowed already."""
    wanted = [one for one in dict.fromkeys(addresses) if not ipaddress.ip_network(one).is_loopback]
    return [f"# {words}", *(f"IPAddressAllow={one}" for one in wanted)] if wanted else []


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _name_servers(resolv_conf: Path) -> list[str]:
    try:
        words = [line.split() for line in resolv_conf.read_text(errors="replace").splitlines()]
    except OSError:
        return []
    servers = [line[1].partition("%")[0] for line in words if line[:1] == ["nameserver"] and len(line) > 1]
    return [server for server in servers if _is_address(server)]
