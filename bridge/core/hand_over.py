"""A planned hand-over: this bridge's sessions go to its peers, and no command and no event is lost, twice or late.

Owns the order of it, gateway by gateway: new commands wait; those in flight are answered; a peer claims the sessions
while the connection here is still read; the commands that waited go to the peer; what was heard here is delivered; then
the peer raises what it heard. Must not know tables, or how commands go to a peer (``errands``). Authority: contract 11.
Observed: events that Janus had queued for a connection when its session was claimed elsewhere are read there, and a
``ping`` is answered behind them; a connection whose session was claimed is closed without harm.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import trio

from bridge.core.cluster_faces import AskPeer, ClusterPeers
from bridge.core.commands_peers import shown
from bridge.core.environment import LinkEnvironment
from bridge.core.errands import Errands
from bridge.core.link import JanusLink
from bridge.core.registry import LinkRegistry
from bridge.core.whereabouts import Residence, Wanted
from bridge.errors import BridgeError, PeerSilent
from bridge.protocol.cluster import Node, NodeState
from bridge.protocol.session import JanusSession, SavedSession

log = logging.getLogger("bridge.cluster")

AT_ONCE = 8  # gateways
DRAIN = 1.0  # seconds in which commands in flight may still be answered
PATIENCE = 8.0  # seconds for a peer to claim
DELIVERED = 2.0  # seconds for what was heard here to be delivered
MOST_SESSIONS = 1000  # in one request
MOST_HANDLES = 5000  # whose plugins are told; others are found when they are named


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
        peers: ClusterPeers,
        ask: AskPeer,
        delivered: Callable[[], Awaitable[None]],
    ) -> None:
        self._env = environment
        self._registry = registry
        self._errands = errands
        self._peers = peers
        self._ask = ask
        self._delivered = delivered

    async def run(self) -> HandedOver:
        """Hand every gateway over that a peer takes. Never raises; a peer that dies meanwhile is taken over itself."""
        outcome, limiter = HandedOver(), trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for number, link in enumerate(self._registry):
                nursery.start_soon(self._one, link, number, limiter, outcome)
        text = "%d gateways with %d sessions are handed over; %d are kept"
        log.info(text, outcome.gateways, outcome.sessions, len(outcome.kept))
        return outcome

    async def _one(self, link: JanusLink, number: int, limiter: trio.CapacityLimiter, outcome: HandedOver) -> None:
        janus_id = link.gateway.janus_id
        async with limiter:
            sessions = _of_worth(link)
            if not sessions:
                return
            self._errands.hold(janus_id)
            try:
                with trio.move_on_after(DRAIN):
                    await link.requests.drained()
                node = await self._give(link, number)
            finally:
                self._errands.release(janus_id)
            link.handed_over = node is not None
            if node is None:
                outcome.kept.append(janus_id)
                return
        # Beside the next ones: a subscriber that does not take his events must not delay them.
        outcome.gateways += 1
        outcome.sessions += len(sessions)
        self._env.stats.add("hand_overs")
        with trio.move_on_after(DELIVERED):
            await _read_out(link)
            await self._delivered()
        try:
            await self._ask(node.url, "janus_cluster_taken", [janus_id], PATIENCE)
        except BridgeError as exc:
            log.warning("%s: node %d was not told that all events are delivered: %s", janus_id, node.node_id, exc)

    async def _give(self, link: JanusLink, number: int) -> Node | None:
        """The peer that has all its sessions now; None: they are still here."""
        peers = [node for node in self._peers.living() if node.state is NodeState.ACTIVE]
        for turn in range(len(peers)):
            node = peers[(number + turn) % len(peers)]
            try:
                for part in _parts(_of_worth(link)):
                    await self._give_part(link, node, part)
            except PeerSilent as exc:  # it may have claimed them: whoever asks for a handle will see
                janus_id = link.gateway.janus_id
                log.warning("%s: node %d took sessions and did not answer: %s", janus_id, node.node_id, exc)
                return None
            except BridgeError as exc:
                janus_id, why = link.gateway.janus_id, exc.data or exc.message
                log.warning("%s: node %d does not take its sessions: %s", janus_id, node.node_id, why)
                continue
            self._errands.given[link.gateway.janus_id] = node
            return node
        return None

    async def _give_part(self, link: JanusLink, node: Node, sessions: list[JanusSession]) -> None:
        assert self._env.cluster is not None, "a hand-over is one in a cluster"
        gateway, room = link.gateway, MOST_HANDLES
        rows = []
        for session in sessions:
            handles = dict(list(session.handles.items())[: max(room, 0)])
            room -= len(handles)
            rows.append(shown(session.session_id or 0, session.managed, handles))
        params = [self._env.cluster.node_id, gateway.janus_id, gateway.janus_url, rows]
        link.in_doubt, doubt = True, link.in_doubt  # until it answers; a stop does not wait for ever
        try:
            await self._ask(node.url, "janus_cluster_take", params, PATIENCE)
        except PeerSilent:
            raise
        except BridgeError:
            link.in_doubt = doubt
            raise
        link.in_doubt = doubt
        for session in sessions:
            for handle_id in session.handles:
                wanted = Wanted(gateway.janus_id, session.session_id, handle_id)
                self._errands.whereabouts.remember(wanted, Residence(node))
            self._errands.whereabouts.remember(Wanted(gateway.janus_id, session.session_id, None), Residence(node))
            self._env.save(gateway, SavedSession(session.session_id or 0, session.managed, ended=True))
        link.give_up(sessions, f"handed over to node {node.node_id}")


async def _read_out(link: JanusLink) -> None:
    """Wait until everything is read that Janus had queued for the connections that are open."""
    for connection in [one for one in link.connections.values() if one.opened and one.usable]:
        await link.requests.ask(connection, {"janus": "ping"}).wait()


def _of_worth(link: JanusLink) -> list[JanusSession]:
    """All but the one that this bridge made for itself after a hand-over, as long as that is empty."""
    fresh = link.book.managed if link.handed_over and not link.book.managed.handles else None
    return [session for session in link.book if session.session_id is not None and session is not fresh]


def _parts(sessions: list[JanusSession]) -> Iterator[list[JanusSession]]:
    for start in range(0, len(sessions), MOST_SESSIONS):
        yield sessions[start : start + MOST_SESSIONS]
