"""Who of a cluster lives, and until when this node may say so of itself: every decision of beat and watch.

Owns these decisions alone. No clock, no database, no peer: what happened comes in, with the time at which it did, and
what follows is asked for. ``now`` is CLOCK_BOOTTIME in seconds, of this machine; no time of another one is ever used.
Authority: contract 11.

Our own life. A beat that was sent at t and counted is worth 0.8 node_timeout from t on, and so is the word of *all*
peers, asked at t, that they will not take us over: the first of them would do so after node_timeout. So between the end
of what we believe and the first that another one may do lie 0.2 node_timeout, for clocks that run at different speed
and for what is under way. Who hears that his epoch is over, from the table or from a peer, has no life any more.

The others. A peer that is about to be still for node_timeout (``watched_node``) is asked itself, so that its time to
answer ends with node_timeout; if it does not answer either, it is taken over, by whoever changes its row first. One
whose process is over, as systemd said or it itself, is taken over at once: the table says so, and we may have been told
before. Whoever takes over may die as well: so what a dead one wrote last is looked for by all.
"""

from collections.abc import Collection, Iterable, Mapping

from bridge.protocol.cluster import Node, NodeState, Start, Word
from bridge.protocol.watched_node import NEVER, WatchedNode

VALID = 0.8  # of node_timeout
LATE = 2.5  # ping_intervals without a beat, from which on a peer is called silent
ASKING = 0.05  # of node_timeout, for the answer of a peer
LEAST_ASKING = 0.2  # seconds


