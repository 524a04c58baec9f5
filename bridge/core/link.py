"""A link: what keeps one gateway connected, through any number of connections and sessions.

Owns the life of a gateway (contract 5.3; its states are the table in ``protocol/life.py``). Must not know sockets,
files or other gateways. One task per gateway walks the table; reports of connections (end, silence, stall) arrive
synchronously.

The rule behind leaving: Janus gives a session's events to the socket that claimed it last, and where it does not
reclaim, it kills the sessions of a socket that closes. So a connection is only closed when another one has its
sessions, and an attempt is only dropped for the old connection before the first claim went out on the new one.
"""

import logging
from typing import Literal, TypeAlias

import trio

from bridge.core.connection import Connection
from bridge.core.environment import LinkEnvironment
from bridge.core.hearing import Hearing
from bridge.core.heart import Heart
from bridge.core.join import JoinFailed, JoinRefused, destroy_sessions, join
from bridge.core.pace import Pace
from bridge.core.status import Status
from bridge.core.supervise import supervise
from bridge.core.traffic import Traffic
from bridge.errors import BridgeError, ConnectFailed
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway
from bridge.protocol.life import State, Step, follow, visible
from bridge.protocol.session import JanusSession, SavedSession, SessionStep
from bridge.protocol.session_book import SessionBook

log = logging.getLogger("bridge.link")

GOODBYE = 1.0  # seconds that a Janus has to answer a polite close
RETIRE = 2.0  # seconds in which the answers of a connection left by choice may still come
Cause: TypeAlias = Literal["silence", "stalled", "asked", "changed"]
BY_CHOICE = ("asked", "changed")


