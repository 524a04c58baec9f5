"""A pending request: one request to Janus, and who is told what became of it.

Owns its progress and its outcome (contract 5.5). Must not know how it is sent. The bridge's own requests are some, too.
"""

import math
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import trio

from bridge.errors import BridgeError, LinkDown
from bridge.protocol.codec import JsonObject
from bridge.protocol.command import JanusCommand
from bridge.protocol.janus import Kind

if TYPE_CHECKING:
    from bridge.protocol.budget import Holding


class Progress(Enum):
    """The value is what a time-out says in its ``data``."""

    WAITING = "not sent"  # in its lane, or for a new connection
    SENT = "no answer"
    ACKED = "acknowledged, no event came"


_WAITING: Final = Progress.WAITING


class Asked(NamedTuple):
    """What a request was about: enough to see in its answer what became of sessions and handles."""

    kind: Kind
    session_id: int | None
    handle_id: int | None
    plugin: str | None  # that an attach named


class CallerLeft(LinkDown):
    """Its caller is gone, and it was not sent yet."""


class Asker(Protocol):
    """Who is told the outcome of a request: one of the two, once. Neither raises."""

    def succeed(self, result: JsonObject) -> None: ...

    def fail(self, error: BridgeError) -> None: ...


class Keeper(Protocol):
    """Who keeps a request while it waits."""

    def abandon(self, pending: "PendingRequest") -> None: ...

    def expire(self, pending: "PendingRequest") -> None: ...


class AwaitedAnswer:
    """An asker that a task waits for. ``name`` is what was asked."""

    __slots__ = ("_answer", "_error", "_over", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._answer: JsonObject | None = None
        self._error: BridgeError | None = None
        self._over = trio.Event()

    @property
    def finished(self) -> bool:
        return self._over.is_set()

    def succeed(self, result: JsonObject) -> None:
        """Janus answered."""
        self._answer = result
        self._over.set()

    def fail(self, error: BridgeError) -> None:
        """It will not be answered."""
        self._error = error
        self._over.set()

    async def wait(self) -> None:
        """Until it is finished."""
        await self._over.wait()

    def result(self) -> JsonObject:
        """The answer; raises the error that it ended in."""
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer


class PendingRequest:
    """``session_id`` is what it goes out with; ``began`` and ``deadline`` are trio's clock. Nobody is told of one
    without an ``asker``: a notification, or one whose caller left.
    """

    __slots__ = (
        *("abandoned", "asker", "began", "caller", "closes_session", "command", "connection", "deadline"),
        *("finished", "handle_id", "holding", "keeper", "kind", "progress", "session_id", "transaction"),
    )

    def __init__(
        self,
        command: JanusCommand,
        kind: Kind,
        keeper: Keeper,
        asker: Asker | None,
        began: float = 0.0,
        deadline: float = math.inf,
    ) -> None:
        self.command = command
        self.kind = kind
        self.keeper = keeper
        self.asker = asker
        self.began = began
        self.deadline = deadline
        self.session_id = command.session_id
        self.handle_id = command.handle_id
        self.caller = command.caller
        self.closes_session = kind == "destroy"
        self.progress: Progress = _WAITING
        self.transaction: str | None = None  # its text, once it was sent
        self.connection: int | None = None  # the number of the one that its answer is to come on
        self.finished = False
        self.abandoned = False  # its caller left
        self.holding: Holding | None = None  # of a notification: what its request holds of a budget

    @property
    def asked(self) -> Asked:
        return Asked(self.kind, self.session_id, self.handle_id, self.command.plugin)

    def abandon(self) -> None:
        """Its caller left."""
        self.keeper.abandon(self)

    def expire(self) -> None:
        """Its time is over."""
        self.keeper.expire(self)

    def fail(self, error: BridgeError) -> None:
        """Tell its asker."""
        if self.asker is not None:
            self.asker.fail(error)
