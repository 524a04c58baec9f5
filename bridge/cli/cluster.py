"""``janus-bridge cluster``: the bridges of a cluster as a running one sees them; ``cluster release``: the unit's
ExecStopPost=.

Owns what is printed and the exit codes. ``release`` says that this bridge's process is over, which systemd knows for
certain, whatever ended it: so a peer takes its sessions over at once. The peers are told first, and then the database,
for which three times as much is to be loaded: a caller waits for every millisecond of it. A process that hands over, or
is replaced, has said so itself; without a [cluster] there is nothing to say.
"""

import argparse
import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bridge.cli.common import add_config_arguments, load_config
from bridge.cli.mi import add_connection_arguments, connect, explained
from bridge.cli.output import put
from bridge.cli.text import GREEN, RED, YELLOW, colour, coloured_table
from bridge.config import Config
from bridge.errors import BridgeError
from bridge.protocol.cluster import RELEASED, Node, NodeState
from bridge.protocol.printable import printable
from bridge.transport.mi_client import MiClient

PATIENCE = 3.0  # seconds for the database: systemd waits for it
TELLING = 0.5  # seconds for all peers: who hangs is left to read the table
MOST_TOLD = 8  # peers: one takes over, and the others read in the table that it has

_COLOURS = {"active": GREEN, "draining": YELLOW, "silent": RED, "over": RED, "taken": RED}
_HEADER = ("NODE", "STATE", "BEAT", "EPOCH", "URL")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its own subcommand."""
    parser.description = (
        "Shows the bridges of a cluster as a running one sees them: which live, and which are taken over."
    )
    parser.epilog = EPILOG
    add_connection_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the answer of janus_cluster_list")
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(metavar="VERB", required=False)
    verb = verbs.add_parser(
        "release",
        help="report that this bridge's process has ended; its unit runs this",
        description="Reports that the process of this bridge has ended, so that another bridge takes its sessions "
        "over at once. systemd runs it after the process (ExecStopPost=). While the process lives, it is refused.",
    )
    add_config_arguments(verb)
    verb.set_defaults(run=run_release)


def run(args: argparse.Namespace) -> int:
    """Ask and print; 1 where a bridge is in trouble. Raises NothingAnswered, RpcError, ConfigError."""
    client = connect(args)
    with explained(client.url):
        answer: dict[str, Any] = client.call("janus_cluster_list")
    if args.json:
        put(json.dumps(answer, indent=2))
    else:
        _print(answer)
    return 0 if answer["valid_ms"] > 0 and all(_well(node) for node in answer["Nodes"]) else 1


def run_release(args: argparse.Namespace) -> int:
    """0 also where there was nothing to say. Raises ConfigError, also where the process lives; TableUnavailable."""
    config = load_config(args)
    if config.cluster.cluster_id is not None:
        put(*_release(config, config.cluster.cluster_id, config.cluster.my_node_id or 0))
    return 0


def _release(config: Config, cluster_id: int, node_id: int) -> list[str]:
    from bridge.transport.node_file import NodeFile  # no unit without a cluster has to load it
    from bridge.transport.state_dir import StateDir

    known = NodeFile(config.state.dir, cluster_id, node_id)
    known.load()
    if not known.epochs:
        return []
    state = StateDir(config.state.dir)
    state.take()  # nobody runs with it, and nobody begins to meanwhile
    try:
        peers = [node for node in known.nodes or () if node.node_id != node_id and node.running]
        over = _tell_peers(config, peers[:MOST_TOLD], node_id, known.epochs)
        over |= _tell_database(config, cluster_id, node_id, known.epochs)
    finally:
        state.release()
    return [f"node {node_id} of cluster {cluster_id}: epoch {epoch} is over" for epoch in known.epochs if epoch in over]


def _tell_peers(config: Config, peers: Sequence[Node], node_id: int, epochs: Sequence[int]) -> set[int]:
    """All at once; the epochs of which one had not known that they are over."""
    news: set[int] = set()

    def tell(peer: Node) -> None:
        with suppress(BridgeError):  # it reads the table
            client = MiClient(peer.url, token=config.peers_token, ca=config.cluster.tls_ca, timeout=TELLING)
            for epoch in epochs:
                answer = client.call(RELEASED, [node_id, str(epoch)])
                if isinstance(answer, dict) and answer.get("news") is True:
                    news.add(epoch)

    threads = [threading.Thread(target=tell, args=(peer,), daemon=True) for peer in peers]
    for thread in threads:
        thread.start()
    until = time.monotonic() + TELLING
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return set(news)


def _tell_database(config: Config, cluster_id: int, node_id: int, epochs: Sequence[int]) -> set[int]:
    """The epochs that had not been over there. Raises TableUnavailable."""
    import trio

    from bridge.daemon.database import cluster_database_of
    from bridge.transport.cluster_db import ClusterDb
    from bridge.transport.cluster_tables import NodeTable

    db = ClusterDb(cluster_database_of(config, PATIENCE), PATIENCE)
    nodes = NodeTable(db, cluster_id, node_id, config.janus.db_version_table)

    async def release() -> set[int]:
        try:
            return {epoch for epoch in epochs if await nodes.release(epoch, NodeState.OVER)}
        finally:
            db.close()

    return trio.run(release)


def _print(answer: dict[str, Any]) -> None:
    colours = [_COLOURS.get(node["state"], RED) for node in answer["Nodes"]]
    put(*coloured_table(_HEADER, [_row(node, answer["node_id"]) for node in answer["Nodes"]], colours))
    if answer["trouble"] is not None:
        put(colour(printable(f"no beat in the database: {answer['trouble']}"), RED))
    if answer["valid_ms"] <= 0:
        put(colour("this bridge claims and destroys nothing: neither the database nor all others can be reached", RED))


def _row(node: dict[str, Any], own: int) -> tuple[str, ...]:
    return (
        f"{node['node_id']}{' (this one)' if node['node_id'] == own else ''}",
        str(node["state"]),
        f"{node['still_ms'] / 1000:.1f} s ago",
        str(node["epoch"]),
        printable(node["url"]),
    )


def _well(node: dict[str, Any]) -> bool:
    return node["state"] in ("active", "draining")


EPILOG = """
  janus-bridge cluster
  watch -n 1 janus-bridge cluster
  janus-bridge cluster --json |
    jq -r '.Nodes[] | select(.state != "active") | .url'
  janus-bridge mi janus_cluster_drain     its sessions go to the others

Exit codes: 0 all bridges live; 1 one does not, this one may not claim sessions, or an MI error; 2 usage; 3 no bridge
answers.
"""
