"""Where a session or handle lives that a caller names and this bridge does not know: here, or at another bridge.

Owns how it is looked for, and what is remembered of it. Must not know what is done with the answer. Authority: contract
11. Observed: whatever a request asks for, Janus looks for its handle first, and answers 459 where the session has none
of that id; a ``keepalive`` that names one changes nothing.
"""

from collections import OrderedDict
from typing import NamedTuple, TypeAlias, TypeVar

import trio

from bridge.core.cluster_faces import AskPeer, ClusterPeers
from bridge.core.link import JanusLink
from bridge.errors import BridgeError, TakeOverPending
from bridge.protocol.cluster import FIND, NO_BRIDGE, Node
from bridge.protocol.janus import Ack, classify
from bridge.protocol.session import JanusSession, SessionState

MOST = 65_536  # places that are remembered
PROBES = 256  # requests at once that look for a handle
NOT_SEEN_FOR = 10.0  # seconds in which what was nowhere is not looked for again: a caller may still make it
PATIENCE = 2.0  # seconds for a peer or a Janus that is asked, and for claims that are under way


T = TypeVar("T")
View: TypeAlias = frozenset[tuple[int, int]]  # the peers that live, each with its epoch


class Residence(NamedTuple):
    """``node``: None for this bridge. ``session_id``: the session here that has the handle."""

    node: Node | None
    session_id: int | None = None


NOWHERE = Residence(None)
_UNREAD = "the cluster's database cannot be read, and a bridge that it alone knows may have this"


class Wanted(NamedTuple):
    """What a command names. ``session_id`` may be another one than that of the handle: OpenSIPS may send any."""

    janus_id: str
    session_id: int | None
    handle_id: int | None

    @property
    def key(self) -> tuple[str, int | None]:
        """What it is remembered by. Ids are random: a handle has none that a session has."""
        return self.janus_id, self.session_id if self.handle_id is None else self.handle_id


