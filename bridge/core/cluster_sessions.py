"""The sessions of this node in the cluster's table, for whoever takes over.

Owns what is there and what is still on its way. A session id is to be there before Janus hears of it, so that no death
of this process leaves a session that nobody knows; but nothing waits for a database that does not answer in time. Must
not know SQL, or what sessions are for. Authority: contract 11.
"""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.core.cluster_faces import SessionStore
from bridge.core.fence import Fence
from bridge.errors import TableUnavailable
from bridge.protocol.cluster import OWN, Life, NodeSession, Right
from bridge.protocol.gateway import Gateway
from bridge.protocol.humanize import plural
from bridge.protocol.session import SavedSession
from bridge.throttle import Throttle

log = logging.getLogger("bridge.cluster")

RESERVE = 1.0  # seconds that the making of a session waits for the database, until a visit to it has failed
PAUSE = 1.0  # seconds before what was not written is tried again
LAST_WRITE = 1.0  # seconds for what is unwritten at the end
MOST = 2000  # sessions a visit: each has its time, and what did not end in it would be done again

_Key: TypeAlias = tuple[str, int]  # janus_id, session_id


class _Note(NamedTuple):
    """What is to be written: a session that is ours by this right, or its end."""

    session: NodeSession
    right: Right


def _nobody(_sessions: list[NodeSession]) -> None:
    """Before there is anybody who could lose them."""


