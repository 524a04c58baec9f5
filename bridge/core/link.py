"""A link: what keeps one gateway connected, through any number of connections and sessions.

Owns the task that opens connections and brings the sessions onto them, and what the outside sees of a gateway. Which
connection counts, and what follows when one fails, is decided in ``core/succession.py``. Must not know sockets, files
or other gateways.
"""

import logging

import trio

from bridge.core.connection import Connection
from bridge.core.environment import LinkEnvironment
from bridge.core.hearing import Hearing
from bridge.core.join import JoinFailed, JoinRefused, JoinUnable, claim, create, destroy_sessions, greet
from bridge.core.keeper import Keeper
from bridge.core.status import Status
from bridge.core.succession import Succession
from bridge.core.supervise import supervise
from bridge.core.traffic import Traffic
from bridge.errors import BridgeError, ConnectFailed, ReconnectRefused
from bridge.protocol.codec import JsonObject
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway
from bridge.protocol.history import BY_CALLER, Happening, History
from bridge.protocol.life import State, visible
from bridge.protocol.log_level import NOTICE, to_python
from bridge.protocol.session import JanusSession, SavedSession, shorten
from bridge.protocol.session_book import SessionBook

log = logging.getLogger("bridge.link")

RECONNECT = 2.0  # seconds that whoever asked for another connection waits to hear what came of it
GOODBYE = 1.0  # seconds that a Janus has to answer a polite close
PAUSING = (State.DOWN, State.OPENING, State.LEAVING, State.RESTING, State.REFUSED)  # what follows is an attempt


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
        self._env = environment
        self._keeper = Keeper(environment.save, gateway)
        self.history = History()
        self.book = SessionBook(environment.managed_ids, self._keeper.keep, saved, self._happened)
        self.traffic = Traffic(environment, self.book, gateway.fault or "not connected yet", gateway.janus_id)
        self.hearing = Hearing(
            gateway.janus_id, environment, self.traffic, self._session_over, self.note, self._raise_event
        )
        self.status = Status(environment, gateway)
        self.reconnects = 0
        self.last_error: str | None = gateway.fault
        self._said: str | None = None  # the last trouble that was logged since the gateway was ready
        self._last_ready: Connection | None = None
        self._numbers = 0
        self.succession = Succession(environment, self.traffic, self, gateway, credentials)
        self.since = environment.wall()
        self._shown = self.shown_state

    def __repr__(self) -> str:
        connection = self.succession.connection
        return f"<link {self.gateway.janus_id} {self.state.name} sessions={len(self.book)} {connection!r}>"

    # For callers

    @property
    def state(self) -> State:
        return self.succession.state

    @property
    def shown_state(self) -> str:
        """What ``janus_list`` calls the state."""
        if self.gateway.fault is not None:
            return "disabled"
        # A connection that was left by choice serves until another one is open; then commands wait for the claims.
        if self.traffic.connection is not None and self.book.managed.session_id is not None:
            return "ready"
        first = self.state is State.DOWN and not self.succession.pace.failing  # the first attempt is about to be made
        return "connecting" if first else visible(self.state)

    @property
    def serving(self) -> Gateway | None:
        """As the row was when the connection in service was opened, while the row has another URL by now."""
        connection = self.traffic.connection
        return (
            None if connection is None or connection.gateway.janus_url == self.gateway.janus_url else connection.gateway
        )

    @property
    def rtt(self) -> float | None:
        """Seconds that the last keepalive took, on the connection in service."""
        connection = self.traffic.connection
        return None if connection is None else connection.rtt

    @property
    def reclaims(self) -> bool:
        """Whether this Janus may keep sessions whose connection is lost, so that they can be claimed later."""
        times = [c.info.get("reclaim-session-timeout") for c in self._open_connections() if c.joined]
        return not times or any(seconds != 0 for seconds in times)

    def reconnect(self) -> None:
        """Leave the present connection for a new one; or try again at once, if there is none."""
        self.succession.reconnect()

    async def reconnected(self) -> None:
        """Wait until ``reconnect`` has its connection, or for a moment: it is tried until it works.

        Raises ReconnectRefused where this Janus hands over no sessions, so that the old connection serves on.
        """
        succession = self.succession
        with trio.move_on_after(RECONNECT):
            await succession.settled.wait()
        if succession.refusal is not None:
            raise ReconnectRefused(f"{succession.refusal}; the old connection serves on")

    def retarget(self, gateway: Gateway, credentials: Credentials | None = None) -> None:
        """The row changed, or its secrets or TLS files did: leave for what they say now.

        ``credentials``: None for those it has. The same secrets in another object stand for other TLS files.
        """
        self.gateway = self.status.gateway = gateway
        self.succession.want(gateway, credentials or self.succession.wanted[1])

    # The task

    async def run(self) -> None:
        """Keep the gateway connected until cancelled."""
        if self.gateway.fault is None:
            await supervise(self._live, f"gateway {self.gateway.janus_id}", log)

    async def _live(self) -> None:
        try:
            async with trio.open_nursery() as self.succession.nursery:
                while True:
                    await self._walk()
        finally:
            self.succession.reset("the link is being restarted")

    async def _walk(self) -> None:
        succession = self.succession
        if succession.stopping or succession.state is State.READY:
            await succession.pace.roused()
        elif succession.state in PAUSING and not succession.pace.due:
            await succession.pace.due_or_roused()
        elif succession.connection is None:
            await self._open()
        else:
            await self._join(succession.connection)

    async def _open(self) -> None:
        succession = self.succession
        succession.begin()
        self._numbers += 1
        connection = Connection(self.hearing, succession, self._numbers, *succession.wanted)
        failure: ConnectFailed | None = None
        assert succession.nursery is not None
        with trio.CancelScope() as succession.attempt:
            try:
                await succession.nursery.start(connection.run, self._env.connect)
            except ConnectFailed as exc:
                failure = exc
        if succession.stopping or succession.connection is not None:  # the one that was left is good again
            connection.close()
        elif succession.attempt.cancel_called:  # the row changed meanwhile
            connection.close()
            succession.failed(None)
        elif failure is not None:
            succession.failed(failure.reason, refused=failure.refused)
        else:
            succession.opened(connection)

    async def _join(self, connection: Connection) -> None:
        """Bring the sessions onto the connection."""
        succession = self.succession
        succession.begin()
        trouble: JoinFailed | JoinRefused | JoinUnable | None = None
        with trio.CancelScope() as succession.attempt:
            try:
                if not connection.joined:
                    await greet(connection, self.traffic)
                await claim(connection, self.traffic, self._session_over)
                self._keeper.move(connection.gateway, [s for s in self.book if s.carried_by(connection.number)])
                await create(connection, self.traffic)
                for session, gateway in succession.left.behind_another_url(connection.gateway):
                    self._session_over(session)
                    self._keeper.forget(gateway, session)
            except (JoinFailed, JoinRefused, JoinUnable) as exc:
                trouble = exc
        if succession.stopping:
            return
        if succession.attempt.cancel_called and (trouble is not None or succession.attempt.cancelled_caught):
            succession.not_joined(connection, None)
        elif isinstance(trouble, JoinUnable):
            succession.unable(connection, str(trouble))
        elif isinstance(trouble, JoinRefused):
            succession.refused(connection, str(trouble))
        elif trouble is not None:
            succession.not_joined(connection, str(trouble))
        else:
            succession.joined(connection)

    # What happens to it

    def note(self, reason: str, *, retrying: bool = True) -> None:
        """Why something is not as it should be; said once until the gateway is ready again."""
        reason = self._env.hide(reason)
        if reason != self._said:
            serving = self.serving
            if not retrying:
                log.warning("%s: %s; the old connection serves on", self.gateway.janus_id, reason)
            elif serving is None:
                log.warning("%s: %s; retrying", self.gateway.janus_id, reason)
            else:
                log.warning("%s: %s; retrying; %s serves meanwhile", self.gateway.janus_id, reason, serving.shown_url)
        self._said = self.last_error = reason

    def on_ready(self, connection: Connection) -> None:
        """Every session lives on this connection."""
        if self._last_ready not in (None, connection):
            self.reconnects += 1
            self._env.stats.add("reconnects")
        self._last_ready = connection
        self._said = None
        log.info("%s: ready, %d sessions", self.gateway.janus_id, len(self.book))
        self.status.connected("ready", {"sessions": len(self.book)})
        self._happened(Happening("connected"))
        self.on_step()

    def on_not_ready(self, reason: str) -> None:
        """No command for the managed session can be sent now."""
        self.status.disconnected(reason)
        self._happened(Happening("disconnected", reason=reason))
        self.on_step()

    def on_step(self) -> None:
        """The state may have changed."""
        shown = self.shown_state
        if shown != self._shown:
            self._shown, self.since = shown, self._env.wall()

    def _session_over(self, session: JanusSession, reason: str = "Janus no longer knows it") -> None:
        """A session is lost. That ends it alone; the managed one is made anew."""
        connection = self.succession.connection
        if connection is not None:
            self.succession.left.unknown(session, connection.gateway)
        managed = session is self.book.managed
        self.book.ended(session, reason, lost=True)
        self._env.stats.add("sessions_lost")
        self.status.session_lost(session, reason)
        self.succession.session_ended(managed=managed)

    def _happened(self, happening: Happening) -> None:
        """For ``janus_history``; in the log, where Janus ended a handle or its media and nobody had asked for it."""
        self.history.add(self._env.wall(), happening)
        if happening.what in ("handle_detached", "hangup") and happening.reason != BY_CALLER:
            where = (shorten(happening.session_id), happening.handle_id, happening.plugin or "plugin unknown")
            log.log(
                to_python(NOTICE),
                "%s: %s, session %s, handle %s (%s): %s",
                self.gateway.janus_id,
                happening.what,
                *where,
                happening.reason,
            )

    def _raise_event(self, body: str, members: JsonObject) -> None:
        self._env.raise_event(self.gateway, body, members)

    # The end

    def _open_connections(self) -> list[Connection]:
        connections = [self.succession.connection, *self.succession.left]
        return [c for c in connections if c is not None and not c.ended.is_set()]

    async def stop(self, error: BridgeError, *, destroy: bool) -> None:
        """Before the task is cancelled: fail what is in flight, destroy the sessions if told to, close politely."""
        self.succession.stopping = True
        self.traffic.close(error)
        self.status.disconnected(str(error))
        self.status.stop()
        connections = self._open_connections()
        if destroy:
            await destroy_sessions([c for c in connections if c.usable], self.traffic)
        for connection in connections:
            connection.close()
        with trio.move_on_after(GOODBYE):
            for connection in connections:
                await connection.ended.wait()
        self.book.close()