class Whereabouts:
    """``peers`` says who lives, ``ask`` asks them."""

    def __init__(self, peers: ClusterPeers, ask: AskPeer) -> None:
        self._peers = peers
        self._ask = ask
        self._places: OrderedDict[tuple[str, int | None], Residence] = OrderedDict()
        self._nowhere: OrderedDict[tuple[str, int | None], tuple[float, View]] = OrderedDict()  # since when, by whom

    def known(self, link: JanusLink, wanted: Wanted) -> Residence | None:
        """What is remembered and still true; None: it has to be looked for."""
        place = self._places.get(wanted.key)
        if place is None:
            missed = self._nowhere.get(wanted.key)
            if missed is None or trio.current_time() - missed[0] > NOT_SEEN_FOR or missed[1] != self._view():
                return None
            return NOWHERE
        if link.book.find(place.session_id) is not None if place.node is None else self.lives(place.node):
            return place
        self.forget(wanted)
        return None

    def lives(self, node: Node) -> bool:
        """Whether it lives, and has not been taken over since."""
        return any(one.node_id == node.node_id and one.epoch == node.epoch for one in self._peers.living())

    def _view(self) -> View:
        return frozenset((node.node_id, node.epoch) for node in self._peers.living())

    def remember(self, wanted: Wanted, place: Residence) -> None:
        """It lives there."""
        _put(self._places, wanted.key, place)
        self._nowhere.pop(wanted.key, None)

    def forget(self, wanted: Wanted) -> None:
        """It does not live there any more."""
        self._places.pop(wanted.key, None)

    async def find(self, link: JanusLink, wanted: Wanted) -> Residence:
        """Look here, then at the peers. NOWHERE: nobody has it. Raises TakeOverPending where that is not sure."""
        while True:
            view, here = self._view(), _inherited(link)
            place = await self.find_here(link, wanted) or await self._find_there(wanted, self._peers.living())
            if place is not NOWHERE:
                self.remember(wanted, place)
                return place
            if not await self._peers.look():
                if not self._peers.all_known():  # one that began just before the database went away may have it
                    raise TakeOverPending(_UNREAD)
                place = await self._find_there(wanted, self._peers.idle())
                if place is not NOWHERE:
                    return place
            if (view, here) == (self._view(), _inherited(link)):  # nobody has just begun, or handed anything over
                _put(self._nowhere, wanted.key, (trio.current_time(), view))
                return NOWHERE

    async def find_here(self, link: JanusLink, wanted: Wanted) -> Residence | None:
        """Where it is here; None: nowhere. Raises TakeOverPending while sessions that may have it are being claimed."""
        book, handle_id = link.book, wanted.handle_id
        session = book.find(wanted.session_id)
        if handle_id is None or (session is not None and session is not book.managed):
            return None if session is None else Residence(None, wanted.session_id)
        session = book.having(handle_id)
        if session is None:
            await self._claimed(link)
            session = await self._probe(link, handle_id)
        return None if session is None else Residence(None, session.session_id)

    async def find_for_peer(self, link: JanusLink, wanted: Wanted) -> Residence:
        """What this bridge knows of it. NOWHERE: it is not here. Raises TakeOverPending where it may be soon."""
        place = await self.find_here(link, wanted) or self.known(link, wanted) or NOWHERE
        if place is NOWHERE and (silent := self._peers.silent()):
            raise TakeOverPending(_pending(silent[0].node_id))
        return place

    async def _claimed(self, link: JanusLink) -> None:
        with trio.move_on_after(PATIENCE):
            await link.settled()
        if any(session.state is SessionState.ADRIFT for session in link.book.inherited):
            raise TakeOverPending("its bridge is gone, and this one is claiming its sessions")

    async def _probe(self, link: JanusLink, handle_id: int) -> JanusSession | None:
        """Ask Janus which of the sessions has it whose handles may not all be known. Raises TakeOverPending where one
        of them has no answer.
        """
        sessions = [session for session in (link.book.managed, *link.book.inherited) if session.live]
        found: list[JanusSession] = []
        unasked: list[JanusSession] = []
        for start in range(0, len(sessions), PROBES):
            async with trio.open_nursery() as nursery:
                for session in sessions[start : start + PROBES]:
                    nursery.start_soon(_look, link, session, handle_id, found, unasked)
            if found:
                return found[0]
        if unasked:
            raise TakeOverPending("Janus does not say whether a session here has it")
        return None

    async def _find_there(self, wanted: Wanted, nodes: list[Node]) -> Residence:
        places: list[Residence] = []
        doubts = [_pending(node.node_id) for node in self._peers.silent()]
        with trio.CancelScope() as enough:
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(self._ask_one, node, wanted, places, doubts, enough)
        if places:
            return places[0]
        if doubts:
            raise TakeOverPending(doubts[0])
        return NOWHERE

    async def _ask_one(
        self, node: Node, wanted: Wanted, places: list[Residence], doubts: list[str], enough: trio.CancelScope
    ) -> None:
        params = [wanted.janus_id, _text(wanted.session_id), _text(wanted.handle_id)]
        try:
            answer = await self._ask(node.url, FIND, params, PATIENCE)
        except BridgeError as exc:
            if exc.code != 404:  # it has no such gateway: that is an answer, too
                doubts.append(_unasked(node.node_id, exc.data or exc.message))
            return
        here = answer.get("here") if isinstance(answer, dict) else None
        if not isinstance(here, bool):
            doubts.append(_unasked(node.node_id, NO_BRIDGE))
            return
        if here:
            places.append(Residence(node))  # whatever its beat does: it lives
        else:
            places += [Residence(one) for one in self._peers.living() if one.node_id == answer.get("node_id")]
        if places:
            enough.cancel()


async def _look(
    link: JanusLink, session: JanusSession, handle_id: int, found: list[JanusSession], unasked: list[JanusSession]
) -> None:
    connection = link.connections.get(link.roster.route(session.carrier) or 0)
    if connection is None:
        unasked.append(session)
        return
    request = {"janus": "keepalive", "session_id": session.session_id, "handle_id": handle_id}
    answer = link.requests.ask(connection, request)
    with trio.move_on_after(PATIENCE):
        await answer.wait()
    try:
        if not answer.finished:
            unasked.append(session)
        elif isinstance(classify(answer.result()), Ack):
            found.append(session)
    except BridgeError:
        unasked.append(session)


def _inherited(link: JanusLink) -> list[int | None]:
    return [session.session_id for session in link.book.inherited]


def _put(memory: OrderedDict[tuple[str, int | None], T], key: tuple[str, int | None], value: T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MOST:
        memory.popitem(last=False)


def _unasked(node_id: int, why: str) -> str:
    return f"node {node_id} cannot be asked ({why})"


def _pending(node_id: int) -> str:
    return f"its bridge (node {node_id}) is silent"


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
