"""What is said of a bridge whose MI does not answer as it has to, while its word is not needed yet."""

from collections.abc import Sequence
from typing import Any

import pytest

from bridge.core.cluster_words import EVERY, PeerWords
from bridge.errors import PeerNotReached, PeerRefused
from bridge.protocol.cluster import Node, NodeState, Word
from bridge.protocol.jsonrpc import RpcError


def node(number: int, epoch: int = 1) -> Node:
    return Node(number, f"http://{number}/mi", epoch, 1, NodeState.ACTIVE)


class Peers:
    """AskPeer of MIs that answer as ``answers`` says, by URL."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[Sequence[Any]] = []

    async def __call__(self, url: str, method: str, params: Sequence[Any], patience: float) -> Any:
        self.asked.append(params)
        answer = self.answers[url]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_each_is_tried_when_it_has_had_time_to_open_its_doors_and_then_now_and_then() -> None:
    words = PeerWords(Peers(), 7, 1.0, 10.0)
    assert words.due([node(1), node(2)], 0) == []
    assert words.due([node(1), node(2)], 9) == []
    assert words.due([node(1), node(2, 2)], 10) == [node(1)]  # the other one began anew
    assert words.due([node(1), node(2, 2)], 20) == [node(2, 2)]
    assert words.due([node(1)], 11 + EVERY) == [node(1)]
    assert words.due([node(1), node(2, 2)], 11 + EVERY) == []  # that one was gone


@pytest.mark.parametrize(
    ("answer", "word", "said"),
    [
        (
            PeerRefused("http://2/mi: its answer is 401 Unauthorized"),
            Word.UNSURE,
            "node 2 at http://2/mi does not answer as a peer: its answer is 401 Unauthorized; ",
        ),
        (RpcError(-32601, "Method not found", None), Word.UNSURE, "node 2 at http://2/mi does not answer as a peer: "),
        (
            {"words": []},
            Word.UNSURE,
            "node 2 at http://2/mi does not answer as a peer: its answer is not that of a bridge; ",
        ),
        (
            {"word": "alive", "node_id": 1, "cluster_id": 7},
            None,
            "node 2: the MI at http://2/mi is that of node 1 of cluster 7; ",
        ),
        (
            {"word": "alive", "node_id": 2, "cluster_id": 8},
            None,
            "node 2: the MI at http://2/mi is that of node 2 of cluster 8; ",
        ),
        (
            {"word": "alive", "node_id": 2, "cluster_id": 7, "node_timeout": 5.0},
            Word.ALIVE,
            "node 2 has a [cluster] node_timeout of 5.0 s, this one of 10.0 s: ",
        ),
        (
            PeerNotReached("http://2/mi: refused"),
            None,
            "node 2 is alive, but does not answer at http://2/mi: refused; ",
        ),
    ],
)
async def test_what_is_wrong_is_said_once_for_each_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture, answer: Any, word: Word | None, said: str
) -> None:
    caplog.set_level("INFO", "bridge.cluster")
    peers = Peers()
    words = PeerWords(peers, 7, 1.0, 10.0)
    peers.answers = {"http://2/mi": answer, "http://3/mi": PeerRefused("its answer is 403 Forbidden")}
    for _ in range(3):
        await words.check(node(2))
        await words.check(node(3))
    assert peers.asked[0] == [2, 1, 2]  # about itself: who is asked so promises nothing
    assert await words.of(node(2), 1, 1) is word
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith(said)
    assert "[cluster]" in caplog.messages[0]
    peers.answers["http://2/mi"] = {"word": "alive", "node_id": 2, "cluster_id": 7, "node_timeout": 10.0}
    await words.check(node(2))
    assert await words.of(node(2), 1, 1) is Word.ALIVE
    assert caplog.messages[2:] == ["node 2 answers at http://2/mi"]


async def test_one_that_is_silent_in_need_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asks then says so himself."""
    peers = Peers()
    peers.answers = {"http://2/mi": PeerNotReached("refused")}
    assert await PeerWords(peers, 7, 1.0, 10.0).of(node(2), 1, 1) is None
    assert caplog.messages == []
