"""All connections of one gateway, by number, and the clock of the next attempt.

Owns what is known of each, which one is in service, what is wanted (row, secrets, another one), what that makes the
gateway to the outside, and the list of what is to be done. Must not know what follows from what happens:
``decisions.py`` does. Which connection carries a session is the SessionBook's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bridge.protocol.backoff import Backoff
from bridge.protocol.life import Action, Cause, Effect, State, Target, Visible
from bridge.protocol.session_book import SessionBook

TRUSTED_AFTER = 10.0  # seconds that something has to last so that its end is no failed attempt, without real service
PATIENCE = 60.0  # seconds that a Janus gives a session without a sign of life, unless its `info` says more
MOST = 4  # silent ones at once; each is a socket, and more than one only where attempts fail after claims went out

_SILENCE: Final = Cause.SILENCE
CURRENT = (State.OPENING, State.JOINING, State.REFUSED, State.READY)


@dataclass(slots=True, eq=False)
class ConnectionRecord:
    """What is known of one connection. Times are the caller's clock.

    Whoever holds the connection notes its ``socket``, and that it ``served``, ``stalled`` or was ``greeted``; all else
    is decided.
    """

    number: int
    target: Target
    socket: int = 0  # its number, for another process that has it as well; 0: none will
    state: State = State.OPENING
    since: float = 0.0  # when it was opened, or ready for the last time
    proven: bool = False  # it was ready, or refused with nothing to go back to: it is more than an attempt
    served: bool = False  # Janus answered a command or a keepalive on it
    unwanted: bool = False  # somebody asked for another one
    stalled: bool = False  # it may not be written to
    untested: bool = False  # another process opened it, and its Janus has not answered here
    cause: Cause | None = None  # why it was left
    kept: bool = False  # the current one was in service after it was left
    heard: bool = False  # it spoke after it was left
    quiet_since: float = 0.0
    patience: float = PATIENCE

    def greeted(self, patience: float) -> None:
        """Its Janus answered; it ends a session without a sign of life after so many seconds, if more than usual."""
        self.patience, self.untested = max(PATIENCE, patience), False


class Roster:
    """``serving``: the connection on which commands without a session go out, and new ones are made."""

    def __init__(self, book: SessionBook, backoff: Backoff, target: Target, down_because: str) -> None:
        self.connections: dict[int, ConnectionRecord] = {}  # in the order in which they were opened
        self.book = book
        self.backoff = backoff
        self.wanted = target
        self.serving: int | None = None
        self.down_because = down_because  # what callers hear while nothing is in service
        self.retry_at = 0.0
        self._numbers = 0
        self._actions: list[Action] = []

    @property
    def current(self) -> ConnectionRecord | None:
        """The one that is ready, or on its way to be."""
        for connection in reversed(self.connections.values()):
            if connection.state in CURRENT:
                return connection
        return None

    @property
    def ready(self) -> bool:
        """Whether commands can be sent, those for the managed session among them."""
        return self.serving is not None and self.book.managed.session_id is not None

    @property
    def visible(self) -> Visible:
        """What ``janus_list`` calls the state of the gateway."""
        if self.ready:
            return "ready"
        current = self.current
        waits = self.backoff.failures if current is None else current.state is State.REFUSED
        return "backoff" if waits else "connecting"

    @property
    def wake_at(self) -> float | None:
        """When something may be due."""
        current = self.current
        if current is None or current.state is State.REFUSED:
            return self.retry_at
        if current.state is State.READY:
            return min((c.quiet_since + c.patience for c in self.silent() if c.kept), default=None)
        return None

    def route(self, carrier: int | None) -> int | None:
        """The connection on which a command goes out whose session lives on ``carrier``; None: it cannot be sent."""
        connection = self.connections.get(carrier or 0)
        if connection is None:
            return self.serving
        mute = connection.stalled or connection.untested or connection.cause is _SILENCE
        return None if mute else carrier

    def left(self) -> list[ConnectionRecord]:
        """Those that were left, the oldest first."""
        return [c for c in self.connections.values() if c.state is State.LEFT]

    def silent(self) -> Iterator[ConnectionRecord]:
        """Those that were left and are not heard, or cannot be written to."""
        return (c for c in self.left() if c.cause is _SILENCE)

    def outdated(self, connection: ConnectionRecord) -> str:
        """Why another connection is wanted in its place; nothing, where none is."""
        return "janus_reconnect" if connection.unwanted else connection.target.misfit(self.wanted)

    def serves_beside(self, number: int) -> bool:
        """Whether another connection than this one is in service."""
        return self.serving not in (None, number)

    def new(self, socket: int = 0) -> ConnectionRecord:
        """One more, for what is wanted; ``socket`` is that of another process, which goes on."""
        self._numbers += 1
        connection = self.connections[self._numbers] = ConnectionRecord(self._numbers, self.wanted, socket)
        connection.untested = socket != 0
        return connection

    def carry(self, connection: ConnectionRecord) -> None:
        """It is open. What was saved as living on another process's is known to do so."""
        if not connection.untested:
            self.book.carriers.opened(connection.number, connection.target.gateway, connection.socket)

    # What is to be done

    def do(self, effect: Effect, number: int = 0, text: str = "") -> None:
        """It is to be done, after what was decided before."""
        self._actions.append(Action(effect, number, text))

    def take(self) -> list[Action]:
        """All that is to be done, in order."""
        actions, self._actions = self._actions, []
        return actions

    def suspend(self, connection: ConnectionRecord, reason: str) -> None:
        """No command goes out on it."""
        if connection.untested and connection.stalled:  # another process's, and it makes no sense
            self.book.carriers.disown(connection.number)
        self.do(Effect.SUSPEND, connection.number, reason)
        if self.serving == connection.number:
            self.serving, self.down_because = None, reason
            self.do(Effect.NOT_READY, text=reason)

    def ping(self, connection: ConnectionRecord) -> None:
        """Ask it for a sign of life, if it may be written to."""
        if not connection.stalled:
            self.do(Effect.GREET if connection.untested else Effect.PING, connection.number)

    def end(self, connection: ConnectionRecord) -> None:
        """It is gone, or never came to be."""
        connection.state = State.ENDED
        self.connections.pop(connection.number, None)
        self.book.carriers.cut(connection.number)

    def close(self, connection: ConnectionRecord) -> None:
        """Give it up, with what lives there."""
        self.end(connection)
        self.do(Effect.CLOSE, connection.number)

    def leave(self, connection: ConnectionRecord, cause: Cause, now: float) -> None:
        """Keep it open and read; a sign of life may bring it back."""
        connection.state, connection.cause = State.LEFT, cause
        connection.kept = connection.heard = False
        connection.quiet_since = now
        self.ping(connection)
        silent = [one for one in self.silent() if not one.untested]  # those are as many as the last process had
        if len(silent) > MOST:
            self.close(silent[0])

    # The clock of attempts

    def at_once(self) -> None:
        """Somebody asked for an attempt now, or there is every reason to hope."""
        self.backoff.reset()
        self.retry_at = 0.0

    def failed(self, now: float, reason: str, *, refused: bool = False) -> None:
        """An attempt failed: the next one waits."""
        self.do(Effect.FAILED, text=reason)
        self.retry_at = now + self.backoff.failed(now, refused=refused)
        if self.serving is None:
            self.down_because = reason

    def over(self, since: float, now: float, *, served: bool) -> None:
        """What was good since then is over. If it neither served nor lasted, that counts as failed."""
        if served:  # the next is due, though never much more than two a second: a peer may do that without end
            self.retry_at = since + self.backoff.served()
        elif now - since >= TRUSTED_AFTER:
            self.at_once()
        else:
            self.retry_at = now + self.backoff.failed(now, refused=False)
