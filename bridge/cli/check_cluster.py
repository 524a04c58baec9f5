"""What ``check`` says of a cluster: its tables and nodes, its times beside those of Galera, and with --connect what the
other bridges answer, and the fences of a Janus.

Owns these findings. Must not know how they are shown, or how a Janus is asked. Authority: contract 11; Galera's
documentation on ``evs.suspect_timeout``. Observed with three nodes: when one dies or hangs, nothing is committed for
that time and up to 1.7 s more.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import trio

from bridge.config import Config
from bridge.config.settings import ClusterSettings
from bridge.daemon.database import cluster_database_of
from bridge.errors import ConnectFailed, PeerNotReached, PeerRefused, PeerSilent, TableUnavailable
from bridge.protocol.cluster import ALIVE, Node
from bridge.protocol.codec import JsonObject
from bridge.protocol.db_url import SqliteUrl
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.membership import VALID
from bridge.transport.cluster_rows import MOST_FAULTS, NodeRows
from bridge.transport.cluster_tables import ClusterTables, nodes_in
from bridge.transport.db_sql import Execute, as_text
from bridge.transport.peer_client import PeerClient
from bridge.transport.tls import client_context

Level: TypeAlias = Literal["ok", "warning", "error"]
Finding: TypeAlias = tuple[Level, str]

BEYOND_SUSPECT = 1.7  # seconds
TO_CLAIM = 5.0  # seconds
DEADLINE = 3.0  # seconds for the MI of a bridge
_SUSPECT = re.compile(r"evs\.suspect_timeout *= *PT(?:([\d.]+)M)?(?:([\d.]+)S)?", re.IGNORECASE)


async def of_database(config: Config, *, connect: bool = False) -> list[Finding]:
    """Of the tables, of who is entered there, and of Galera's times; ``connect``: also of the MI of each."""
    database = cluster_database_of(config)
    tables = ClusterTables(config.janus.db_version_table)

    def look(execute: Execute) -> tuple[NodeRows, str | None]:
        tables.check(execute)
        rows = nodes_in(execute, config.cluster.cluster_id)
        provider = "SHOW VARIABLES LIKE 'wsrep_provider_options'"
        found = [] if isinstance(database.url, SqliteUrl) else execute(provider)
        return rows, as_text(found[0][1]) if found else None

    try:
        (nodes, faults, _), provider = await database.visit("read", look)
    except TableUnavailable as exc:
        return [("error", str(exc))]
    names = ", ".join(f"{node.node_id} at {node.url}" for node in sorted(nodes))
    found: list[Finding] = [
        ("ok", f"{database.url} janus_node, version 1: {f'nodes {names}' if nodes else 'no node yet'}"),
        *(("error", f"janus_node: {fault.text}: correct or delete it in SQL") for fault in faults[:MOST_FAULTS]),
    ]
    suspect = suspect_timeout(provider or "")
    if suspect is not None:
        found.append(_beside(config.cluster.node_timeout, suspect))
    if connect:
        found += await of_peers(config, [node for node in nodes if node.running])
    return found


async def of_peers(config: Config, nodes: Sequence[Node]) -> list[Finding]:
    """What the MI of each says of itself, ours included if it runs. It binds nobody."""
    try:
        ask = PeerClient(config.peers_token, client_context(config.cluster.tls_ca, None, None))
    except ConnectFailed as exc:
        return [("error", exc.reason)]
    found: dict[int, Finding | None] = {}

    async def visit(node: Node) -> None:
        found[node.node_id] = await _of_peer(ask, node, config.cluster)

    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(visit, node)
    ask.close()
    return [finding for _, finding in sorted(found.items()) if finding is not None]


async def _of_peer(ask: PeerClient, node: Node, cluster: ClusterSettings) -> Finding | None:
    where = f"node {node.node_id} at {node.url}"
    try:
        answer = await ask(node.url, ALIVE, [node.node_id, node.epoch, node.node_id], DEADLINE)
        told = answer["node_id"], answer["cluster_id"]
    except (PeerRefused, RpcError, KeyError, TypeError) as exc:
        return (
            "error",
            f"{where} does not answer as a peer: {exc}; it can neither vouch for this bridge nor be taken over: its "
            "[cluster] my_node_url has to lead to its MI, and [cluster] token here has to be its [mi] token",
        )
    except (PeerNotReached, PeerSilent) as exc:
        return None if node.node_id == cluster.my_node_id else ("warning", f"{where} does not answer: {exc}")
    if told != (node.node_id, cluster.cluster_id):
        whose = f"that MI is of node {told[0]} of cluster {told[1]}"
        return "error", f"{where}: {whose}; give each bridge a [cluster] my_node_url of its own"
    return "ok", f"{where} answers"


def suspect_timeout(provider: str) -> float | None:
    """Seconds, of ``wsrep_provider_options``; None: it is no Galera."""
    match = _SUSPECT.search(provider)
    return None if match is None else 60 * float(match[1] or 0) + float(match[2] or 0)


def _beside(node_timeout: float, suspect: float) -> Finding:
    still = suspect + BEYOND_SUSPECT
    words = f"when a node of this Galera dies, nothing is committed for up to {still:g} s (evs.suspect_timeout)"
    if VALID * node_timeout >= still:
        return "ok", f"{words}; node_timeout {node_timeout:g} s is longer"
    least = still / VALID
    return "warning", f"{words}: bridges would be taken over that live; node_timeout must be at least {least:.1f} s"


def of_gateway(config: Config, janus_id: str, info: JsonObject) -> Iterator[Finding]:
    """What keeps a bridge that is over from this Janus, and whether sessions wait for the one that takes them over."""
    cluster, gateway = config.cluster, config.janus.gateways.get(janus_id)
    if cluster.cluster_id is None:
        return
    if gateway is not None and gateway.token_secret is not None:
        yield "ok", "fences: the bridge's own beat, and Janus itself, by tokens that expire with it (clocks need NTP)"
    else:
        yield "ok", "fence: the bridge's own beat; with token_secret Janus itself would be one, too"
    reclaim, least = info.get("reclaim-session-timeout"), _least_reclaim(cluster, config.janus.janus_ping_interval)
    if isinstance(reclaim, int) and 0 < reclaim < least:
        yield (
            "warning",
            f"reclaim-session-timeout {reclaim} s: sessions of a bridge whose machine dies may end before another one "
            f"claims them; at least {least:.0f} s (reclaim_session_timeout in its janus.jcfg)",
        )


def _least_reclaim(cluster: ClusterSettings, ping_interval: float) -> float:
    """Janus counts from a session's last request, which may be a keepalive interval old when its bridge dies."""
    return cluster.node_timeout + ping_interval + TO_CLAIM
