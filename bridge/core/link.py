"""A link: what keeps one gateway connected, through any number of connections and sessions.

Owns the parts of one gateway, and what the outside sees and hears of it. ``protocol/failover.py`` decides about its
connections, ``core/performer.py`` does it. Must not know sockets, files or other gateways.
"""

import logging
from collections.abc import Iterable

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.core.connection import JanusConnection
from bridge.core.environment import LinkEnvironment
from bridge.core.inbound import InboundRouter
from bridge.core.join import destroy_sessions
from bridge.core.performer import Performer
from bridge.core.status_events import StatusEvents
from bridge.core.supervise import supervise
from bridge.core.transfer import Transfer
from bridge.errors import BridgeError, LinkDown, ReconnectRefused
from bridge.protocol.backoff import Backoff
from bridge.protocol.codec import JsonObject
from bridge.protocol.credentials import Credentials
from bridge.protocol.failover import Failover
from bridge.protocol.gateway import Gateway
from bridge.protocol.history import BY_CALLER, Happening, History
from bridge.protocol.humanize import plural
from bridge.protocol.life import Action, Effect, Target
from bridge.protocol.log_level import NOTICE, to_python
from bridge.protocol.roster import Roster
from bridge.protocol.session import JanusSession, SavedSession, SessionState, shorten
from bridge.protocol.session_book import SessionBook
from bridge.throttle import Throttle

log = logging.getLogger("bridge.link")

RECONNECT = 2.0  # seconds that whoever asked for another connection waits to hear what came of it
GOODBYE = 1.0  # seconds that a Janus has to answer a polite close


