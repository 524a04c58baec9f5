"""Playbooks of a gateway's connections: what happens, and what is decided, line by line.

No clock, no task and no Janus: time is a number, and Janus is what the script says of it.
"""

from collections.abc import Sequence
from itertools import count

from bridge.protocol.backoff import Backoff
from bridge.protocol.credentials import Credentials
from bridge.protocol.decisions import Incident
from bridge.protocol.failover import Failover
from bridge.protocol.gateway import Gateway
from bridge.protocol.life import Action, Effect, Input, State, Target
from bridge.protocol.managed_ids import ManagedIds
from bridge.protocol.roster import Roster
from bridge.protocol.session import JanusSession, SavedSession
from bridge.protocol.session_book import SessionBook

QUIET = (Effect.NOTE, Effect.LOG, Effect.FAILED, Effect.NOT_READY, Effect.SETTLED)  # words

SAID = (Effect.NOTE, Effect.FAILED, Effect.NOT_READY)  # why something is not as it should be


class Play:
    """A gateway from its birth. ``managed`` is the id that Janus gave last; ``now`` the time, moved by ``at``."""

    def __init__(self, *saved: SavedSession) -> None:
        """``saved`` are the sessions of the last process."""
        self.now = 0.0
        self.said: list[str] = []
        self.settled: list[str] = []  # what whoever asked for another connection was told
        self.ids = count(1001)
        self.target = Target(Gateway(1, "gw", "ws://one", None), Credentials())
        self.book = SessionBook(ManagedIds(), lambda *_: None, self.target.gateway, saved)
        backoff = Backoff(0.5, 15.0, lambda _low, high: high)
        self.roster = Roster(self.book, backoff, self.target, "not connected yet")
        self.failover = Failover(self.roster)

    def at(self, now: float) -> "Play":
        """It is so late."""
        self.now = now
        return self

    def does(self, actions: Sequence[Action]) -> list[str]:
        """What is done, as "effect number"; words are kept in ``said``."""
        self.said += [action.text for action in actions if action.effect in SAID]
        self.settled += [action.text for action in actions if action.effect is Effect.SETTLED]
        return [f"{action.effect.name.lower()} {action.number}" for action in actions if action.effect not in QUIET]

    def states(self) -> dict[int, State]:
        return {number: record.state for number, record in self.roster.connections.items()}

    # What happens

    def begin(self, *sockets: int) -> list[str]:
        return self.does(self.failover.begin(self.now, sockets))

    def due(self) -> list[str]:
        return self.does(self.failover.due(self.now))

    def happened(self, number: int, what: Input, reason: str = "", *, refused: bool = False) -> list[str]:
        return self.does(self.failover.happened(number, Incident(what, self.now, reason, refused)))

    def opened(self, number: int) -> list[str]:
        return self.happened(number, Input.OPENED)

    def adopted(self, number: int) -> list[str]:
        return self.happened(number, Input.ADOPTED)

    def refused_connect(self, number: int) -> list[str]:
        return self.happened(number, Input.FAILED, "connection refused", refused=True)

    def failed(self, number: int, reason: str = "no answer") -> list[str]:
        return self.happened(number, Input.FAILED, reason)

    def refused(self, number: int) -> list[str]:
        return self.happened(number, Input.REFUSED, "403 Unauthorized")

    def unable(self, number: int) -> list[str]:
        return self.happened(number, Input.UNABLE, "457 Unhandled")

    def ended(self, number: int) -> list[str]:
        return self.happened(number, Input.ENDED, "reset")

    def silent(self, number: int) -> list[str]:
        return self.happened(number, Input.SILENT, "Janus is silent")

    def stalled(self, number: int) -> list[str]:
        if number in self.roster.connections:
            self.roster.connections[number].stalled = True
        return self.happened(number, Input.STALLED, "a write did not complete")

    def answered(self, number: int) -> list[str]:
        """Its Janus gave its first answer, and it is not the one that is joined."""
        self.roster.connections[number].greeted(0)
        self.book.carriers.confirmed(number)
        return self.spoke(number)

    def spoke(self, number: int) -> list[str]:
        return self.happened(number, Input.SPOKE)

    def retired(self, number: int) -> list[str]:
        return self.happened(number, Input.RETIRED)

    def reconnect(self) -> list[str]:
        return self.does(self.failover.reconnect(self.now))

    def want(self, url: str) -> list[str]:
        return self.does(self.failover.want(Target(Gateway(1, "gw", url, None), self.target.credentials), self.now))

    # What Janus says while a connection is joined

    def claim(self, number: int, answers: str = "granted") -> "Play":
        """Every claim is answered so: granted, later, unknown, or not at all (silence)."""
        for session in self.book.unsettled(number):
            self.book.claiming(session, number, self.now)
            if answers == "granted":
                self.book.claimed(session, number)
            elif answers == "later":
                self.book.not_claimed(session, number)
            elif answers == "unknown" and self.book.carriers.is_open(session.carrier):
                self.book.stays(session, number)
            elif answers == "unknown":
                self.book.ended(session)
        return self

    def joined(self, number: int) -> list[str]:
        """The managed session is there, or is made."""
        if not (self.book.managed.carried_by(number) or self.book.promote(number)):
            self.book.managed_created(next(self.ids), number)
        return self.happened(number, Input.JOINED)

    def caller_makes_a_session(self, number: int) -> JanusSession:
        session_id = next(self.ids)
        self.book.adopt(session_id, number)
        session = self.book.find(session_id)
        assert session is not None
        return session

    def session_over(self, session: JanusSession) -> list[str]:
        managed = session is self.book.managed
        self.book.ended(session)
        return self.does(self.failover.session_over(self.now, managed=managed))


def ready(*, url: str = "ws://one") -> Play:
    """A gateway that has been in service for a minute, on connection 1."""
    play = Play()
    assert play.due() == ["open 1"]
    assert play.opened(1) == ["join 1"]
    assert play.joined(1) == ["ready 1", "watch 1"]
    return play.at(60.0)
