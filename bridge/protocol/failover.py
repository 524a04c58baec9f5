"""What keeps a gateway served: everything that can happen to its connections, and what is to be done about it.

Owns the inputs, and what follows without one. Each method is something that happened, with the time, and returns what
is to be done, in order. Without input and output, clock or tasks. What is decided is the table of ``decisions.py``;
what is known is in the ``Roster``.
"""

from collections.abc import Sequence

from bridge.protocol.decisions import Incident, decide
from bridge.protocol.life import Action, Cause, Effect, Input, State, Target
from bridge.protocol.roster import ConnectionRecord, Roster


class Failover:
    """``stopping``: the gateway goes away, and nothing more is decided."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self.stopping = False

    # What happens

    def begin(self, now: float, sockets: Sequence[int] = ()) -> list[Action]:
        """The link begins. Another process, or another life of the link, left it these, the oldest first: they go on,
        each with what lives there. What was decided between two lives is not done.
        """
        roster = self.roster
        self.reset(roster.down_because)
        left = {roster.new(socket).number: socket for socket in sockets}
        roster.book.carriers.inherited(roster.wanted.gateway, left, roster.book)
        for number in left:
            roster.do(Effect.OPEN, number)
        return self.due(now)

    def happened(self, number: int, incident: Incident) -> list[Action]:
        """Something happened to that connection."""
        connection = self.roster.connections.get(number)
        decided = connection is not None and decide(self.roster, connection, incident)
        return self.due(incident.now) if decided else []

    def session_over(self, now: float, *, managed: bool) -> list[Action]:
        """The book has ended a session; ``managed``: it was the managed one."""
        roster = self.roster
        if managed and roster.serving is not None:
            incident = Incident(Input.SESSION_ENDED, now, "Janus ended the managed session")
            return self.happened(roster.serving, incident)
        return [] if all(roster.book.carriers.carries(old.number) for old in roster.left()) else self.due(now)

    def given_up(self, now: float) -> list[Action]:
        """Sessions are another bridge's: the managed one is made anew where nothing else is under way."""
        current = self.roster.current
        return [] if current is None else self.happened(current.number, Incident(Input.STRANDED, now))

    def want(self, target: Target, now: float) -> list[Action]:
        """The row, its secrets or its TLS files are these now."""
        self.roster.wanted = target
        return self._wished(now)

    def reconnect(self, now: float) -> list[Action]:
        """Somebody asks for another connection; or for an attempt at once, if there is none."""
        current = self.roster.current
        if current is not None and current.proven:
            current.unwanted = True
        return self._wished(now)

    def due(self, now: float) -> list[Action]:
        """It is so late: what follows without an input, behind all that was decided."""
        while not self.stopping and self._follow(now):
            pass
        return self.roster.take()

    def stop(self, reason: str) -> None:
        """The gateway goes away: no command goes out."""
        self.stopping = True
        self._forget(reason)

    def reset(self, reason: str) -> None:
        """All connections are gone at once; the link begins anew."""
        self._forget(reason)
        self.roster.take()

    # How it is decided

    def _forget(self, reason: str) -> None:
        for connection in list(self.roster.connections.values()):
            self.roster.end(connection)
        self.roster.serving, self.roster.down_because = None, reason

    def _wished(self, now: float) -> list[Action]:
        """Somebody wants something else, at once."""
        roster = self.roster
        roster.at_once()
        current, serving = roster.current, roster.connections.get(roster.serving or 0)
        if current is not None and (why := roster.outdated(current)):
            decide(roster, current, Incident(Input.UNWANTED, now, why))
            current = roster.current
        if serving is not None and (current is None or current.state is State.OPENING) and not roster.outdated(serving):
            decide(roster, serving, Incident(Input.PREFERRED, now))  # the row changed back
        return self.due(now)

    def _follow(self, now: float) -> bool:
        """Take one decision that is due; whether there was one."""
        roster = self.roster
        current = roster.current
        if current is None:
            if now >= roster.retry_at:
                roster.do(Effect.OPEN, roster.new().number)
            return now >= roster.retry_at
        if current.state is State.REFUSED and now >= roster.retry_at:
            return decide(roster, current, Incident(Input.DUE, now))
        if current.state not in (State.READY, State.REFUSED):
            return False
        for old in roster.left():
            if not roster.book.carriers.carries(old.number):
                return decide(roster, old, Incident(Input.EMPTY, now))
            if not old.kept:
                self._keep(old, current)
            if current.state is State.READY and old.cause is Cause.SILENCE and now >= old.quiet_since + old.patience:
                return decide(roster, old, Incident(Input.OVERDUE, now, "it was silent for too long"))
        if current.state is State.READY and roster.book.unsettled(current.number):
            return decide(roster, current, Incident(Input.STRANDED, now))
        return False

    def _keep(self, old: ConnectionRecord, current: ConnectionRecord) -> None:
        """The current one took its place, and what lives there stays: with another Janus behind the same URL."""
        old.kept = True
        if old.heard and not old.stalled:
            old.cause = Cause.CHOICE
        if old.target.gateway.janus_url == current.target.gateway.janus_url:
            old.target = current.target
        if old.cause is Cause.CHOICE:
            self.roster.do(Effect.WATCH, old.number)
