"""What keeps a gateway served: everything that can happen to its connections, and what is to be done about it.

Owns the inputs, and what follows without one. Each method is something that happened, with the time, and returns what
is to be done, in order. Without input and output, clock or tasks. What is decided is the table of ``decisions.py``;
what is known is in the ``Roster``. What the gateway is to the outside is a function of the set.
"""

from bridge.protocol.backoff import Backoff
from bridge.protocol.decisions import TABLE, Incident, decide
from bridge.protocol.life import Action, Cause, Deed, Input, State, Target, Visible
from bridge.protocol.roster import PATIENCE, ConnectionRecord, Roster
from bridge.protocol.session_book import SessionBook


class Failover:
    """``stopping``: the gateway goes away, and nothing more is decided."""

    def __init__(self, book: SessionBook, backoff: Backoff, target: Target, down_because: str) -> None:
        self._book = book
        self._roster = Roster(book, backoff, target, down_because)
        self.stopping = False

    # What the outside sees

    @property
    def connections(self) -> dict[int, ConnectionRecord]:
        """What is known of each connection, by its number."""
        return self._roster.connections

    @property
    def current(self) -> ConnectionRecord | None:
        """The connection that is ready, or on its way to be."""
        return self._roster.current

    @property
    def serving(self) -> int | None:
        """The connection on which commands without a session go out, and new ones are made."""
        return self._roster.serving

    @property
    def down_because(self) -> str:
        """What callers hear while nothing is in service."""
        return self._roster.down_because

    @property
    def wanted(self) -> Target:
        """What a connection should be opened for."""
        return self._roster.wanted

    @property
    def visible(self) -> Visible:
        """What ``janus_list`` calls the state of the gateway."""
        roster = self._roster
        if roster.serving is not None and self._book.managed.session_id is not None:
            return "ready"
        current = roster.current
        if current is None:
            return "backoff" if roster.backoff.failures else "connecting"
        return "backoff" if current.state is State.REFUSED else "connecting"

    @property
    def wake_at(self) -> float | None:
        """When ``due`` wants to be called."""
        current = self._roster.current
        if current is None or current.state is State.REFUSED:
            return self._roster.retry_at
        if current.state is State.READY:
            return min((c.quiet_since + c.patience for c in self._roster.silent() if c.kept), default=None)
        return None

    def route(self, carrier: int | None) -> int | None:
        """The connection on which a command goes out whose session lives on ``carrier``; None: it cannot be sent."""
        connection = None if carrier is None else self._roster.connections.get(carrier)
        if connection is None:
            return self._roster.serving
        return carrier if connection.serves else None

    def serves_beside(self, number: int) -> bool:
        """Whether another connection than this one is in service."""
        return self._roster.serves_beside(number)

    # What happens

    def due(self, now: float) -> list[Action]:
        """The time is ``wake_at``, or the link begins."""
        return self._decided(now)

    def want(self, target: Target, now: float) -> list[Action]:
        """The row, its secrets or its TLS files are these now."""
        self._roster.wanted = target
        return self._wished(now)

    def reconnect(self, now: float) -> list[Action]:
        """Somebody asks for another connection; or for an attempt at once, if there is none."""
        current = self._roster.current
        if current is not None and current.proven:
            current.unwanted = True
        return self._wished(now)

    def opened(self, number: int, now: float) -> list[Action]:
        """Its WebSocket is open."""
        return self._happened(number, Incident(Input.OPENED, now))

    def adopted(self, number: int, now: float) -> list[Action]:
        """Its WebSocket was another process's, and goes on here, mid-life."""
        return self._happened(number, Incident(Input.ADOPTED, now))

    def failed(self, number: int, now: float, reason: str, *, refused: bool = False) -> list[Action]:
        """It could not be opened (``refused``: nothing listens there), or the sessions not brought onto it."""
        return self._happened(number, Incident(Input.FAILED, now, reason, refused))

    def greeted(self, number: int, patience: float) -> None:
        """Its Janus answered; it ends a session without a sign of life after so many seconds, if more than usual."""
        if number in self.connections:
            self.connections[number].patience = max(PATIENCE, patience)
            self.connections[number].untested = False

    def served(self, number: int) -> None:
        """Janus answered a command or a keepalive on it."""
        if number in self.connections:
            self.connections[number].served = True

    def joined(self, number: int, now: float) -> list[Action]:
        """Every session lives on it, or on an open one with another Janus."""
        return self._happened(number, Incident(Input.JOINED, now))

    def refused(self, number: int, now: float, reason: str) -> list[Action]:
        """Janus does not give, or hand over, a session for now."""
        return self._happened(number, Incident(Input.REFUSED, now, reason))

    def unable(self, number: int, now: float, reason: str) -> list[Action]:
        """This server never hands over a session; the connection that serves has them."""
        return self._happened(number, Incident(Input.UNABLE, now, reason))

    def silent(self, number: int, now: float) -> list[Action]:
        """Nothing came for too long."""
        return self._happened(number, Incident(Input.SILENT, now, "Janus is silent"))

    def stalled(self, number: int, now: float, reason: str) -> list[Action]:
        """A write did not complete, or what is read makes no sense: nothing more is written to it."""
        if number in self.connections:
            self.connections[number].stalled = True
        return self._happened(number, Incident(Input.STALLED, now, reason))

    def spoke(self, number: int, now: float) -> list[Action]:
        """A frame came."""
        return self._happened(number, Incident(Input.SPOKE, now))

    def session_over(self, now: float, *, managed: bool) -> list[Action]:
        """The book has ended a session; ``managed``: it was the managed one."""
        serving = self._roster.serving
        if managed and serving is not None:
            return self._happened(serving, Incident(Input.SESSION_ENDED, now, "Janus ended the managed session"))
        return self._decided(now) if len(self.connections) > 1 else []

    def retired(self, number: int, now: float) -> list[Action]:
        """Its answers have come, or their time is over."""
        return self._happened(number, Incident(Input.RETIRED, now))

    def ended(self, number: int, now: float, reason: str) -> list[Action]:
        """It is gone."""
        self._book.cut(number)
        return self._happened(number, Incident(Input.ENDED, now, reason))

    def stop(self, reason: str) -> None:
        """The gateway goes away: no command goes out."""
        self.stopping = True
        self._roster.serving, self._roster.down_because = None, reason
        self._roster.connections.clear()

    def reset(self, reason: str) -> None:
        """All connections are gone at once; the link begins anew."""
        for number in self.connections:
            self._book.cut(number)
        self.connections.clear()
        self._roster.serving, self._roster.down_because = None, reason
        self._roster.take()

    # How it is decided

    def _happened(self, number: int, incident: Incident) -> list[Action]:
        connection = self.connections.get(number)
        if connection is None or self.stopping or (connection.state, incident.what) not in TABLE:
            return []
        decide(self._roster, connection, incident)
        return self._decided(incident.now)

    def _wished(self, now: float) -> list[Action]:
        """Somebody wants something else, at once."""
        if self.stopping:
            return []
        roster = self._roster
        roster.at_once()
        current, serving = roster.current, self.connections.get(roster.serving or 0)
        if current is not None and (why := roster.outdated(current)):
            decide(roster, current, Incident(Input.UNWANTED, now, why))
            current = roster.current
        if serving is not None and (current is None or current.state is State.OPENING) and not roster.outdated(serving):
            decide(roster, serving, Incident(Input.PREFERRED, now))  # the row changed back
        return self._decided(now)

    def _decided(self, now: float) -> list[Action]:
        """What follows without an input, and all that is to be done."""
        while not self.stopping and self._follow(now):
            pass
        return self._roster.take()

    def _follow(self, now: float) -> bool:
        """Take one decision that is due; whether there was one."""
        roster = self._roster
        current = roster.current
        if current is None:
            if now < roster.retry_at:
                return False
            roster.do(Deed.OPEN, roster.new().number)
            return True
        if current.state is State.REFUSED and now >= roster.retry_at:
            decide(roster, current, Incident(Input.DUE, now))
            return True
        if current.state not in (State.READY, State.REFUSED):
            return False
        for old in roster.left():
            if not self._book.carries(old.number):
                decide(roster, old, Incident(Input.EMPTY, now))
                return True
            if not old.kept:
                self._keep(old, current)
            if current.state is State.READY and old.cause is Cause.SILENCE and now >= old.quiet_since + old.patience:
                decide(roster, old, Incident(Input.OVERDUE, now, "it was silent for too long"))
                return True
        if current.state is State.READY and not self._book.has_all(current.number):
            decide(roster, current, Incident(Input.STRANDED, now))
            return True
        return False

    def _keep(self, old: ConnectionRecord, current: ConnectionRecord) -> None:
        """The current one took its place, and what lives there stays: with another Janus behind the same URL."""
        old.kept = True
        if old.heard and not old.stalled:
            old.cause = Cause.CHOICE
        if old.target != current.target and old.target.gateway.janus_url == current.target.gateway.janus_url:
            old.target = current.target
            self._roster.do(Deed.RETARGET, old.number)
        if old.cause is Cause.CHOICE:
            self._roster.do(Deed.WATCH, old.number)
