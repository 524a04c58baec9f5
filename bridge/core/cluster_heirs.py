"""Taking over nodes that are over: asking whom we suspect, and whatever follows when his sessions are ours.

Owns what is under way. Who is suspected is membership's decision, and who has won the database's. Must not know SQL, or
how links claim. Authority: contract 11.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

import trio

from bridge.core.cluster_faces import NodeStore
from bridge.core.cluster_life import NodeLife
from bridge.core.stats import Stats
from bridge.errors import TableUnavailable
from bridge.protocol.cluster import Life, Node, NodeSession, NodeState, Word
from bridge.throttle import Throttle

log = logging.getLogger("bridge.cluster")


class Heirs:
    """``clock`` as of ``life``, whose row every take-over changes, too. ``again()``: the next round begins at once."""

    def __init__(
        self,
        life: NodeLife,
        table: NodeStore,
        stats: Stats,
        clock: Callable[[], float],
        again: Callable[[], None],
    ) -> None:
        self._life = life
        self._again = again
        self._table = table
        self._stats = stats
        self._clock = clock
        self._in_doubt: dict[int, tuple[Node, float]] = {}  # whom we may have taken over, silent since then
        self._unsearched = Throttle()
        self._under_way: set[int] = set()
        self.adopting: dict[int, Node] = {}

    def look(self, nursery: trio.Nursery) -> None:
        """Do what is due, each node in a task of its own. Who stops does nothing of it; who has handed over, and runs,
        leaves it to the others, as long as one lives.
        """
        now, membership = self._clock(), self._life.membership
        others = any(node.state is NodeState.ACTIVE for node in membership.living())
        if self._life.stopping or (self._life.state is NodeState.DRAINING and others):
            return
        for node in membership.heirless(now):
            self._soon(nursery, node, self._take)
        for node in membership.suspects(now):
            self._soon(nursery, node, self._suspect)
        for node in membership.unsearched(now):
            self._soon(nursery, node, self._take_rest)

    def _soon(self, nursery: trio.Nursery, node: Node, what: Callable[[Node, trio.Nursery], Awaitable[None]]) -> None:
        async def do() -> None:
            try:
                await what(node, nursery)
            finally:
                self._under_way.discard(node.node_id)

        if node.node_id not in self._under_way:
            self._under_way.add(node.node_id)
            nursery.start_soon(do)

    async def _suspect(self, node: Node, _nursery: trio.Nursery) -> None:
        """Nobody has its sessions yet; whoever finds it mute takes them in a round of its own."""
        asked_at = self._clock()
        if await self._life.words.of(node, node.node_id, node.epoch) in (None, Word.OVER):
            self._life.membership.unanswered(node, asked_at)
            self._again()
        else:
            self._life.membership.answered(node.node_id, self._clock())

    async def _take(self, node: Node, nursery: trio.Nursery) -> None:
        life, membership = self._life, self._life.membership
        async with life.row:
            sent_at, epoch = self._clock(), membership.epoch
            if epoch is None or not membership.taking(node, sent_at):
                return
            silent_since = membership.silent_since(node.node_id)
            try:
                sessions = await self._table.take(node, epoch, membership.beat)
            except TableUnavailable as exc:
                membership.unknown()
                self._in_doubt[node.node_id] = node, silent_since
                log.warning(
                    "cannot tell whether node %d is taken over: %s; asking the database again", node.node_id, exc
                )
                return
            if sessions is None:
                membership.not_taken(node)
                return
            membership.counted(sent_at)
            life.counted(sent_at)
            life.sessions.know(sessions)
        self._stats.add("take_overs")
        nursery.start_soon(self._adopt, node, sessions, silent_since)
        self._again()  # to see it taken, and whether that was all: no page waits for the claims of another

    async def _take_rest(self, node: Node, nursery: trio.Nursery) -> None:
        """The pages after the first; and what it wrote last may have been on its way when it was taken over, in a
        server that committed nothing.
        """
        life, membership = self._life, self._life.membership
        silent_since = membership.silent_since(node.node_id)
        while (epoch := membership.epoch) is not None:
            try:
                sessions = await self._table.rest(node, epoch)
            except TableUnavailable as exc:
                self._in_doubt[node.node_id] = node, silent_since
                if self._unsearched.due(str(exc)):
                    text = "cannot tell whether node %d has more sessions: %s; asking the database again"
                    log.warning(text, node.node_id, exc)
                return
            self._unsearched.over()
            if not sessions:
                membership.searched(node)
                return
            life.sessions.know(sessions)
            nursery.start_soon(self._adopt, node, sessions, silent_since)

    async def _adopt(self, node: Node, sessions: Sequence[NodeSession], silent_since: float) -> None:
        log.warning("node %d is down: taking over its sessions (%d)", node.node_id, len(sessions))
        self.adopting[node.node_id] = node
        try:
            if self._life.links is not None:
                await self._life.links.adopt(node.node_id, sessions, self._clock() - silent_since)
        finally:
            self.adopting.pop(node.node_id, None)  # another one of it may be under way

    def orphaned(self) -> dict[int, Node]:
        """The nodes whose life is over that was given sessions of ours: it may not have written them."""
        peers, takers = self._life.membership.peers, self._life.sessions.takers
        return {one.node_id: peers[one.node_id].node for one in takers if self._is_over(one)}

    def _is_over(self, life: Life) -> bool:
        peer = self._life.membership.peers.get(life.node_id)
        return peer is not None and peer.node.epoch > life.epoch

    async def take_back(self, nursery: trio.Nursery) -> None:
        """What the table has as ours of it; else nobody would have it. Raises TableUnavailable."""
        membership, sessions = self._life.membership, self._life.sessions
        for life in () if self._life.stopping else sessions.takers:
            if self._is_over(life):
                node, silent_since = membership.peers[life.node_id].node, membership.silent_since(life.node_id)
                left = await sessions.left_by(life)
                if left:
                    self.adopting[life.node_id] = node
                    nursery.start_soon(self._adopt, node, left, silent_since)

    async def settle(self, nursery: trio.Nursery) -> None:
        """Whom we may have taken over we have, if somebody has, and the table has sessions of ours that are news.

        Raises TableUnavailable: nobody knows yet.
        """
        peers = self._life.membership.peers
        settled = [
            (node, since)
            for node, since in self._in_doubt.values()
            if node.node_id not in peers or not peers[node.node_id].taking
        ]
        if not settled:
            return
        news = await self._life.sessions.unknown()
        for node, _ in settled:
            self._in_doubt.pop(node.node_id, None)
        if news:
            self._stats.add("take_overs")
            node, _ = settled[0]
            nursery.start_soon(self._adopt, node, news, min(since for _, since in settled))