class Membership:
    """One node's view. Times in seconds.

    ``serve``: without database and peers it goes on with open connections (``db_outage``). ``known``: the nodes that an
    earlier life knew, for a start without the database; None: nobody knows.
    """

    def __init__(
        self,
        node_id: int,
        ping_interval: float,
        node_timeout: float,
        *,
        serve: bool,
        known: Iterable[Node] | None = None,
    ) -> None:
        self.node_id = node_id
        self.epoch: int | None = None  # of this life; None: there is none
        self.beat = 0
        self.valid_until = NEVER  # may claim and destroy
        self.open_until = NEVER  # may write
        self.own: WatchedNode | None = None  # our row, as it was read last
        self.peers = {node.node_id: WatchedNode(node, NEVER) for node in known or () if node.node_id != node_id}
        self.asking = max(ASKING * node_timeout, LEAST_ASKING)  # seconds that a peer has to answer
        self._knows_peers = known is not None
        self._left: dict[int, float] = {}  # until when we leave whom alone: it answered, or we gave our word
        self._released: dict[int, int] = {}  # whose process is over, of which epoch, as we were told
        self._ping_interval = ping_interval
        self._timeout = node_timeout
        self._serve = serve
        self.lost = False  # whether the last life was ended by another one
        self._unsure = False  # whether a beat of ours is out, which may have counted
        self._watched = False  # the table was read, with no failure since

    # Our own life

    def enter(self, mine: Collection[int]) -> Start:
        """Whether a life may begin, by our row as it was read last. ``mine``: the epochs that are ours for certain,
        because our state directory says so, which is locked.
        """
        own = self.own
        if own is None or not own.node.running or own.node.epoch in mine or own.still >= self._timeout:
            return Start.ENTER
        return Start.TWIN if own.changes else Start.WAIT

    def began(self, epoch: int, beat: int, sent_at: float) -> None:
        """Our life has this epoch; it is worth as much as a beat."""
        self.epoch, self.beat, self._unsure, self.lost = epoch, beat, False, False
        self._valid(sent_at)

    def goes_on(self, epoch: int) -> None:
        """The life of the last process may go on: it is neither valid yet nor over."""
        self.epoch = epoch
        self._unsure = True

    def counted(self, sent_at: float) -> None:
        """A beat that was sent then is in the table; or whatever else made it one more."""
        self.beat, self._unsure = self.beat + 1, False
        self._valid(sent_at)

    def unknown(self) -> None:
        """A beat has no outcome: it may have counted."""
        self._unsure = True

    def refused(self, row: Node | None) -> bool:
        """A beat did not count; ``row`` is ours as it is now. Whether our life is over; else it is to beat again, as to
        have read the row keeps nobody from taking it.
        """
        if row is None or row.epoch != self.epoch or not self._unsure or row.beat < self.beat:
            self.over()
            return True
        self.beat = row.beat  # an earlier one had counted after all
        return False

    def asked(self, words: Mapping[int, Word | None], sent_at: float) -> bool:
        """What the peers said, None for one that could not be reached. Whether our life is over."""
        if Word.OVER in words.values():
            self.over()
            return True
        if self.lost:
            return False
        if self.epoch is not None and self._knows_peers and all(word is Word.ALIVE for word in words.values()):
            self._valid(sent_at)
        elif self._serve:
            self.open_until = max(self.open_until, sent_at + VALID * self._timeout)
        return False

    def over(self) -> None:
        """Another one has our sessions."""
        self.epoch = self.own = None
        self.lost = True
        self.valid_until = self.open_until = NEVER

    def _valid(self, sent_at: float) -> None:
        self.valid_until = max(self.valid_until, sent_at + VALID * self._timeout)
        self.open_until = max(self.open_until, self.valid_until)

    # The others

    def read(self, nodes: Iterable[Node], asked_at: float, now: float) -> None:
        """The table as it was read, asked for at ``asked_at``."""
        most = 2 * self._ping_interval if self._watched else 0.0
        self._watched = self._knows_peers = True
        before, self.peers, own, self.own = self.peers, {}, self.own, None
        for node in nodes:
            if node.node_id == self.node_id:
                self.own = own or WatchedNode(node, now, now)
                self.own.seen(node, asked_at, now, most)
            else:
                peer = self.peers[node.node_id] = before.get(node.node_id) or WatchedNode(node, now, now)
                peer.seen(node, asked_at, now, most)
        for node_id, peer in before.items():  # one that lives enters a row again that somebody deleted
            if node_id not in self.peers and peer.node.running and peer.seen_at > NEVER:
                peer.seen(peer.node, asked_at, now, most)
                if peer.still < LATE * self._ping_interval:
                    self.peers[node_id] = peer
        told, self._released = self._released, {}
        for node_id, epoch in told.items():
            if node_id in self.peers and self.peers[node_id].node.epoch <= epoch:
                self._released[node_id] = epoch

    def not_read(self) -> None:
        """The table could not be read: what passes until it can is not watched."""
        self._watched = False

    def electors(self) -> list[Node]:
        """Whose word it takes: all that might take us over. Where none runs, as far as we have read: those that were,
        as one of them may have begun anew where we do not see it.
        """
        nodes = [peer.node for peer in self.peers.values()]
        return [node for node in nodes if node.running] or nodes

    def vouch(self, node_id: int, epoch: int, now: float) -> Word:
        """Give a peer our word, where it is to be had; also for a life that we have not read of yet."""
        peer = self.peers.get(node_id)
        if peer is not None:
            if peer.node.epoch > epoch:
                return Word.OVER
            if peer.taking:
                return Word.UNSURE
        self._left[node_id] = now + self._timeout
        return Word.ALIVE

    def suspects(self, now: float) -> list[Node]:
        """Those whose MI is to be asked: they will have been still for node_timeout when the time to answer is over."""
        return [
            peer.node
            for peer in self._takeable(now)
            if not self._is_over(peer) and peer.still >= self._timeout - self.asking and not self._is_mute(peer, now)
        ]

    def heirless(self, now: float) -> list[Node]:
        """Those to be taken over at once: their process is over, or they are still for node_timeout and were asked."""
        return [
            peer.node
            for peer in self._takeable(now)
            if self._is_over(peer) or (peer.still >= self._timeout and self._is_mute(peer, now))
        ]

    def silent_since(self, node_id: int) -> float:
        """When the sessions that it has were heard last for certain: where it took another one's in its last
        node_timeout, it may have died before it claimed them.
        """
        peer = self.peers[node_id]
        taken = [one.taken for one in self.peers.values()]
        since = min([peer.moved_at, *(moved for at, moved in taken if at >= peer.moved_at - self._timeout)])
        return since if since > NEVER else peer.seen_at - peer.still

    def unsearched(self, now: float) -> list[Node]:
        """Those that were taken over and may have sessions still: more than we have taken at once, or than an heir had
        that died at it; and node_timeout later, what they wrote last. Each that may claim looks for that, once.
        """
        if now >= self.valid_until or not self._watched:
            return []
        taken = [peer for peer in self.peers.values() if peer.node.state is NodeState.TAKEN and not peer.searched]
        return [peer.node for peer in taken if peer.owed or peer.still >= self._timeout]

    def searched(self, node: Node) -> None:
        """It has no more."""
        peer = self.peers.get(node.node_id)
        if peer is not None and peer.node == node:
            peer.owed, peer.searched = False, peer.still >= self._timeout

    def wake_at(self, now: float) -> float:
        """When the table is to be read next so that a peer is asked, or taken over, in time; infinity: nobody is."""
        due = [
            peer.seen_at + self._timeout - peer.still - (0.0 if self._is_mute(peer, now) else self.asking)
            for peer in self._takeable(now)
        ]
        return min((at for at in due if at > now), default=float("inf"))

    def answered(self, node_id: int, now: float) -> None:
        """Its MI did: it lives, whatever the table says."""
        self._left[node_id] = now + self._timeout

    def unanswered(self, node: Node, asked_at: float) -> None:
        """Its MI, asked then, did not, or says that it is over."""
        peer = self.peers.get(node.node_id)
        if peer is not None and peer.node == node:
            peer.unanswered_at = asked_at

    def released(self, node_id: int, epoch: int) -> bool:
        """The process of that life is over, which has told us so; whether that is news."""
        peer = self.peers.get(node_id)
        if peer is not None and (peer.node.epoch > epoch or (peer.node.epoch == epoch and self._is_over(peer))):
            return False
        self._released[node_id] = epoch
        return True

    def taking(self, node: Node, now: float) -> bool:
        """It is about to be taken over, and gets no word of ours from now on; False: it has one, or is another now."""
        peer = self.peers.get(node.node_id)
        if peer is None or peer not in self._takeable(now) or peer.node != node:
            return False
        for one in self.peers.values():  # it may have been at it itself
            one.owed = one.owed or (one.node.state is NodeState.TAKEN and not one.searched)
        peer.taking = True
        return True

    def not_taken(self, node: Node) -> None:
        """It was not: it lives, or another peer has it."""
        peer = self.peers.get(node.node_id)
        if peer is not None:
            peer.taking = False

    def _takeable(self, now: float) -> list[WatchedNode]:
        if now >= self.valid_until:
            return []
        return [
            peer
            for peer in self.peers.values()
            if self._is_over(peer)  # it wants no word any more, whoever gave it
            or (peer.node.running and self._left.get(peer.node.node_id, NEVER) <= now)
        ]

    def _is_over(self, peer: WatchedNode) -> bool:
        """Its process is, and nobody has its sessions yet."""
        node = peer.node
        return node.state is NodeState.OVER or (node.running and self._released.get(node.node_id) == node.epoch)

    def _is_mute(self, peer: WatchedNode, now: float) -> bool:
        """Its MI did not answer, just now."""
        return now - peer.unanswered_at <= self.asking + 2 * self._ping_interval

    # What others ask

    def rows(self) -> list[Node]:
        """All nodes, ourselves too."""
        return [*([] if self.own is None else [self.own.node]), *(peer.node for peer in self.peers.values())]

    def living(self) -> list[Node]:
        """Those whose beat goes on, as far as is known."""
        return [peer.node for peer in self.peers.values() if self.state_of(peer) in ("active", "draining")]

    def silent(self) -> list[Node]:
        """Those whose sessions nobody has now, and somebody is to take."""
        return [peer.node for peer in self.peers.values() if self.state_of(peer) in ("silent", "over")]

    def strangers(self) -> bool:
        """Whether somebody has asked for our word of whom nothing was read."""
        return any(node_id not in self.peers for node_id in self._left)

    def state_of(self, peer: WatchedNode) -> str:
        """active, draining, silent, over or taken."""
        late = peer.node.running and peer.still >= LATE * self._ping_interval
        if late or peer.taking or (peer.owed and peer.still < self._timeout):
            return "silent"
        return "over" if self._is_over(peer) else peer.node.state.name.lower()
