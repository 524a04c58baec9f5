"""A pending request: one request to Janus and whoever waits for its answer.

Owns its progress and its outcome (contract 5.5). Must not know how it is sent. The bridge's own requests are some, too.
"""

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import trio

from bridge.errors import BridgeError, LinkDown
from bridge.protocol.codec import JsonObject
from bridge.protocol.command import JanusCommand
from bridge.protocol.janus import Kind

if TYPE_CHECKING:
    from bridge.core.timers import Timer
    from bridge.protocol.budget import Holding


class Progress(Enum):
    """The value is what a time-out says in its ``data``."""

    WAITING = "not sent"  # in its lane, or for a new connection
    SENT = "no answer"
    ACKED = "acknowledged, no event came"


class Asked(NamedTuple):
    """What a request was about: enough to see in its answer what became of sessions and handles."""

    kind: Kind
    session_id: int | None
    handle_id: int | None
    plugin: str | None  # that an attach named


class CallerLeft(LinkDown):
    """Nobody waits for it any more, and it was not sent yet."""


class PendingRequest:
    """``session_id`` is what it goes out with; ``began`` and ``deadline`` are trio's clock."""

    __slots__ = (
        "abandoned",
        "answer",
        "began",
        "caller",
        "closes_session",
        "command",
        "connection",
        "deadline",
        "error",
        "handle_id",
        "holding",
        "kind",
        "notification",
        "progress",
        "session_id",
        "timer",
        "transaction",
        "waiter",
    )

    def __init__(
        self,
        command: JanusCommand,
        deadline: float,
        *,
        began: float = 0.0,
        kind: Kind | None = None,
        notification: bool = False,
    ) -> None:
        self.command = command
        self.began = began
        self.kind: Kind = command.verb.kind if kind is None else kind
        self.deadline = deadline
        self.notification = notification
        self.session_id = command.session_id
        self.handle_id = command.handle_id
        self.caller = command.caller
        self.closes_session = self.kind == "destroy"
        self.progress = Progress.WAITING
        self.transaction: str | None = None  # its text, once it was sent
        self.connection: int | None = None  # the number of the one that its answer is to come on
        self.abandoned = False  # its caller left
        self.holding: Holding | None = None  # of a notification: what its request holds of a budget
        self.timer: Timer | None = None  # its time limit
        self.answer: JsonObject | None = None
        self.error: BridgeError | None = None
        self.waiter: trio.lowlevel.Task | None = None

    @property
    def asked(self) -> Asked:
        return Asked(self.kind, self.session_id, self.handle_id, self.command.plugin)

    @property
    def finished(self) -> bool:
        return self.answer is not None or self.error is not None

    def settle(self, answer: JsonObject) -> None:
        """Janus answered."""
        self.answer = answer
        self._wake()

    def fail(self, error: BridgeError) -> None:
        """It will not be answered."""
        self.error = error
        self._wake()

    async def wait(self) -> None:
        """Until it is finished. For one task at a time: a trio.Event and a scope for the time limit would be a fifth
        of what a command costs.
        """
        if self.finished:
            await trio.lowlevel.checkpoint()
            return
        assert self.waiter is None, "one task waits for it already"
        self.waiter = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._leave)

    def _leave(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self.waiter = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self.waiter is not None:
            trio.lowlevel.reschedule(self.waiter)
            self.waiter = None

    def result(self) -> JsonObject:
        """The answer; raises the error that it ended in."""
        if self.error is not None:
            raise self.error
        assert self.answer is not None
        return self.answer
