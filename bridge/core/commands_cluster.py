"""The MI methods about a cluster of bridges: janus_cluster_list for people, janus_cluster_alive and
janus_cluster_released for its other bridges.

Owns their shape. Must not know who decides what it shows. Authority: contract 11; OpenSIPS's ``clusterer_list``, which
lists nodes so.
"""

from typing import Any, Protocol

from bridge.core.mi import Command, MiRequest
from bridge.protocol.caller import Role
from bridge.protocol.cluster import ALIVE, RELEASED, Word
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.recipe import PeerParameter
from bridge.protocol.snapshot import ClusterSnapshot


class ClusterView(Protocol):
    """What there is to ask. ``node_id`` is this bridge's."""

    @property
    def node_id(self) -> int: ...

    @property
    def cluster_id(self) -> int: ...

    @property
    def node_timeout(self) -> float: ...

    def figures(self) -> ClusterSnapshot:
        """Of this moment."""
        ...

    def alive(self, node_id: int, epoch: int) -> Word:
        """Our word for the life of a node."""
        ...

    def released(self, node_id: int, epoch: int) -> bool:
        """The process of that life is over; whether that is news."""
        ...


def cluster_commands(view: ClusterView | None) -> tuple[Command, ...]:
    """``view``: None where this bridge is in no cluster: it says so."""

    def ours() -> ClusterView:
        if view is None:
            raise RpcError(503, "No cluster", "[cluster] cluster_id is not set: this bridge is alone")
        return view

    def alive(call: MiRequest) -> Any:
        cluster = ours()
        word = Word.UNSURE  # whoever asks another one asks by a URL that was copied: no word of ours is wanted
        if call.arguments["asked"] in (None, cluster.node_id):
            word = cluster.alive(call.arguments["node_id"], call.arguments["epoch"])
        whose = {"node_id": cluster.node_id, "cluster_id": cluster.cluster_id, "node_timeout": cluster.node_timeout}
        return {"word": word.name.lower(), **whose}

    def released(call: MiRequest) -> Any:
        cluster = ours()
        news = cluster.released(call.arguments["node_id"], call.arguments["epoch"])
        return {"news": news, "node_id": cluster.node_id}

    def listed(_call: MiRequest) -> Any:
        cluster = ours().figures()
        return {
            "cluster_id": cluster.cluster_id,
            "node_id": cluster.node_id,
            "valid_ms": round(max(cluster.valid, 0.0) * 1000),
            "serves": cluster.serves,
            "trouble": cluster.trouble,
            "Nodes": [
                {
                    "node_id": node.node_id,
                    "url": node.url,
                    "state": node.state,
                    "still_ms": round(node.still * 1000),
                    "epoch": str(node.epoch),
                    "beat": node.beat,
                }
                for node in sorted(cluster.nodes)
            ],
        }

    return (
        Command(
            "janus_cluster_list",
            "janus_cluster:list",
            ((),),
            listed,
            "Lists the bridges of the cluster as this one sees them, and for how long this one may still claim.",
            "janus",
            Role.READ_ONLY,
        ),
        Command(
            ALIVE,
            "janus_cluster:alive",
            ((PeerParameter("node_id", "int"), PeerParameter("epoch", "int"), PeerParameter("asked", "int", None)),),
            alive,
            "Between bridges: whether the life of a node goes on. Who says so of another one does not take it over for "
            "node_timeout. Parameters: node_id; epoch; asked: the node whose MI this should be.",
            "janus",
            Role.EVERYTHING,
        ),
        Command(
            RELEASED,
            "janus_cluster:released",
            ((PeerParameter("node_id", "int"), PeerParameter("epoch", "int")),),
            released,
            "From `janus-bridge cluster release`: the process of a node's life is over, and whoever hears it takes its "
            "sessions over at once. Parameters: node_id; epoch.",
            "janus",
            Role.EVERYTHING,
        ),
    )
