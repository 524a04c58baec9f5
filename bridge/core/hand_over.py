"""A planned hand-over: this bridge's sessions go to its peers, and no command and no event is lost, twice or late.

Owns the order of it, gateway by gateway: new commands wait; those in flight are answered; a peer claims the sessions
(``offers``) while the connection here is still read; the commands that waited go to the peer; what was heard here is
delivered; then the peer raises what it heard. Must not know tables, or how commands go to a peer (``errands``).
Authority: contract 11.5.
Observed: events that Janus had queued for a connection when its session was claimed elsewhere are read there, and a
``ping`` is answered behind them; a connection whose session was claimed is closed without harm.
"""

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from bridge.core.cluster_faces import AskPeer
from bridge.core.environment import LinkEnvironment
from bridge.core.errands import Errands
from bridge.core.link import JanusLink
from bridge.core.offers import Offers, of_worth
from bridge.core.registry import LinkRegistry
from bridge.errors import BridgeError
from bridge.protocol.cluster import TAKEN
from bridge.protocol.humanize import plural

log = logging.getLogger("bridge.cluster")

AT_ONCE = 8  # gateways
TURN = 0.25  # seconds that one keeps the next waiting: who hangs goes on beside it
DRAIN = 1.0  # seconds in which commands and claims in flight may still be answered
DELIVERED = 2.0  # seconds for what was heard here to be delivered
TOLD = 1.0  # seconds for the peer to hear of that
AGAIN = 1.0  # seconds between two looks at what has no outcome
MOST_NAMES = 10  # in a line of the log


@dataclass(slots=True)
class HandedOver:
    """What became of a hand-over. ``kept``: gateways whose sessions are still here."""

    gateways: int = 0
    sessions: int = 0
    kept: list[str] = field(default_factory=list)


class HandOver:
    """``delivered()`` waits until the events that were raised are with their subscribers."""

    def __init__(
        self,
        environment: LinkEnvironment,
        registry: LinkRegistry,
        errands: Errands,
        offers: Offers,
        ask: AskPeer,
        delivered: Callable[[], Awaitable[None]],
    ) -> None:
        assert environment.cluster is not None, "a hand-over is one in a cluster"
        self._node_id = environment.cluster.node_id
        self._timers = environment.timers
        self._stats = environment.stats
        self._registry = registry
        self._errands = errands
        self._offers = offers
        self._ask = ask
        self._delivered = delivered
        self._lock = trio.Lock()
        self._scope = trio.CancelScope()  # of whoever has it
        self._turns = trio.Semaphore(AT_ONCE)

    async def run(self, deadline: float = math.inf) -> HandedOver:
        """Hand every gateway over that a peer takes. What is not with one at ``deadline``, in trio's clock, is kept:
        this process is about to end. Never raises; a peer that dies meanwhile is taken over itself.
        """
        outcome = HandedOver()
        self._offers.stopping = self._offers.stopping or deadline < math.inf
        self._scope.deadline = min(self._scope.deadline, deadline)  # of who is at it already
        with trio.CancelScope(deadline=deadline):
            async with self._lock, trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                for link in self._registry:
                    if of_worth(link):
                        nursery.start_soon(self._in_turn, link, outcome)
        outcome.kept = sorted(link.gateway.janus_id for link in self._registry if of_worth(link))
        moved = plural(outcome.gateways, "gateway"), plural(outcome.sessions, "session")
        log.info("handed over %s with %s, kept %d", *moved, len(outcome.kept))
        if outcome.kept:
            names, more = ", ".join(outcome.kept[:MOST_NAMES]), len(outcome.kept) - MOST_NAMES
            names += f" and {more} more" if more > 0 else ""
            log.warning("sessions stay here, because no peer took them in time: %s", names)
        return outcome

    async def _in_turn(self, link: JanusLink, outcome: HandedOver) -> None:
        await self._turns.acquire()
        turn = _Turn(self._turns)
        timer = self._timers.call_at(trio.current_time() + TURN, turn.over)
        try:
            await self._one(link, outcome, turn)
        finally:
            timer.cancel()
            turn.over()

    async def _one(self, link: JanusLink, outcome: HandedOver, turn: "_Turn | None" = None) -> None:
        janus_id = link.gateway.janus_id
        await self._offers.look(link)
        sessions = of_worth(link)
        self._errands.hold(janus_id)
        try:
            with trio.move_on_after(DRAIN):
                await link.requests.drained()
                await _claimed(link)
            # A claim of ours, as in a take-over, could be granted behind the peer's: that would take it back.
            stays = link.book.asked_for and not link.transfer.in_doubt
            node = None if stays else await self._offers.give(link)
        finally:
            self._errands.release(janus_id)
        if node is None:
            return
        outcome.gateways += 1
        outcome.sessions += len(sessions)
        self._stats.add("hand_overs")
        if turn is not None:
            turn.over()  # a subscriber that does not take his events must not delay the next one
        with trio.move_on_after(DELIVERED):
            await _read_out(link)
            await self._delivered()
        try:
            await self._ask(node.url, TAKEN, [self._node_id, janus_id], TOLD)
        except BridgeError as exc:
            log.warning("%s: node %d was not told that all events are delivered: %s", janus_id, node.node_id, exc)

    async def settle(self) -> None:
        """Find out what a peer has whose answer was lost, until cancelled."""
        while True:
            await self._offers.doubt.wait()
            await trio.sleep(AGAIN)
            for link in self._registry:
                if link.transfer.in_doubt:
                    async with self._lock:
                        if link.transfer.in_doubt and await self._offers.has_them(link):
                            await self._one(link, HandedOver())
                    self._offers.doubt.set()


class _Turn:
    """One of those that may be at it."""

    def __init__(self, turns: trio.Semaphore) -> None:
        self._turns: trio.Semaphore | None = turns

    def over(self) -> None:
        """The next one may begin."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.release()


async def _claimed(link: JanusLink) -> None:
    """Wait until no claim is without an answer."""
    while link.book.asked_for:
        await link.changes.wait()


async def _read_out(link: JanusLink) -> None:
    """Wait until everything is read that Janus had queued for the connections that are open."""
    for connection in [one for one in link.connections.values() if one.opened and one.usable]:
        await link.requests.ask(connection, {"janus": "ping"}).wait()
