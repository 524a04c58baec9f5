"""The sessions of this node in the cluster's table, for whoever takes over.

Owns what is there and what is still on its way. A session id is to be there before Janus hears of it, so that no death
of this process leaves a session that nobody knows; but nothing waits for a database that does not answer in time. Must
not know SQL, or what sessions are for. Authority: contract 11.
"""

import logging
from collections.abc import Callable, Iterable
from typing import TypeAlias

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.core.cluster_faces import SessionStore
from bridge.core.fence import Fence
from bridge.errors import TableUnavailable
from bridge.protocol.cluster import NodeSession
from bridge.protocol.gateway import Gateway
from bridge.protocol.session import SavedSession
from bridge.throttle import Throttle

log = logging.getLogger("bridge.cluster")

RESERVE = 1.0  # seconds that the making of a session waits for the database, until a visit to it has failed
PAUSE = 1.0  # seconds before what was not written is tried again
LAST_WRITE = 1.0  # seconds for what is unwritten at the end

_Key: TypeAlias = tuple[str, int]  # janus_id, session_id


class SessionKeeper:
    """ClusterSessions over a table."""

    def __init__(self, table: SessionStore, fence: Fence, restored: Iterable[NodeSession] = ()) -> None:
        """``restored``: what the last process left, which may be in the table or not."""
        self._table = table
        self._fence = fence
        self._sessions: dict[_Key, NodeSession] = {_key(session): session for session in restored}
        self._unwritten: dict[_Key, NodeSession] = {}  # ended where it is not in _sessions
        self._written = trio.Event()  # what was unwritten when the writer looked last
        self._filled = AutoResetEvent()
        self._trouble = Throttle()
        self.epoch: Callable[[], int | None] = lambda: None  # of our life now; None: there is none

    async def reserve(self, gateway: Gateway, session_id: int, *, managed: bool) -> None:
        """See ClusterSessions."""
        session = NodeSession(gateway.janus_id, gateway.janus_url, session_id, managed)
        self._keep(session)
        with trio.move_on_after(RESERVE):
            while self._fence.valid() and self._unwritten.get(_key(session)) is session and self._trouble.said is None:
                await self._written.wait()

    def save(self, gateway: Gateway, session: SavedSession) -> None:
        """See ClusterSessions."""
        one = NodeSession(gateway.janus_id, gateway.janus_url, session.session_id, session.managed)
        if not session.ended:
            if self._sessions.get(_key(one)) != one:
                self._keep(one)
        elif self._sessions.pop(_key(one), None) is not None:
            self._note(one)

    def know(self, sessions: Iterable[NodeSession]) -> None:
        """These are ours in the table already."""
        self._sessions.update((_key(session), session) for session in sessions)

    def forget(self) -> None:
        """A peer has them all."""
        self._sessions.clear()
        self._unwritten.clear()

    def __len__(self) -> int:
        return len(self._sessions)

    async def unknown(self) -> list[NodeSession]:
        """What the table has of ours that nobody here knows of, known from now on; and what it lacks is written. Raises
        TableUnavailable.
        """
        known = dict(self._sessions)
        there = {_key(session): session for session in await self._table.ours()}
        for key, session in known.items():
            if self._sessions.get(key) is session and key not in there:
                self._note(session)
        news = [session for key, session in there.items() if key not in self._sessions and key not in self._unwritten]
        self.know(news)
        return news

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
                    self._filled.set()
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(LAST_WRITE):
                if self._fence.valid():
                    await self._write()

    def _keep(self, session: NodeSession) -> None:
        self._sessions[_key(session)] = session
        self._note(session)

    def _note(self, session: NodeSession) -> None:
        self._unwritten[_key(session)] = session
        self._filled.set()

    async def _write(self) -> bool:
        epoch = self.epoch()
        if epoch is None:
            return False
        batch = list(self._unwritten.items())
        live = [session for key, session in batch if self._sessions.get(key) is session]
        ended = [session for key, session in batch if key not in self._sessions]
        try:
            if ended:
                await self._table.end(ended)
            if live:
                await self._table.write(live, epoch)
        except TableUnavailable as exc:
            if self._trouble.due(str(exc)):
                log.warning("sessions are not in the cluster's database: %s; retrying", exc)
            self._tell()
            return False
        for key, session in batch:
            if self._unwritten.get(key) is session:
                del self._unwritten[key]
        if self._trouble.over():
            log.info("sessions are in the cluster's database again")
        self._tell()
        return True

    def _tell(self) -> None:
        self._written.set()
        self._written = trio.Event()


def _key(session: NodeSession) -> _Key:
    return session.janus_id, session.session_id
