"""Which connection of a gateway has its sessions, which had them, and what follows when one of them fails.

Owns the steps through the table of ``protocol/life.py`` (contract 5.3). Only decides: the task in ``core/link.py``
opens and joins. Reports of connections and wishes of people arrive synchronously; each steps, and rouses the task.
Must not know sockets, the table of gateways, or what callers are told.

Two rules stand behind everything. Janus gives a session's events to the connection that claimed it last; and where it
does not reclaim, it kills the sessions of a connection that closes. So a connection is left, not closed, and an attempt
is only dropped for an old connection while nothing is claimed on the new one.
"""

import logging
from typing import Protocol

import trio

from bridge.core.connection import Cause, Connection
from bridge.core.environment import LinkEnvironment
from bridge.core.heart import Heart
from bridge.core.join import has_all
from bridge.core.left import Left
from bridge.core.pace import Pace
from bridge.core.traffic import Traffic
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway
from bridge.protocol.life import State, Step, follow

log = logging.getLogger("bridge.link")

# The step that begins an attempt; where the last connection is still being replaced, it goes on.
BEGIN = {State.DOWN: Step.CONNECT, State.RESTING: Step.RETRY, State.REFUSED: Step.RETRY}


class Told(Protocol):
    """Who answers for the gateway to the outside."""

    def note(self, reason: str, *, retrying: bool = True) -> None: ...  # why something is not as it should be

    def on_ready(self, connection: Connection) -> None: ...  # every session lives on this connection

    def on_not_ready(self, reason: str) -> None: ...  # no command for the managed session can be sent now

    def on_step(self) -> None: ...  # the state may have changed