class JanusLink:
    """``gateway`` is the row; a disabled one (``gateway.fault``) never connects.

    ``connections``: those that are being opened or open, by number.
    """

    def __init__(
        self,
        gateway: Gateway,
        environment: LinkEnvironment,
        credentials: Credentials,
        saved: tuple[SavedSession, ...] = (),
    ) -> None:
        self.gateway = gateway
        self.history = History()
        self.status = StatusEvents(environment, gateway)
        self.events_lost = self.status.events_lost
        self.book = SessionBook(environment.managed_ids, environment.save, gateway, saved, self._happened)
        settings = environment.settings
        backoff = Backoff(settings.reconnect_min, settings.reconnect_max, environment.uniform)
        target = Target(gateway, credentials)
        self.roster = Roster(self.book, backoff, target, gateway.fault or "not connected yet")
        self.failover = Failover(self.roster)
        self._performer = Performer(gateway.janus_id, environment, self.failover, self.book, self)
        self.connections = self._performer.connections
        self.requests = self._performer.requests
        self.request, self.post = self.requests.request, self.requests.post  # for callers
        self._performer.reader = InboundRouter(
            gateway.janus_id,
            environment,
            self.requests,
            self.book,
            self.session_over,
            self._session_closed,
            self._note,
            self.raise_event,
        )
        self.reconnects = 0
        self.last_error: str | None = gateway.fault
        self._env = environment
        self._trouble = Throttle()  # why it is not as it should be: once until it is ready
        self._last_ready: int | None = None
        self._refusal: str | None = None  # why the last wish for another connection was given up
        self._settled = trio.Event()  # it is fulfilled, or given up
        self.changes = AutoResetEvent()  # something that was decided is done
        self.transfer = Transfer(environment.timers, self.raise_event)
        self._shown = self.shown_state
        self.since = environment.wall()

    def __repr__(self) -> str:
        known = ", ".join(f"{c.number} {c.state.name}" for c in self.roster.connections.values())
        return f"<link {self.gateway.janus_id} {self.shown_state} sessions={len(self.book)} connections=[{known}]>"

    # For callers

    @property
    def shown_state(self) -> str:
        """What ``janus_list`` calls the state."""
        return "disabled" if self.gateway.fault is not None else self.roster.visible

    @property
    def serving(self) -> Gateway | None:
        """As the row was when the connection in service was opened, while the row has another URL by now."""
        record = self.roster.connections.get(self.roster.serving or 0)
        return None if record is None or record.target.fits_url(self.gateway) else record.target.gateway

    @property
    def rtt(self) -> float | None:
        """Seconds that the last keepalive took, on the connection in service."""
        connection = self.connections.get(self.roster.serving or 0)
        return None if connection is None else connection.rtt

    @property
    def reclaims(self) -> bool:
        """Whether this Janus may keep sessions whose connection is lost, so that they can be claimed later."""
        infos = [c.info for c in self.connections.values() if c.info is not None]
        return not infos or any(info.get("reclaim-session-timeout") != 0 for info in infos)

    def reconnect(self) -> None:
        """Leave the present connection for a new one; or try again at once, if there is none."""
        self._refusal, self._settled = None, trio.Event()
        if self.gateway.fault is not None:
            self._settled.set()
            return
        self._performer.perform(self.failover.reconnect(trio.current_time()))

    async def reconnected(self) -> None:
        """Wait until ``reconnect`` has its connection, or for a moment: it is tried until it works.

        Raises ReconnectRefused where this Janus hands over no sessions, so that the old connection serves on.
        """
        with trio.move_on_after(RECONNECT):
            await self._settled.wait()
        if self._refusal is not None:
            raise ReconnectRefused(f"{self._refusal}; the old connection serves on")

    def retarget(self, gateway: Gateway, credentials: Credentials | None = None) -> None:
        """The row changed, or its secrets or TLS files did: leave for what they say now.

        ``credentials``: None for those it has. The same secrets in another object stand for other TLS files.
        """
        self.gateway = self.status.gateway = gateway
        target = Target(gateway, credentials or self.roster.wanted.credentials)
        self._performer.perform(self.failover.want(target, trio.current_time()))

    async def run(self) -> None:
        """Keep the gateway connected until cancelled."""
        if self.gateway.fault is None:
            await supervise(self._performer.run, f"gateway {self.gateway.janus_id}", log)

    # What the outside is told

    def changed(self) -> None:
        """What was decided is done: the state may be another one."""
        shown = self.shown_state
        if shown != self._shown:
            self._shown, self.since = shown, self._env.wall()
            self._env.news.set()
        self.changes.set()

    def tell(self, action: Action) -> None:
        """An action that is words."""
        match action.effect:
            case Effect.NOTE:
                self._note(action.text)
            case Effect.FAILED:
                self._note(action.text)
                self._env.stats.add("connect_failures")
            case Effect.NOT_READY:
                self._note(action.text)
                self.status.disconnected(action.text)
                self._happened(Happening("disconnected", reason=action.text))
            case Effect.READY:
                self._ready(action.number)
            case Effect.LOG:
                log.info("%s: %s", self.gateway.janus_id, action.text)
            case Effect.SETTLED:
                self._refusal = action.text or None
                if action.text:
                    self._note(action.text, retrying=False)
                self._settled.set()

    def _ready(self, number: int) -> None:
        if self._last_ready not in (None, number):
            self.reconnects += 1
            self._env.stats.add("reconnects")
        self._last_ready = number
        self._trouble.over()
        log.info("%s: ready, %s", self.gateway.janus_id, plural(len(self.book), "session"))
        self.status.connected("ready", {"sessions": len(self.book)})
        self._happened(Happening("connected"))
        self._env.ready(self.gateway)

    def _note(self, reason: str, *, retrying: bool = True) -> None:
        """Why something is not as it should be; said once until the gateway is ready again."""
        reason = self._env.hide(reason)
        if self._trouble.due(reason):
            serving = self.serving
            if not retrying:
                log.warning("%s: %s; the old connection serves on", self.gateway.janus_id, reason)
            elif serving is None:
                log.warning("%s: %s; retrying", self.gateway.janus_id, reason)
            else:
                log.warning("%s: %s; retrying; %s serves meanwhile", self.gateway.janus_id, reason, serving.shown_url)
        self.last_error = reason

    def session_over(self, session: JanusSession, reason: str = "Janus no longer knows it") -> None:
        """A session is lost. That ends it alone; the managed one is made anew."""
        managed = session is self.book.managed
        self.book.ended(session, reason, lost=True)
        self._env.stats.add("sessions_lost")
        self.status.session_lost(session, reason)
        self._performer.perform(self.failover.session_over(trio.current_time(), managed=managed))

    def _session_closed(self, session: JanusSession, transaction: str | None) -> None:
        """Its caller destroyed it."""
        self.book.ended(session, BY_CALLER, transaction=transaction)
        self._performer.perform(self.failover.session_over(trio.current_time(), managed=False))

    def _happened(self, happening: Happening) -> None:
        """For ``janus_history``; in the log, where Janus ended a handle or its media and nobody had asked for it."""
        happening = happening._replace(reason=self._env.hide(happening.reason))  # Janus may have said what it was sent
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

    def raise_event(self, body: str, members: JsonObject) -> None:
        if self.transfer.withheld is None or not self.transfer.withheld.keeps(body, members):
            self._env.raise_event(self.gateway, body, members)

    # Other bridges of the cluster

    async def inherit(self, node: int, records: Iterable[SavedSession], patience: float) -> list[JanusSession]:
        """Claim sessions that another bridge had; returns them as they are within ``patience`` seconds."""
        sessions = self.book.inherit(node, records)
        self.look()
        with trio.move_on_after(patience):
            await self.settled()
        return sessions

    async def settled(self) -> None:
        """Wait until no session that another bridge had is still to be claimed."""
        while any(session.state is SessionState.ADRIFT for session in self.book.inherited):
            await self.changes.wait()

    def look(self) -> None:
        """The book was changed: do what follows."""
        self._performer.perform(self.failover.due(trio.current_time()))

    def give_up(self, sessions: Iterable[JanusSession], reason: str, *, renew: bool = True) -> None:
        """Another bridge has them: forget them, and make a new one, unless this process is about to end (``renew``).
        The connections stay: one that is closed before the claims would end what Janus does not reclaim.
        """
        self.requests.close(LinkDown(reason))
        self.book.forget(sessions)
        if renew:
            self._performer.perform(self.failover.given_up(trio.current_time()))

    # The end

    async def part(self, error: BridgeError) -> None:
        """Before the task is cancelled: fail what is in flight, and leave the connections to the next process, open."""
        async with trio.open_nursery() as nursery:
            for connection in self._end(error):
                nursery.start_soon(self._leave, connection)

    async def _leave(self, connection: JanusConnection) -> None:
        why = await connection.freeze()
        if why is not None:
            log.info("%s: the next process has to open a new connection: %s", self.gateway.janus_id, why)

    async def stop(self, error: BridgeError, *, destroy: bool) -> None:
        """Before the task is cancelled: fail what is in flight, destroy the sessions if told to, close politely."""
        connections = self._end(error)
        if destroy and (self._env.fence is None or self._env.fence.valid()):
            await destroy_sessions([c for c in connections if c.tested], self.requests, self.book)
        for connection in connections:
            connection.close()
        with trio.move_on_after(GOODBYE):
            for connection in connections:
                await connection.ended.wait()
        self.book.close()

    def _end(self, error: BridgeError) -> list[JanusConnection]:
        """Fail what is in flight; the connections that are open still."""
        self.failover.stop(str(error))
        self.requests.close(error)
        self.status.disconnected(str(error))
        self.status.stop()
        self._performer.set_alarm()
        return [connection for connection in self.connections.values() if connection.opened]
