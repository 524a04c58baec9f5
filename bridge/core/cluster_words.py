"""What the other bridges say when their MI is asked: in need, and now and then while all is well.

Owns that question, and what is said of whoever has no answer that counts: with a token that is wrong, or a URL, nobody
would notice before the word of that bridge is needed. Must not know what follows from a word (``membership``).
Authority: contract 11.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from bridge.core.cluster_faces import AskPeer
from bridge.errors import PeerNotReached, PeerRefused, PeerSilent
from bridge.protocol.cluster import ALIVE, NO_BRIDGE, Node, Word
from bridge.protocol.jsonrpc import RpcError
from bridge.throttle import Throttle

log = logging.getLogger("bridge.cluster")

EVERY: Final = 60.0  # seconds between two questions while all is well


class PeerWords:
    """``patience``: seconds for an answer. The first question while all is well comes ``node_timeout`` after a bridge
    began, as it beats before its doors are open.
    """

    def __init__(self, ask: AskPeer, cluster_id: int, patience: float, node_timeout: float) -> None:
        self._ask = ask
        self._cluster = cluster_id
        self._patience = patience
        self._timeout = node_timeout
        self._troubles: defaultdict[int, Throttle] = defaultdict(Throttle)
        self._due: dict[int, tuple[int, float]] = {}  # the epoch of each, and when it is asked next

    async def of(self, node: Node, about: int, epoch: int) -> Word | None:
        """What a node says of a life, its own or another one's; None where it says nothing."""
        word, _ = await self._word(node, about, epoch)
        return word

    def due(self, living: Sequence[Node], now: float) -> list[Node]:
        """Those of the living that are to be tried now, so that a fault is told before they are needed."""
        before, self._due = self._due, {}
        due: list[Node] = []
        for node in living:
            known, at = before.get(node.node_id, (None, 0.0))
            if known != node.epoch:
                at = now + self._timeout
            elif at <= now:
                at = now + EVERY
                due.append(node)
            self._due[node.node_id] = node.epoch, at
        return due

    async def check(self, node: Node) -> None:
        """Try one that lives, by a question about itself, which binds nobody; say what is wrong."""
        word, silence = await self._word(node, node.node_id, node.epoch)
        if word is None and silence and self._troubles[node.node_id].due(silence):
            text = (
                "node %d is alive, but does not answer at %s: %s; it cannot vouch for this bridge while the database "
                "is away: check its [cluster] my_node_url, its [mi] allow, and the network between"
            )
            log.error(text, node.node_id, node.url, silence)

    async def _word(self, node: Node, about: int, epoch: int) -> tuple[Word | None, str]:
        """And why there is none, where that is not said yet."""
        trouble = self._troubles[node.node_id]
        try:
            answer = await self._ask(node.url, ALIVE, [about, epoch, node.node_id], self._patience)
            told = answer["node_id"], answer["cluster_id"]
            word = Word[str(answer["word"]).upper()]
        except (PeerRefused, RpcError, KeyError, TypeError) as exc:  # whoever that is, he lives
            known = isinstance(exc, PeerRefused | RpcError)
            why = str(exc).removeprefix(f"{node.url}: ") if known else NO_BRIDGE
            if trouble.due(why):
                log.error(
                    "node %d at %s does not answer as a peer: %s; it can neither vouch for this bridge nor be taken "
                    "over: check its [cluster] my_node_url, and [cluster] token here beside [mi] token there",
                    *(node.node_id, node.url, why),
                )
            return Word.UNSURE, ""
        except (PeerNotReached, PeerSilent) as exc:
            return None, str(exc).removeprefix(f"{node.url}: ")
        if told != (node.node_id, self._cluster):  # a URL that was copied, or moved on: nobody is reached there
            if trouble.due(str(told)):
                text = (
                    "node %d: the MI at %s is that of node %s of cluster %s; give each bridge a [cluster] my_node_url "
                    "of its own"
                )
                log.error(text, node.node_id, node.url, *told)
            return None, ""
        timeout = answer.get("node_timeout", self._timeout)
        if timeout != self._timeout:
            if trouble.due(str(timeout)):
                log.error(
                    "node %d has a [cluster] node_timeout of %s s, this one of %s s: the bridge with the larger "
                    "one can be taken over while it acts; set the same in all bridges of the cluster",
                    *(node.node_id, timeout, self._timeout),
                )
        elif trouble.over():
            log.info("node %d answers at %s", node.node_id, node.url)
        return word, ""