class SessionKeeper:
    """ClusterSessions over a table."""

    def __init__(self, table: SessionStore, fence: Fence, restored: Iterable[NodeSession] = ()) -> None:
        """``restored``: what the last process left, which may be in the table or not."""
        self._table = table
        self._fence = fence
        self._sessions: dict[_Key, NodeSession] = {_key(session): session for session in restored}
        self._given: dict[_Key, Life] = {}  # to whom; the table may have it as ours still
        self._unwritten: dict[_Key, _Note] = {}  # ended where it is not in _sessions
        self.lost: Callable[[list[NodeSession]], None] = _nobody  # told of those that turn out to be another node's
        self._written = trio.Event()  # what was unwritten when the writer looked last
        self._filled = AutoResetEvent()
        self._trouble = Throttle()
        self.epoch: Callable[[], int | None] = lambda: None  # of our life now; None: there is none

    async def reserve(self, gateway: Gateway, session_id: int, *, managed: bool, giver: Life | None = None) -> bool:
        """See ClusterSessions."""
        session = NodeSession(gateway.janus_id, gateway.janus_url, session_id, managed)
        key = _key(session)
        if self._sessions.get(key) != session:
            self._keep(session, Right(giver))
        note = self._unwritten.get(key)
        with trio.move_on_after(RESERVE):
            while note and self._unwritten.get(key) is note and self._fence.valid() and self._trouble.said is None:
                await self._written.wait()
        return key in self._sessions

    def save(self, gateway: Gateway, session: SavedSession) -> None:
        """See ClusterSessions."""
        one = NodeSession(gateway.janus_id, gateway.janus_url, session.session_id, session.managed)
        before = self._sessions.get(_key(one))
        if session.gone:
            return  # the table says whose it is
        if not session.ended:
            if before is None:
                self._keep(one, Right(anybody=not one.managed))  # Janus has just granted it to a caller
            elif before != one:
                self._keep(one, OWN)
        elif self._sessions.pop(_key(one), None) is not None:
            self._note(one)

    def let_go(self, gateway: Gateway, session_id: int, taker: Life | None = None) -> None:
        """See ClusterSessions."""
        key = gateway.janus_id, session_id
        self._sessions.pop(key, None)
        self._unwritten.pop(key, None)
        if taker is not None:
            self._given[key] = taker

    @property
    def takers(self) -> set[Life]:
        """The lives that were given sessions."""
        return set(self._given.values())

    async def left_by(self, taker: Life) -> list[NodeSession]:
        """What that life was given, and had not written when it was over: it is ours in the table, and known again.
        Raises TableUnavailable.
        """
        there = await self._table.ours() if taker in self.takers else []
        left = [one for one in there if self._given.get(_key(one)) == taker]
        self._given = {key: life for key, life in self._given.items() if life != taker}
        self.know(left)
        return left

    def know(self, sessions: Iterable[NodeSession]) -> None:
        """These are ours in the table already."""
        for session in sessions:
            self._sessions[_key(session)] = session
            self._given.pop(_key(session), None)

    def forget(self) -> None:
        """A peer has them all."""
        self._sessions.clear()
        self._unwritten.clear()
        self._given.clear()

    def __len__(self) -> int:
        return len(self._sessions)

    async def unknown(self) -> list[NodeSession]:
        """What the table has of ours that nobody here knows of, known from now on. What it lacks is written, and what
        it has as another node's is lost. Raises TableUnavailable.
        """
        known = dict(self._sessions)
        there = {_key(session): session for session in await self._table.ours()}
        async for _, others in self._written_again(one for key, one in known.items() if key not in there):
            self._lose(others)
        at_hand = self._sessions, self._unwritten, self._given
        news = [session for key, session in there.items() if not any(key in some for some in at_hand)]
        self.know(news)
        return news

    async def mend(self) -> None:
        """Enter again what somebody has deleted from the table, or altered there; what it has as another node's stays
        so. Raises TableUnavailable.
        """
        known = list(self._sessions.values())
        there = set(await self._table.ours())
        entered = 0
        async for some, others in self._written_again(one for one in known if one not in there):
            entered += len(some) - len(others)
        if entered:
            log.error("janus_session: somebody deleted or altered rows of this bridge: entered again (%d)", entered)

    async def _written_again(
        self, missing: Iterable[NodeSession]
    ) -> AsyncIterator[tuple[Sequence[NodeSession], Sequence[NodeSession]]]:
        """What was written of these, a visit at a time, and what of that stays another node's."""
        wanted = [one for one in missing if self._sessions.get(_key(one)) is one and _key(one) not in self._unwritten]
        for start in range(0, len(wanted), MOST):
            some, epoch = wanted[start : start + MOST], self.epoch()
            if epoch is None:
                return
            others = await self._table.write(some, epoch)
            for one in some:
                if _key(one) not in self._sessions and _key(one) not in self._given:
                    self._note(one)  # it has ended meanwhile, and its row may have come behind that
            yield some, others

    async def run(self) -> None:
        """Write until cancelled; what is still unwritten then is tried once more. Without a valid beat nothing is
        written: a peer may have these sessions, and what is written becomes ours.
        """
        try:
            while True:
                await self._filled.wait()
                await self._fence.validated()
                if not await self._write():
                    await trio.sleep(PAUSE)
                if self._unwritten:
                    self._filled.set()
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(LAST_WRITE):
                while self._unwritten and self._fence.valid() and await self._write():
                    pass

    def _keep(self, session: NodeSession, right: Right) -> None:
        self.know([session])
        self._note(session, right)

    def _note(self, session: NodeSession, right: Right = OWN) -> None:
        self._unwritten[_key(session)] = _Note(session, right)
        self._filled.set()

    def _lose(self, others: Iterable[NodeSession]) -> None:
        lost = [one for one in others if self._sessions.pop(_key(one), None) is not None]
        if lost:
            text = "gave up %s: in the cluster's database another node has what this one had"
            log.error(text, plural(len(lost), "session"))
            self.lost(lost)

    async def _write(self) -> bool:
        epoch = self.epoch()
        if epoch is None:
            return False
        batch = list(islice(self._unwritten.items(), MOST))
        live: defaultdict[Right, list[NodeSession]] = defaultdict(list)
        for key, note in batch:
            if self._sessions.get(key) is note.session:
                live[note.right].append(note.session)
        ended = [note.session for key, note in batch if key not in self._sessions]
        others: list[NodeSession] = []
        try:
            if ended:
                await self._table.end(ended)
            for right, sessions in live.items():
                others += await self._table.write(sessions, epoch, right)
        except TableUnavailable as exc:
            if self._trouble.due(str(exc)):
                log.warning("cannot write sessions to the cluster's database: %s; retrying", exc)
            self._tell()
            return False
        for key, note in batch:
            if self._unwritten.get(key) is note:
                del self._unwritten[key]
        self._lose(others)
        if self._trouble.over():
            log.info("sessions are in the cluster's database again")
        self._tell()
        return True

    def _tell(self) -> None:
        self._written.set()
        self._written = trio.Event()


def _key(session: NodeSession) -> _Key:
    return session.janus_id, session.session_id