class JanusLink:
    """``gateway`` is the row; a disabled one (``gateway.fault``) never connects."""

    def __init__(
        self,
        gateway: Gateway,
        environment: LinkEnvironment,
        credentials: Credentials,
        saved: tuple[SavedSession, ...] = (),
    ) -> None:
        self.gateway = gateway
        self.credentials = credentials
        self._env = environment
        self._saved_as = gateway
        self.book = SessionBook(environment.managed_ids, self._save, saved)
        self.traffic = Traffic(environment, self.book)
        self.hearing = Hearing(gateway.janus_id, environment, self.traffic, self._session_over, self._raise_event)
        self.status = Status(environment, gateway)
        self.state = State.DOWN
        self.since = environment.wall()
        self.last_error: str | None = gateway.fault
        self.reconnects = -1  # the first connection is none
        self._pace = Pace(environment)
        self._connection: Connection | None = None  # the one that has the sessions, or is getting them
        self._left: Connection | None = None  # the one that had them, while another is tried
        self._cause: Cause | None = None  # why it was left
        self._attempt = trio.CancelScope()
        self._numbers = 0
        self._nursery: trio.Nursery | None = None
        self._stopping = False

    def __repr__(self) -> str:
        return f"<link {self.gateway.janus_id} {self.state.name} sessions={len(self.book)} {self._connection!r}>"

    # For callers

    @property
    def rtt(self) -> float | None:
        """Seconds that the last keepalive took, on the present connection."""
        return None if self._connection is None else self._connection.rtt

    @property
    def shown_state(self) -> str:
        """What ``janus_list`` calls the state."""
        if self.gateway.fault is not None:
            return "disabled"
        first = self.state is State.DOWN and not self._pace.failing  # the first attempt is about to be made
        return "connecting" if first else visible(self.state)

    @property
    def reclaims(self) -> bool:
        """Whether this Janus keeps sessions whose connection is lost, so that they can be claimed later."""
        seconds = self._connection.info.get("reclaim-session-timeout") if self._connection is not None else None
        return type(seconds) is int and seconds > 0

    def reconnect(self) -> None:
        """Leave the present connection for a new one; or try again at once, if there is none."""
        self._leave("asked", "janus_reconnect")

    def retarget(self, gateway: Gateway, credentials: Credentials) -> None:
        """The row, its secrets or its TLS files changed: leave for what they say now."""
        self.gateway = self.status.gateway = gateway
        self.credentials = credentials
        if self.state in (State.OPENING, State.LEAVING):
            self._attempt.cancel()
        elif self.state is State.REFUSED and self._connection is not None:
            self._connection.close()
        self._leave("changed", "the row or its settings changed")

    # The task

    async def run(self) -> None:
        """Keep the gateway connected until cancelled."""
        if self.gateway.fault is None:
            await supervise(self._live, f"gateway {self.gateway.janus_id}", log)

    async def _live(self) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                while True:
                    await self._walk()
        finally:
            self.state, self._connection, self._left = State.DOWN, None, None
            self.traffic.disconnect("the link is being restarted")

    async def _walk(self) -> None:
        if self._stopping:
            await trio.sleep_forever()
        elif self._connection is None:
            await self._open()
        elif self.state is State.READY:
            await self._pace.roused()
        else:
            await self._join(self._connection)

    async def _open(self) -> None:
        """Wait for the time of the next attempt, and make it."""
        self._numbers += 1
        connection = Connection(self, self._numbers, self.gateway, self.credentials)
        with trio.CancelScope() as self._attempt:
            await self._pace.pause()
            self._step_to_opening()
            assert self._nursery is not None
            try:
                await self._nursery.start(connection.run, self._env.connect)
            except ConnectFailed as exc:
                self._failed(exc.reason, refused=exc.refused)
                return
        if self._connection is not None:  # the connection that was left spoke again meanwhile
            connection.close()
        elif connection.ws is None or self._outdated(connection):  # cancelled: the row changed meanwhile
            connection.close()
            if self.state in (State.OPENING, State.LEAVING):
                self._step(Step.FAILED)
        else:
            self._connection = connection
            self._step(Step.OPENED)
            self._beat(connection)

    def _step_to_opening(self) -> None:
        if self.state is State.DOWN:
            self._step(Step.CONNECT)
        elif self.state is State.RESTING:
            self._step(Step.RETRY)

    def _beat(self, connection: Connection) -> None:
        settings = self._env.settings
        Heart(connection, self.traffic, self._env.timers, settings.ping_interval, self._on_silence).start()

    async def _join(self, connection: Connection) -> None:
        """Bring the sessions onto the connection; READY if that is done."""
        try:
            await join(connection, self.traffic, self._session_over)
        except JoinRefused as exc:
            self._note(str(exc))
            rejoining = self.state is State.REJOINING
            self._step(Step.REFUSE)
            self._pace.failed()
            if rejoining:
                self._dismiss(connection, str(exc))
                self._keep_left()
                return
            await self._pace.pause()
            self._step(Step.RETRY)
        except JoinFailed as exc:
            self._dismiss(connection, str(exc))
            self._failed(str(exc))
        else:
            self._ready(connection)

    def _ready(self, connection: Connection) -> None:
        self._step(Step.JOINED)
        self._pace.ready()
        self.reconnects += 1
        if self.reconnects:
            self._env.stats.add("reconnects")
        left, self._left, self._cause = self._left, None, None
        self._save_as(self.gateway if connection.gateway is self.gateway else connection.gateway)
        self.traffic.release(connection)
        log.info("%s: ready, %d sessions", self.gateway.janus_id, len(self.book))
        self.status.connected("ready", {"sessions": len(self.book)})
        if left is not None and self._nursery is not None:
            self._nursery.start_soon(self._retire, left)
        if self._outdated(connection):  # changed meanwhile; or the change could not be followed yet: in its time
            self._env.timers.call_at(self._pace.not_before, self._follow_change)

    def _outdated(self, connection: Connection) -> bool:
        return connection.gateway is not self.gateway or connection.credentials is not self.credentials

    def _follow_change(self) -> None:
        if self._connection is not None and self.state is State.READY and self._outdated(self._connection):
            self._leave("changed", "the row or its settings changed")

    async def _retire(self, connection: Connection) -> None:
        """Read a connection that has no sessions any more until its answers have come, then close it."""
        with trio.move_on_after(RETIRE):
            await connection.idle()
        self.traffic.lose(connection, "its connection was left and gave no answer")
        connection.close()

    # What ends a connection, and what only leaves it

    def on_ended(self, connection: Connection, reason: str) -> None:
        """A connection ended by itself, or as it was told to."""
        self._cut(connection)
        if self._stopping:
            self.traffic.lose(connection, reason)
            return
        if connection is self._left:
            self._left = None
            if self.state in (State.LEAVING, State.RESTING, State.REJOINING):
                self._step(Step.ENDED)
            self.traffic.disconnect(reason)
        elif connection is self._connection:
            self.traffic.disconnect(reason)
            if self.state is State.READY:
                self._note(reason)
                self._connection = None
                self._step(Step.ENDED)
                self.status.disconnected(reason)
                self._pace.ended()
        self.traffic.lose(connection, reason)
        self._pace.rouse()

    def on_frames(self, connection: Connection) -> None:
        """It spoke. If it was left for its silence, and nothing was claimed elsewhere yet, it is good again."""
        if connection is self._left and self._cause == "silence" and self.state in (State.LEAVING, State.RESTING):
            log.info("%s: Janus speaks again", self.gateway.janus_id)
            self._keep_left()
            self._beat(connection)

    def on_stalled(self, connection: Connection) -> None:
        """A write did not complete: it is not written to any more, but still read."""
        self._give_up(connection, "stalled", "a write to Janus could not complete in janus_send_timeout")

    def _on_silence(self, connection: Connection) -> None:
        self._give_up(connection, "silence", "Janus is silent")

    def _give_up(self, connection: Connection, cause: Cause, reason: str) -> None:
        if connection is self._left and self._cause in BY_CHOICE:
            self._cause = cause
            self._out_of_service(connection, reason)
        elif connection is self._connection:
            if self.state is State.READY:
                self._leave(cause, reason)
            else:
                connection.close()

    def _leave(self, cause: Cause, reason: str) -> None:
        if cause in BY_CHOICE:
            self._pace.at_once()
        if self.state is not State.READY:
            return
        connection = self._connection
        assert connection is not None
        log.info("%s: leaving the connection: %s", self.gateway.janus_id, reason)
        self._step(Step.LEAVE)
        self._connection, self._left, self._cause = None, connection, cause
        self._pace.rouse()
        if cause in BY_CHOICE:
            self.traffic.hold()
        else:
            self._out_of_service(connection, reason)

    def _out_of_service(self, connection: Connection, reason: str) -> None:
        """It is still read, but no command goes out on it, and nobody waits for its answers any more."""
        self._note(reason)
        self.traffic.disconnect(reason)
        self.traffic.lose(connection, reason)
        self.status.disconnected(reason)

    def _keep_left(self) -> None:
        """The connection that was left is good after all: drop the attempt."""
        if self._left is None or (self._cause not in BY_CHOICE and self._cause != "silence"):
            return
        self._step(Step.BACK)
        self._connection, self._left, self._cause = self._left, None, None
        self._attempt.cancel()
        self._pace.rouse()

    def _failed(self, reason: str, *, refused: bool = False) -> None:
        """An attempt failed. A connection that was left by choice is as good as ever; else wait and try again."""
        self._note(reason)
        self._env.stats.add("connect_failures")
        self._step(Step.FAILED)
        self._pace.failed(refused=refused)
        if self._cause in BY_CHOICE:
            self._keep_left()

    def _dismiss(self, connection: Connection, reason: str) -> None:
        """Close a connection that did not get the sessions."""
        self._connection = None
        self.traffic.lose(connection, reason)
        self._cut(connection)
        connection.close()

    def _cut(self, connection: Connection) -> None:
        for session in self.book:
            if session.carried_by(connection.number):
                session.step(SessionStep.CUT)

    def _step(self, step: Step) -> None:
        before = visible(self.state)
        self.state = follow(self.state, step)
        if visible(self.state) != before:
            self.since = self._env.wall()

    def _note(self, reason: str) -> None:
        if reason != self.last_error or self.state is State.READY:
            log.warning("%s: %s", self.gateway.janus_id, reason)
        self.last_error = reason

    # Sessions and events

    def _session_over(self, session: JanusSession) -> None:
        """Janus does not know the session any more. That ends it alone; the managed one is made anew."""
        left = self._left
        if left is not None and self._cause == "changed" and session.carrier == left.number:
            # Another Janus stands behind the new URL: the old one would keep the session until its time-out.
            self.traffic.own(left, {"janus": "destroy", "session_id": session.session_id})
        self.book.ended(session)
        self._env.stats.add("sessions_lost")
        self.status.session_lost(session, "Janus does not know it any more")
        if session.managed and self.state is State.READY:
            self._step(Step.SESSION_ENDED)
            self._pace.rouse()

    def _save(self, session: SavedSession) -> None:
        self._env.save(self._saved_as, session)

    def _save_as(self, gateway: Gateway) -> None:
        """Sessions are kept under their gateway's janus_id and URL; when the URL changes, they move."""
        if gateway.janus_url == self._saved_as.janus_url:
            return
        records = [SavedSession(s.session_id, s.managed) for s in self.book if s.session_id is not None]
        for record in records:
            self._env.save(self._saved_as, record._replace(ended=True))
        self._saved_as = gateway
        for record in records:
            self._env.save(gateway, record)

    def _raise_event(self, body: str) -> None:
        self._env.raise_event(self.gateway, body)

    # The end

    async def stop(self, error: BridgeError, *, destroy: bool) -> None:
        """Before the task is cancelled: fail what is in flight, destroy the sessions if told to, close politely."""
        self._stopping = True
        self.traffic.fail_all(error)
        self.status.stop()
        connection = self._connection or self._left
        if connection is not None and connection.usable:
            if destroy:
                await destroy_sessions(connection, self.traffic)
            connection.close()
            with trio.move_on_after(GOODBYE):
                await connection.ended.wait()
        self.book.close()
