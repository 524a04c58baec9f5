"""The MI method that shows a cluster of bridges: janus_cluster_list.

Owns its shape. Must not know who decides what it shows. Authority: contract 11; OpenSIPS's ``clusterer_list``, which
lists nodes so.
"""

from collections.abc import Callable
from typing import Any

from bridge.core.mi import Command, MiRequest
from bridge.protocol.caller import Role
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.snapshot import ClusterSnapshot


def cluster_commands(figures: Callable[[], ClusterSnapshot] | None) -> tuple[Command, ...]:
    """``figures`` of this moment; None where this bridge is in no cluster: it says so."""

    def listed(call: MiRequest) -> Any:
        if figures is None:
            raise RpcError(503, "No cluster", "[cluster] cluster_id is not set: this bridge is alone")
        cluster = figures()
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
    )
