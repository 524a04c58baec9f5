"""Giving the sessions of one gateway to another bridge, and finding out what became of them where its answer is lost.

Owns which peer is asked, and what is true until it has answered: what was offered is claimed by nobody here, and its
connections stay open. Must not know what a hand-over does before and after (``hand_over``). Authority: contract 11.5.
"""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.core.cluster_faces import AskPeer, ClusterPeers
from bridge.core.commands_peers import shown
from bridge.core.environment import LinkCluster
from bridge.core.link import JanusLink
from bridge.core.whereabouts import Residence, Wanted, Whereabouts
from bridge.errors import BridgeError, PeerNotReached, PeerRefused, PeerSilent
from bridge.protocol.cluster import ALIVE, FIND, NO_BRIDGE, TAKE, Life, Node, NodeState
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.session import JanusSession

log = logging.getLogger("bridge.cluster")

PATIENCE = 8.0  # seconds for a peer to claim
PULSE = 3.0  # seconds for a peer to say that it is there, and for which that counts
HUNG = 10.0  # seconds for which it counts that a peer said nothing
QUICK = 1.0  # seconds for a peer to say what it has; or, while commands wait for it, that it is there
WATCH = 0.25  # seconds between two of these questions
MOST_SESSIONS = 1000  # in one request
MOST_HANDLES = 5000  # whose plugins are told; others are found when they are named


@dataclass(slots=True)
class _Pulse:
    """What a peer said last, when it was asked whether it is there: "" or why it has no answer."""

    asking: trio.Lock = field(default_factory=trio.Lock)
    said_at: float = -math.inf
    fault: str = ""

    def said(self, fault: str) -> None:
        """Just now."""
        self.fault, self.said_at = fault, trio.current_time()

    def counts(self, fresh: float) -> bool:
        """Still; ``fresh``: the seconds for which it counts that it is there."""
        return trio.current_time() - self.said_at < (HUNG if self.fault else fresh)


