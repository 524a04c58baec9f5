"""janus_cluster_list, _alive and _released: their shape, and what they say where there is no cluster."""

from dataclasses import dataclass

from bridge.core.commands_cluster import cluster_commands
from bridge.core.mi import Registry
from bridge.protocol.cluster import Word
from bridge.protocol.snapshot import ClusterSnapshot, NodeSnapshot
from tests.support.callers import ask_by_name
from tests.support.snapshots import cluster


@dataclass
class View:
    shown: ClusterSnapshot
    node_id: int = 1
    cluster_id: int = 7
    node_timeout: float = 10.0

    def figures(self) -> ClusterSnapshot:
        return self.shown

    def alive(self, node_id: int, epoch: int) -> Word:
        return Word.ALIVE if (node_id, epoch) == (2, 1795363200002) else Word.OVER

    def released(self, node_id: int, epoch: int) -> bool:
        return (node_id, epoch) == (2, 1795363200002)


def registry(figures: ClusterSnapshot | None) -> Registry:
    made = Registry()
    made.add(*cluster_commands(None if figures is None else View(figures)))
    return made


async def test_the_bridges_of_a_cluster() -> None:
    silent = NodeSnapshot(2, "https://sip2:8889/mi", "silent", 3.25, 1795363200002, 17)
    figures = cluster(silent, valid=-3.0, serves=False, trouble="db1:3306: refused")
    assert await ask_by_name(registry(figures), "janus_cluster_list") == {
        "cluster_id": 7,
        "node_id": 1,
        "valid_ms": 0,
        "serves": False,
        "trouble": "db1:3306: refused",
        "Nodes": [
            {
                "node_id": 1,
                "url": "http://h:1/mi",
                "state": "active",
                "still_ms": 400,
                "epoch": "1795363200001",
                "beat": 1000,
            },
            {
                "node_id": 2,
                "url": "https://sip2:8889/mi",
                "state": "silent",
                "still_ms": 3250,
                "epoch": "1795363200002",
                "beat": 17,
            },
        ],
    }


async def test_a_bridge_that_is_alone_says_so() -> None:
    error = await ask_by_name(registry(None), "janus_cluster:list")
    assert (error["code"], error["message"]) == (503, "No cluster")
    error = await ask_by_name(registry(None), "janus_cluster_alive", [1, 2, 1])
    assert (error["code"], error["message"]) == (503, "No cluster")


async def test_the_word_for_a_life() -> None:
    made, whose = registry(cluster()), {"node_id": 1, "cluster_id": 7, "node_timeout": 10.0}
    assert await ask_by_name(made, "janus_cluster_alive", [2, "1795363200002", 1]) == {"word": "alive", **whose}
    assert await ask_by_name(made, "janus_cluster:alive", [2, 5, 1]) == {"word": "over", **whose}
    assert await ask_by_name(made, "janus_cluster_alive", [2, "1795363200002", 2]) == {"word": "unsure", **whose}


async def test_a_process_that_is_over() -> None:
    made = registry(cluster())
    assert await ask_by_name(made, "janus_cluster_released", [2, "1795363200002"]) == {"news": True, "node_id": 1}
    assert await ask_by_name(made, "janus_cluster:released", [2, 5]) == {"news": False, "node_id": 1}
    error = await ask_by_name(registry(None), "janus_cluster_released", [2, 5])
    assert (error["code"], error["message"]) == (503, "No cluster")
