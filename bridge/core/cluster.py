"""This node and the others: one round a ping_interval of watch, beat and what follows, and one when something is due.

Nothing in a round waits for a Janus: claims are answered in tasks beside it, or beats would come late.
Owns the rounds, and what others ask about the cluster. Must not know SQL or sockets. Authority: contract 11.
"""

from collections.abc import Callable
from contextlib import suppress

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.core.cluster_faces import ClusterLinks, NodeStore
from bridge.core.cluster_heirs import Heirs
from bridge.core.cluster_life import NodeLife
from bridge.core.stats import Stats
from bridge.errors import TableUnavailable
from bridge.protocol.cluster import Life, Node, NodeSession, Word
from bridge.protocol.snapshot import ClusterSnapshot, NodeSnapshot

MEND = 60.0  # seconds between two looks at whether the table has what it should
MEND_SHARE = 100  # of the time, at most, that such a look takes


class Cluster:
    """ClusterPeers, too. ``clock`` gives CLOCK_BOOTTIME in seconds; ``life`` has entered."""

    def __init__(self, life: NodeLife, table: NodeStore, stats: Stats, clock: Callable[[], float]) -> None:
        self.life = life
        self._due = AutoResetEvent()  # a round is, before its time
        self._heirs = Heirs(life, table, stats, clock, self._due.set)
        self._clock = clock
        self._looking, self._looked_at = trio.Lock(), 0.0  # when the last look that was asked for began
        self._seen = False  # it saw the table
        self._away_since: float | None = None  # since when the rounds do without the table
        self._begun = trio.Event()
        self._news: list[NodeSession] = []  # of earlier lives, to be adopted
        self._lost: list[NodeSession] = []  # before there were links
        life.sessions.lost = self._lose

    async def begin(self, least: int) -> tuple[int | None, list[NodeSession]]:
        """Begin this node's life, as ``NodeLife.enter``. Its epoch, and which of the sessions that the last process
        left are another node's by now, as far as the table can be read.
        """
        epoch = await self.life.enter(least)
        if epoch is not None and self.life.inherited_at_start:
            await self.reconcile()
        self._begun.set()
        return epoch, self._lost

    async def run(self, links: ClusterLinks) -> None:
        """Until cancelled; nothing happens before this node has begun."""
        await self._begun.wait()
        self.life.links = links
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._mend)
            while True:
                began = self._clock()
                await self._round(nursery)
                now = self._clock()
                until = min(began + self.life.settings.ping_interval, self.life.membership.wake_at(now))
                with trio.move_on_after(max(0.0, until - now)):
                    await self._due.wait()

    async def _round(self, nursery: trio.Nursery) -> None:
        try:
            await self.life.look()
            if self.life.membership.epoch is None:
                await self.life.again()
            await self._heirs.settle(nursery)
            await self._heirs.take_back(nursery)
            self._away_since = None
        except TableUnavailable:
            self._away_since = self._away_since or self._clock()
        await self.life.go_on()
        self._heirs.look(nursery)
        for node in self.life.words.due(self.living(), self._clock()):
            nursery.start_soon(self.life.words.check, node)
        epoch = self.life.membership.epoch
        # Once a life, and once its row was gone.
        if epoch not in (None, self.life.reconciled) and self.life.trouble is None:
            await self.reconcile()
        news, self._news = self._news, []
        if news and self.life.links is not None:
            nursery.start_soon(self.life.links.adopt, self.life.settings.node_id, news, 0.0)

    async def _mend(self) -> None:
        """Operators, and the tools of databases, delete and alter rows at any time."""
        life, took = self.life, 0.0
        while True:
            await trio.sleep(max(MEND, MEND_SHARE * took))
            began, epoch = self._clock(), life.membership.epoch
            if epoch is not None and epoch == life.reconciled and life.fence.valid():
                with suppress(TableUnavailable):
                    await life.sessions.mend()
            took = self._clock() - began

    async def reconcile(self) -> bool:
        """See ClusterPeers. What the table has of us, and we do not know, is of an earlier life."""
        epoch = self.life.membership.epoch
        try:
            self._news += await self.life.sessions.unknown()
        except TableUnavailable:
            return False
        self.life.reconciled = epoch
        return True

    def _lose(self, sessions: list[NodeSession]) -> None:
        if self.life.links is None:
            self._lost += sessions
        else:
            self.life.links.lose(sessions)

    async def draining(self) -> None:
        """We hand over, and take nobody over while one is active: the others are told, or were tried to be."""
        await self.look()  # one that has just begun may take our sessions
        await self.life.draining()

    async def look(self) -> bool:
        """See ClusterPeers. Who asks while others look waits for one look more, together."""
        asked_at = self._clock()
        async with self._looking:
            if self._looked_at < asked_at:
                began, self._seen = self._clock(), False
                with suppress(TableUnavailable):
                    await self.life.look(as_of_now=True)
                    self._seen = True
                self._looked_at = began
            return self._seen

    async def leave(self) -> None:
        """The process ends: whatever sessions it has, are to be taken."""
        await self.life.leave()

    # What others ask

    @property
    def life_of_ours(self) -> Life | None:
        """See ClusterPeers."""
        epoch = self.life.membership.epoch
        return None if epoch is None else Life(self.node_id, epoch)

    @property
    def node_id(self) -> int:
        """Of this bridge."""
        return self.life.settings.node_id

    @property
    def cluster_id(self) -> int:
        """That it belongs to."""
        return self.life.settings.cluster_id

    @property
    def node_timeout(self) -> float:
        """Of its configuration, in seconds."""
        return self.life.settings.node_timeout

    def alive(self, node_id: int, epoch: int) -> Word:
        """Our word for a life of a peer; or whether one of our own goes on."""
        if node_id != self.life.settings.node_id:
            return self.life.membership.vouch(node_id, epoch, self._clock())
        own = self.life.membership.epoch
        return Word.ALIVE if own == epoch else Word.OVER if own is not None and own > epoch else Word.UNSURE

    def released(self, node_id: int, epoch: int) -> bool:
        """The process of a peer's life is over, which has told us so; whether that is news. Then a round begins."""
        news = node_id != self.node_id and self.life.membership.released(node_id, epoch)
        if news:
            self._due.set()
        return news

    def living(self) -> list[Node]:
        """See ClusterPeers."""
        return self.life.membership.living()

    def silent(self) -> list[Node]:
        """See ClusterPeers."""
        silent = {node.node_id: node for node in self.life.membership.silent()}
        return list((silent | self._heirs.orphaned() | self._heirs.adopting).values())

    def idle(self) -> list[Node]:
        """See ClusterPeers."""
        membership = self.life.membership
        return [one.node for one in membership.peers.values() if membership.state_of(one) == "taken"]

    def all_known(self) -> bool:
        """See ClusterPeers."""
        away = 0.0 if self._away_since is None else self._clock() - self._away_since
        return away >= self.life.settings.node_timeout and not self.life.membership.strangers()

    def figures(self) -> ClusterSnapshot:
        """A moment's view."""
        life, settings, membership, now = self.life, self.life.settings, self.life.membership, self._clock()
        state = "taken" if membership.epoch is None else life.state.name.lower()
        still = 0.0 if life.counted_at is None else now - life.counted_at
        nodes = [
            NodeSnapshot(settings.node_id, settings.url, state, still, membership.epoch or 0, membership.beat),
            *(
                NodeSnapshot(node_id, one.node.url, membership.state_of(one), one.still, one.node.epoch, one.node.beat)
                for node_id, one in membership.peers.items()
            ),
        ]
        valid = max(0.0, membership.valid_until - now)
        return ClusterSnapshot(
            settings.cluster_id, settings.node_id, valid, life.fence.open(), life.trouble, sorted(nodes)
        )
