"""The life of this node: how it begins, goes on from beat to beat, and ends.

Owns our row in the table, and the fence. Every decision is membership's. Must not know the other nodes but for their
word, SQL, or what links are: they are told to give up. Authority: contract 11.
"""

import logging
from collections.abc import Callable, Sequence

import trio

from bridge.core.cluster_faces import AskPeer, ClusterLinks, NodeMemory, NodeSettings, NodeStore
from bridge.core.cluster_sessions import SessionKeeper
from bridge.core.cluster_words import PeerWords
from bridge.core.fence import Fence
from bridge.core.stats import Stats
from bridge.errors import AnotherNode, TableRefused, TableUnavailable
from bridge.protocol.cluster import Node, NodeState, Start, Word, epoch_of
from bridge.protocol.membership import Membership
from bridge.throttle import Throttle

log = logging.getLogger("bridge.cluster")

LATE = 1.5  # ping_intervals between two beats, from which on one is counted as late
MOST_EPOCHS = 16  # that are kept


class NodeLife:
    """``clock`` gives CLOCK_BOOTTIME in seconds. ``links`` is set before anything is to be given up."""

    def __init__(
        self,
        settings: NodeSettings,
        table: NodeStore,
        sessions: SessionKeeper,
        memory: NodeMemory,
        ask: AskPeer,
        fence: Fence,
        stats: Stats,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.fence = fence
        self.sessions = sessions
        self.links: ClusterLinks | None = None
        self.inherited = True  # whether what is left of the last life is ours, as far as is known
        self.inherited_at_start = True  # the same of what the last process left
        self.state = NodeState.ACTIVE
        self.stopping = False  # the process is about to end
        self.row = trio.Lock()  # our row is changed by one task at a time
        self.counted_at: float | None = None
        self.membership = Membership(
            settings.node_id,
            settings.ping_interval,
            settings.node_timeout,
            serve=settings.serve,
            known=memory.nodes,
        )
        self.words = PeerWords(ask, settings.cluster_id, self.membership.asking, settings.node_timeout)
        sessions.epoch = lambda: self.membership.epoch
        self._table = table
        self._memory = memory
        self._lived = bool(memory.epochs)  # an earlier process did, in this cluster
        self._stats = stats
        self._clock = clock
        self._ended = False
        self.reconciled: int | None = None  # the epoch in which we and the table were of one mind of our sessions
        self._database, self._doubt, self._twin = Throttle(), Throttle(), Throttle()
        self._deleted = Throttle(60.0, repeat=True)

    @property
    def trouble(self) -> str | None:
        """Why there is no beat; None when there is."""
        return self._database.said

    async def look(self, *, as_of_now: bool = False) -> None:
        """Read the table. Raises TableUnavailable."""
        asked_at = self._clock()
        try:
            nodes = await self._table.nodes(as_of_now=as_of_now)
        except TableUnavailable as exc:
            self.membership.not_read()
            self._no_beat(exc)
            raise
        self.membership.read(nodes, asked_at, self._clock())
        if self.membership.epoch is not None and not _same(self._memory.nodes, nodes):
            await self._remember(self._memory.epochs)

    # It begins

    async def enter(self, least: int) -> int | None:
        """Begin with an epoch of ``least`` or more; None where the database does not answer, and the life of the last
        process goes on. Raises AnotherNode, and TableRefused for what only an operator can mend.
        """
        patient_until = self._clock() + self.settings.node_timeout
        while True:
            try:
                await self.look()
            except TableRefused:
                raise
            except TableUnavailable:
                self._without_table()
                return None
            own, start = self.membership.own, self.membership.enter(self._memory.epochs)
            if start is Start.TWIN and own is not None:
                raise AnotherNode(
                    f"node {self.settings.node_id} of cluster {self.settings.cluster_id} is another running bridge "
                    f"(its MI is {own.node.url}): give each bridge a [cluster] my_node_id of its own"
                )
            if start is Start.WAIT:
                log.info("node %d may still live elsewhere: watching its beat", self.settings.node_id)
                await trio.sleep(self.settings.ping_interval)
                continue
            try:
                if await self._begin(least):
                    return self.membership.epoch
            except TableRefused:
                raise
            except TableUnavailable:  # it can be read, and commits nothing, as a Galera that has just lost a node
                if self._clock() > patient_until:
                    self._without_table()
                    return None
            await trio.sleep(self.settings.ping_interval)

    def _without_table(self) -> None:
        if len(self._memory.epochs) == 1:
            self.membership.goes_on(self._memory.epochs[0])

    async def again(self) -> None:
        """Begin anew, where that may be."""
        start = self.membership.enter(self._memory.epochs)
        if start is Start.ENTER:
            await self._begin()
        elif start is Start.TWIN and self._twin.due("twin"):
            log.critical(
                "node %d is another running bridge; this one stays out: give it a [cluster] my_node_id of its own",
                self.settings.node_id,
            )

    async def _begin(self, least: int = 0) -> bool:
        membership, own, mine = self.membership, self.membership.own, self._memory.epochs
        # A row that is gone was deleted, of a node that others had taken over for good.
        forgotten = own is None and self._lived and bool(membership.peers)
        if self.inherited and (forgotten or (own is not None and own.node.epoch not in mine)):
            self.inherited, self.inherited_at_start, mine = False, False, ()
            self._leave_sessions("it was taken over while this bridge was away")
        epoch = epoch_of(self.settings.node_id, 1 + max([least - 1, *mine, self._table.newest]))
        # On the disk before it is in the table: after a death in between, the row is known to be ours either way.
        await self._remember([*mine, epoch])
        sent_at = self._clock()
        try:
            async with self.row:
                beat = await self._table.enter(self.settings.url, epoch, None if own is None else own.node)
        except TableUnavailable as exc:
            self._no_beat(exc)
            raise
        if beat is None:
            return False
        membership.began(epoch, beat, sent_at)
        self.counted(sent_at)
        self._twin.over()
        self.inherited = True
        await self._remember([epoch])
        log.info("node %d of cluster %d, epoch %d", self.settings.node_id, self.settings.cluster_id, epoch)
        return True

    # It goes on

    async def go_on(self) -> None:
        """Beat; or, without, ask the peers for their word."""
        epoch = self.membership.epoch
        if epoch is not None and await self.beat():
            return
        if not self._ended and self.membership.epoch == epoch:  # who ends wants nobody's word: it would be kept
            await self._ask_peers(epoch)

    async def beat(self) -> bool:
        """Whether our life goes on in the table, as of now."""
        membership = self.membership
        for _ in range(2):  # a second time where an earlier one had counted after all
            async with self.row:
                epoch, sent_at = membership.epoch, self._clock()
                if epoch is None or self._ended:
                    return False
                try:
                    if await self._table.beat(epoch, membership.beat, self.state):
                        membership.counted(sent_at)
                        self.counted(sent_at)
                        return True
                    row = next((one for one in await self._table.nodes() if one.node_id == self.settings.node_id), None)
                    if row is None and self.fence.valid():  # so nobody has taken us over
                        if await self._table.enter_again(self.settings.url, epoch, membership.beat, self.state):
                            self._entered_again(sent_at)
                            return True
                        continue
                except TableUnavailable as exc:
                    membership.unknown()
                    self._no_beat(exc)
                    return False
            if membership.refused(row):
                self._give_up("its row in the cluster's database says so")
                return False
        return False

    def _entered_again(self, sent_at: float) -> None:
        self.membership.counted(sent_at)
        self.counted(sent_at)
        self.reconciled = None
        if self._deleted.due("", sent_at):
            text = "somebody deleted the row of this bridge, node %d, in the cluster's database: it is entered again"
            log.error(text, self.settings.node_id)

    def counted(self, sent_at: float) -> None:
        """What was sent then keeps us alive."""
        if self.counted_at is not None and sent_at - self.counted_at > LATE * self.settings.ping_interval:
            self._stats.add("beats_late")
        self.counted_at = sent_at
        self._move_fence()
        if self._database.over():
            log.info("this bridge beats in the cluster's database again")
        self._doubt.over()

    def _no_beat(self, exc: TableUnavailable) -> None:
        if self._database.due(str(exc)):
            log.warning("cannot write the beat to the cluster's database: %s; retrying", exc)

    async def _ask_peers(self, epoch: int | None) -> None:
        words: dict[int, Word | None] = {}
        sent_at = self._clock()

        async def ask(node: Node) -> None:
            words[node.node_id] = await self.words.of(node, self.settings.node_id, epoch or 0)

        async with trio.open_nursery() as nursery:
            for node in self.membership.electors() if epoch is not None else ():
                nursery.start_soon(ask, node)
        if self.membership.epoch != epoch:
            return
        if self.membership.asked(words, sent_at):
            self._give_up("a peer says so")
            return
        self._move_fence()
        silent = sorted(node_id for node_id, word in words.items() if word is not Word.ALIVE)
        if self.fence.valid():
            self._doubt.over()
        elif not self.membership.lost and self._doubt.due(str(silent)):
            left = "open connections go on" if self.settings.serve else "commands are held"
            log.error("cannot reach the cluster's database, nor all peers (silent: %s): %s", silent, left)

    def _move_fence(self) -> None:
        self.fence.move(self.membership.valid_until, self.membership.open_until)

    # It ends

    def _give_up(self, why: str) -> None:
        log.error(
            "this bridge, node %d, was taken over: %s; a peer has its sessions, new ones are made",
            self.settings.node_id,
            why,
        )
        self.inherited = False
        self._move_fence()
        self._leave_sessions("it was taken over")

    def _leave_sessions(self, why: str) -> None:
        self.sessions.forget()
        if self.links is not None:
            self.links.give_up(f"node {self.settings.node_id}: {why}")

    async def draining(self) -> None:
        """We hand over, and take nobody over while one is active: the others are told, or were tried to be."""
        self.state = NodeState.DRAINING
        await self.beat()

    async def leave(self) -> None:
        """The process ends: whatever sessions it has, are to be taken."""
        async with self.row:
            epoch, self._ended = self.membership.epoch, True
            if epoch is None:
                return
            try:
                await self._table.release(epoch, NodeState.OVER if len(self.sessions) else NodeState.TAKEN)
            except TableUnavailable as exc:
                log.warning("cannot tell the cluster's database that this bridge stops: %s", exc)

    async def _remember(self, epochs: Sequence[int]) -> None:
        await self._memory.keep(epochs[-MOST_EPOCHS:], self.membership.rows())


def _same(known: Sequence[Node] | None, nodes: Sequence[Node]) -> bool:
    """Whether these are the nodes that are kept, however often they have beaten since."""
    return known is not None and {one._replace(beat=0) for one in known} == {one._replace(beat=0) for one in nodes}