class Succession:
    """``connection`` has the sessions, or is getting them; those in ``left`` may have them meanwhile."""

    def __init__(
        self, environment: LinkEnvironment, traffic: Traffic, told: Told, gateway: Gateway, credentials: Credentials
    ) -> None:
        self.state = State.DOWN
        self.connection: Connection | None = None
        self.left = Left(traffic, self._stranded)
        self.pace = Pace(environment)
        self.wanted = (gateway, credentials)  # what a connection should have been opened for
        self.attempt = trio.CancelScope()  # of the task, cancelled when what it opens is not needed any more
        self.nursery: trio.Nursery | None = None  # where connections are seen to their end
        self.stopping = False
        self.refusal: str | None = None  # why the last wish for another connection was given up
        self.settled = trio.Event()  # it is fulfilled, or given up
        self._env, self._traffic, self._told = environment, traffic, told

    def reset(self, reason: str) -> None:
        """The task starts from the beginning, without any connection."""
        for connection in (self.connection, self._traffic.connection, *self.left):
            if connection is not None:
                self._traffic.out_of_service(connection, reason)
        self.state, self.connection = State.DOWN, None
        self.left.clear()
        self._traffic.carriers.clear()
        self._told.on_step()

    # What people wish

    def want(self, gateway: Gateway, credentials: Credentials) -> None:
        """The row, its secrets or its TLS files are these now."""
        self.wanted = (gateway, credentials)
        self.attempt.cancel()
        self.pace.at_once()
        self._follow_wishes()

    def reconnect(self) -> None:
        """Leave the present connection for a new one; or try again at once, if there is none."""
        self.refusal, self.settled = None, trio.Event()
        connection = self.connection
        if connection is not None and (self._traffic.connection is connection or self.state is State.REFUSED):
            connection.unwanted = True
        self.pace.at_once()
        self._follow_wishes()

    def outdated(self, connection: Connection) -> str:
        """Why another connection is wanted in its place; nothing, where none is."""
        return "janus_reconnect" if connection.unwanted else connection.misfit(*self.wanted)

    def _follow_wishes(self) -> None:
        connection = self.connection
        if connection is not None and self.state in (State.READY, State.REFUSED) and (why := self.outdated(connection)):
            self._leave(connection, "choice", why)
        serving = self._traffic.connection
        if serving is not None and self.state in (State.LEAVING, State.RESTING) and not self.outdated(serving):
            self._back(serving)  # the row changed back

    # What the task reports

    def begin(self) -> None:
        """An attempt begins to open a connection, or to join on the one that is open."""
        if self.state in BEGIN:
            self._step(BEGIN[self.state])

    def opened(self, connection: Connection) -> None:
        """It is open, and still wanted."""
        self.connection = self._traffic.carriers[connection.number] = connection
        self._step(Step.OPENED)

    def failed(self, reason: str | None, *, refused: bool = False) -> None:
        """The attempt failed: wait and try again. None: it was not for what is wanted now.

        A connection that was left by choice serves on.
        """
        self._step(Step.FAILED)
        if reason is not None:
            self._told.note(reason)
            self._env.stats.add("connect_failures")
            self.pace.failed(refused=refused)
            self._traffic.closed_because = reason

    def joined(self, connection: Connection) -> None:
        """Every session lives on the connection, or on one that was left, with another Janus."""
        self._step(Step.JOINED)
        connection.good_since = trio.current_time()
        self._serve(connection)
        self._told.on_ready(connection)
        self.settled.set()
        if not has_all(connection, self._traffic.book):
            self._stranded()  # the carrier of one of those ended meanwhile
        self._follow_wishes()

    def unable(self, connection: Connection, reason: str) -> None:
        """This server does not hand over sessions: the connection that serves is kept, and the wish for another given
        up. Secrets that changed count from the next request on.
        """
        serving = self._traffic.connection
        assert serving is not None, "unable() is for a server whose old connection serves"
        self.connection = None
        self._step(Step.REFUSE)
        self._traffic.lose(connection, reason)
        self.left.keep_or_close(connection)
        serving.unwanted = False
        serving.gateway, serving.credentials = self.wanted
        self._told.note(reason, retrying=False)
        self.refusal = reason
        self.settled.set()
        self._back(serving)

    def not_joined(self, connection: Connection, reason: str | None) -> None:
        """Nothing more is to be had from the connection. None: it is not for what is wanted now."""
        why = reason or "the row changed"
        self.connection = None
        self._traffic.lose(connection, why)
        self.left.keep_or_close(connection)
        if self.state is State.JOINING and self.left:
            self._step(Step.LEAVE)
        if self._traffic.connection is connection:
            self._out_of_service(connection, why)
        self.failed(reason)
        self._resume(why)

    def refused(self, connection: Connection, reason: str) -> None:
        """Janus will not give or hand over a session: to be asked again in its time, on the same connection.

        Unless another one still has what is not handed over: that one is read on.
        """
        self.pace.failed()
        kept = self._traffic.serves_beside(connection) and self._traffic.book.managed.session_id is not None
        if self.state is State.REJOINING and (kept or not has_all(connection, self._traffic.book)):
            self.connection = None
            self.left.keep_or_close(connection)
            self._step(Step.REFUSE)
            self._told.note(reason)
            self._resume(reason)
            return
        if self.state is State.REJOINING:
            self._step(Step.ENDED)  # the old one is not needed any more
            if self._traffic.connection is not None:
                self._serve(connection)
        self._refuse(reason)
        self._beat(connection)
        self._follow_wishes()

    def _refuse(self, reason: str) -> None:
        self._step(Step.REFUSE)
        self._traffic.closed_because = reason
        self._told.note(reason)
        self._told.on_not_ready(reason)

    def _serve(self, connection: Connection) -> None:
        self._traffic.connection = connection
        self._beat(connection)
        assert self.nursery is not None
        self.left.retire(self.nursery, connection)
        for old in self.left:  # what lives there is not known to this Janus
            self._keep(old)

    def _keep(self, old: Connection) -> None:
        """Serve what lives on a connection that was left; give up a silent one once its Janus must have ended all."""
        if old.left_for == "choice":
            self._beat(old)
            return
        quiet_since = max(old.last_received, old.left_at)

        def look_again() -> None:
            if old in self.left and old.left_for != "choice" and max(old.last_received, old.left_at) == quiet_since:
                if self.state is State.READY:
                    old.close()
                else:
                    self._keep(old)

        self._env.timers.call_at(trio.current_time() + old.patience, look_again)

    def _resume(self, reason: str) -> None:
        """The sessions did not all get onto the new connection: is an old one as good as before?"""
        good = self.left.good_again() if self.state is State.RESTING else None
        if good is not None:
            self._back(good)
        elif self._traffic.connection is not None:
            self._out_of_service(self._traffic.connection, reason)

    def session_ended(self, *, managed: bool) -> None:
        """Janus ended a session. Where it was the managed one, another one is made on the same connection."""
        if self.stopping:
            return
        if not managed:
            if self.state is State.READY and self.connection is not None and self.nursery is not None:
                self.left.retire(self.nursery, self.connection)  # what it was the last one of
            return
        serving = self._traffic.connection
        if serving is not None and self.state in (State.LEAVING, State.RESTING):
            self._back(serving)
        elif serving is not None and self.state is State.READY:
            self._step(Step.SESSION_ENDED)
        else:
            return  # the join that goes on creates it, or the next one
        self.pace.ended(serving.good_since)
        if not self.pace.due:  # a Janus that ends each session at once must not be asked without end
            self._refuse("Janus ended the managed session")

    def _stranded(self) -> None:
        """A session lives on a connection that was left: claim it, too."""
        if self.state is State.READY and not self.stopping:
            self._step(Step.SESSION_ENDED)
            self.pace.rouse()

    # What connections report

    def on_ended(self, connection: Connection, reason: str) -> None:
        """It ended by itself, or as it was told to."""
        self._traffic.carriers.pop(connection.number, None)
        self._traffic.book.cut(connection.number)
        if self._traffic.connection is connection:
            self._out_of_service(connection, reason)
        self._traffic.out_of_service(connection, reason)
        if self.stopping:
            return
        if connection in self.left:
            self.left.remove(connection)
            if not self.left and self.state in (State.LEAVING, State.RESTING, State.REJOINING):
                self._step(Step.ENDED)
            elif self.connection is not None and not has_all(self.connection, self._traffic.book):
                self._stranded()
        elif connection is self.connection and self.state in (State.READY, State.REFUSED):
            self.connection = None
            self._told.note(reason)
            self.pace.ended(connection.good_since, served=connection.served)
            self._step(Step.ENDED if self.state is State.READY else Step.FAILED)
        self.pace.rouse()

    def on_frames(self, connection: Connection) -> None:
        """It spoke. If it was left for its silence, and nothing was claimed elsewhere meanwhile, it is good again."""
        if connection.left_for == "silence" and connection.usable:
            if self.state in (State.LEAVING, State.RESTING):
                self._back(connection)
            elif self.state is State.READY and self.left.carries(connection):
                connection.left_for = "choice"
                self._beat(connection)

    def on_stalled(self, connection: Connection) -> None:
        """A write did not complete: it is not written to any more, but still read."""
        self._give_up(connection, "stall", "a write to Janus could not complete in janus_send_timeout")

    def _on_silence(self, connection: Connection) -> None:
        connection.beating = False
        self._give_up(connection, "silence", "Janus is silent")

    def _give_up(self, connection: Connection, cause: Cause, reason: str) -> None:
        if connection in self.left:
            connection.leave(cause)
            connection.ping()
            if self._traffic.connection is connection:
                self._out_of_service(connection, reason)
            else:
                self._traffic.out_of_service(connection, reason)
                self._keep(connection)
        elif connection is self.connection:
            if self.state in (State.READY, State.REFUSED):
                self._leave(connection, cause, reason)
            elif cause == "stall":
                self._traffic.lose(connection, reason)  # so ends the join; for silence it has its own deadlines

    # Leaving and coming back

    def _leave(self, connection: Connection, cause: Cause, reason: str) -> None:
        self.connection = None
        log.info("%s: leaving the connection for a new one: %s", connection.gateway.janus_id, reason)
        if cause != "choice":
            self.pace.ended(connection.good_since, served=connection.served)
        keep = self.state is State.READY or self.left.carries(connection)
        if keep:
            self._step(Step.LEAVE)
            self.left.add(connection, cause)
        else:
            self._step(Step.FAILED)
            connection.close()
        if self._traffic.connection is connection and not (keep and cause == "choice"):
            self._out_of_service(connection, reason)
        self.pace.rouse()

    def _back(self, connection: Connection) -> None:
        """One that was left has its place again; the attempt is dropped."""
        log.info("%s: going back to the connection that was left", connection.gateway.janus_id)
        self.connection = self.left.remove(connection)
        self._step(Step.BACK)
        self.attempt.cancel()
        self._beat(connection)
        self.pace.rouse()

    def _out_of_service(self, connection: Connection, reason: str) -> None:
        """No command goes out, and nobody waits for answers of the connection any more; it is still read."""
        self._told.note(reason)
        self._traffic.out_of_service(connection, reason)
        self._told.on_not_ready(reason)

    def _beat(self, connection: Connection) -> None:
        if not connection.beating:
            connection.beating = True
            env = self._env
            Heart(connection, self._traffic, env.timers, env.settings.ping_interval, self._on_silence).start()

    def _step(self, step: Step) -> None:
        self.state = follow(self.state, step)
        self._told.on_step()