class Offers:
    """``doubt`` is set whenever some peer may have what is here."""

    def __init__(self, cluster: LinkCluster, whereabouts: Whereabouts, peers: ClusterPeers, ask: AskPeer) -> None:
        self.doubt = AutoResetEvent()
        self.stopping = False  # this process is about to end
        self._cluster = cluster
        self._whereabouts = whereabouts
        self._peers = peers
        self._ask = ask
        self._unanswered: Counter[int] = Counter()  # of each peer
        self._pulses: defaultdict[tuple[int, int], _Pulse] = defaultdict(_Pulse)  # of a life

    async def look(self, link: JanusLink) -> None:
        """Find out who would be offered it and hangs, before any caller waits for that."""
        hung = set[int]()
        while (node := self._next_peer(link, hung)) and await self._fault_of(node, PULSE, PULSE):
            hung.add(node.node_id)

    async def _fault_of(self, node: Node, patience: float, fresh: float) -> str:
        """Why a peer can be offered nothing now, "" where it is there, as it has said ``fresh`` seconds ago at most.
        Gateways that ask at once ask once.
        """
        pulse = self._pulses[node.node_id, node.epoch]
        async with pulse.asking:
            if not pulse.counts(fresh):
                fault = ""
                try:
                    await self._ask(node.url, ALIVE, [node.node_id, node.epoch, node.node_id], patience)
                except PeerRefused:  # it says so again when it is offered something
                    pass
                except (PeerNotReached, PeerSilent) as exc:
                    fault = exc.data or exc.message
                    log.warning("node %d is offered no sessions: %s", node.node_id, fault)
                except BridgeError:
                    pass
                pulse.said(fault)
            return pulse.fault

    async def give(self, link: JanusLink) -> Node | None:
        """The peer that has all its sessions now; None: they are still here, as far as is known."""
        janus_id, refused = link.gateway.janus_id, set[int]()
        while node := self._next_peer(link, refused):
            refused.add(node.node_id)
            if await self._fault_of(node, PULSE, PULSE):
                continue
            try:
                for part in _parts(of_worth(link)):
                    await self._give_part(link, node, part)
            except PeerSilent as exc:
                log.warning("%s: node %d may have taken its sessions: %s; asking again", janus_id, node.node_id, exc)
                return None
            except BridgeError as exc:
                why = exc.data or exc.message
                log.warning("%s: node %d does not take its sessions: %s", janus_id, node.node_id, why)
                continue
            link.transfer.given_to = node
            return node
        link.transfer.given_to = None
        return None

    def _next_peer(self, link: JanusLink, refused: set[int]) -> Node | None:
        """The one that owes the fewest answers: who hangs gets nothing more. What one may have claimed is for no other
        as long as it lives.
        """
        active = [node for node in self._peers.living() if node.state is NodeState.ACTIVE]
        claimer = self._living(link.transfer.claimer)
        candidates = [node for node in ([claimer] if claimer else active) if node.node_id not in refused]
        return min(candidates, key=lambda node: self._unanswered[node.node_id], default=None)

    def _living(self, claimer: Node | None) -> Node | None:
        """It, as long as it lives that life."""
        return next((node for node in self._peers.living() if _same_life(node, claimer)), None)

    async def _give_part(self, link: JanusLink, node: Node, sessions: list[JanusSession]) -> None:
        gateway, life, room = link.gateway, self._peers.life_of_ours, MOST_HANDLES
        if life is None:
            raise PeerNotReached("this bridge is not active in the cluster now")
        rows = []
        for session in sessions:
            handles = dict(list(session.handles.items())[: max(room, 0)])
            room -= len(handles)
            rows.append(shown(session.session_id or 0, session.managed, handles))
        transfer, before = link.transfer, link.transfer.claimer
        transfer.claimer = node
        link.book.offer(sessions)
        self.doubt.set()
        try:
            answer = await self._answer(node, [*life, gateway.janus_id, gateway.janus_url, rows])
        except PeerSilent:
            raise
        except BridgeError as exc:  # it has none of them, now; or it was not reached, now
            if before is None or (_same_life(before, node) and isinstance(exc, RpcError)):
                _take_back(link)
                if isinstance(exc, RpcError):
                    await self._write_again(link, sessions, node)
            else:
                transfer.claimer = before
            raise
        if not isinstance(answer, dict) or "sessions" not in answer:
            raise PeerSilent(NO_BRIDGE)  # whoever that is may have them
        if not answer.get("claiming"):
            transfer.claimer = None
        taker = Life(node.node_id, node.epoch)
        for session in sessions:
            for handle_id in (*session.handles, None):
                self._whereabouts.remember(Wanted(gateway.janus_id, session.session_id, handle_id), Residence(node))
            self._cluster.sessions.let_go(gateway, session.session_id or 0, taker)
        link.give_up(sessions, f"handed over to node {node.node_id}", renew=not self.stopping)

    async def _write_again(self, link: JanusLink, sessions: list[JanusSession], node: Node) -> None:
        """Their rows are ours again, by its word: it may have written them before it found that it cannot claim."""
        kept, giver = self._cluster.sessions, Life(node.node_id, node.epoch)
        async with trio.open_nursery() as nursery:
            for session in sessions:
                if session.session_id is not None:
                    home = session.home or link.gateway
                    kept.let_go(home, session.session_id)
                    write = partial(kept.reserve, managed=session.managed, giver=giver)
                    nursery.start_soon(write, home, session.session_id)

    async def _answer(self, node: Node, params: list[object]) -> object:
        """To janus_cluster_take. Commands wait for it: one that hangs meanwhile has no more time."""
        answer: object = None
        fault: BridgeError | None = PeerSilent("it hangs")  # unless it answers before the watch is over
        self._unanswered[node.node_id] += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, node, nursery.cancel_scope)
                try:
                    answer, fault = await self._asked(node, params), None
                except BridgeError as exc:
                    fault = exc
                nursery.cancel_scope.cancel()
        finally:
            self._unanswered[node.node_id] -= 1
        if fault is not None:
            raise fault
        return answer

    async def _asked(self, node: Node, params: list[object]) -> object:
        """An answer that was lost with its connection is asked for once more."""
        until = trio.current_time() + PATIENCE
        try:
            return await self._ask(node.url, TAKE, params, PATIENCE)
        except PeerSilent as exc:
            left = until - trio.current_time()
            if left <= 0:  # it has had its time, and hangs
                raise
            try:
                return await self._ask(node.url, TAKE, params, left)
            except PeerNotReached:
                raise exc from None

    async def _watch(self, node: Node, waiting: trio.CancelScope) -> None:
        """Whoever waits for it waits no more once it does not say that it is there."""
        while True:
            if await self._fault_of(node, QUICK, WATCH):
                waiting.cancel()
            await trio.sleep(WATCH)

    async def has_them(self, link: JanusLink) -> bool:
        """Whether the peer whose answer was lost says now that it has them. Where it has not, or lives no more, they
        are ours as before, but for those that the table has as another one's.
        """
        offered = [session for session in link.book if session.offered]
        node = self._living(link.transfer.claimer)
        if not offered or node is None:
            if not offered or await self._peers.reconcile():
                _take_back(link)
            return False
        params = [link.gateway.janus_id, str(offered[0].session_id), ""]
        try:
            answer = await self._ask(node.url, FIND, params, QUICK)
        except BridgeError:
            return False
        here = answer.get("here") if isinstance(answer, dict) else None
        if not isinstance(here, bool):
            return False
        self._pulses[node.node_id, node.epoch].said("")
        if not here:
            _take_back(link)
        return here


def _take_back(link: JanusLink) -> None:
    """Nobody else claims what was offered."""
    link.transfer.claimer = None
    link.book.take_back()
    link.look()


def of_worth(link: JanusLink) -> list[JanusSession]:
    """What is to be given: all sessions, but for the empty one that this bridge made for itself after a hand-over."""
    if link.transfer.given_to is not None:
        return link.book.of_worth
    return [session for session in link.book if session.session_id is not None]


def _same_life(one: Node, other: Node | None) -> bool:
    return other is not None and (one.node_id, one.epoch) == (other.node_id, other.epoch)


def _parts(sessions: list[JanusSession]) -> Iterator[list[JanusSession]]:
    for start in range(0, len(sessions), MOST_SESSIONS):
        yield sessions[start : start + MOST_SESSIONS]
