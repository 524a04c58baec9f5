"""One command of a caller that its bridge cannot just send.

Owns who is told what became of it, and its time. Must not know where it goes: ``errands`` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import trio

from bridge.core.link import JanusLink
from bridge.core.mi import MiRequest
from bridge.core.pending import AwaitedAnswer
from bridge.core.timers import Timer, Timers
from bridge.core.whereabouts import Wanted
from bridge.errors import BridgeError, TransactionLost, TransactionTimeout
from bridge.protocol.codec import JsonObject
from bridge.protocol.command import JanusCommand


class Order(NamedTuple):
    """The number of a command on its way to another bridge, and of the one that is to go before it, if any."""

    number: str
    after: str


class Errand:
    """One command of a caller. ``value`` is as it came, ``deadline`` in trio's clock."""

    __slots__ = (
        "call",
        "command",
        "deadline",
        "end",
        "link",
        "misdirected",
        "notification",
        "order",
        "over",
        "timer",
        "value",
        "wanted",
    )

    def __init__(self, call: MiRequest, link: JanusLink, command: JanusCommand, value: Any, deadline: float) -> None:
        self.call = call
        self.link = link
        self.command = command
        self.value = value
        self.deadline = deadline
        self.wanted = Wanted(link.gateway.janus_id, command.session_id, command.handle_id)
        self.misdirected = 0  # times that it came to a bridge that did not have it
        self.notification = call.notification  # nobody waits for Janus's answer
        self.order: Order | None = None  # of one that came from another bridge, and goes no further
        self.over = False
        self.end: trio.CancelScope | None = None  # of what is under way for it
        self.timer: Timer | None = None  # its time limit, while it waits

    @property
    def rest(self) -> float:
        """Seconds that are left; 0 where its time is over, as it may be where the process was stopped meanwhile."""
        return max(0.0, self.deadline - trio.current_time())

    def wait(self, timers: Timers) -> None:
        """It waits, not longer than it has time."""
        if self.timer is None:
            self.timer = timers.call_at(self.deadline, self._expire)

    def go(self) -> bool:
        """It waits no more; whether anybody still wants it."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.over and self.rest <= 0:
            self._expire()
        return not self.over

    def _expire(self) -> None:
        if not self.over:
            self.fail(TransactionTimeout("not sent"))

    def leave(self) -> None:
        """Its caller left. Nobody waits for a notification anyway: it goes on."""
        if not self.notification:
            self.over = True
            if self.end is not None:
                self.end.cancel()

    async def answer_to(self, command: JanusCommand) -> JsonObject:
        """Janus's answer. Raises the error that the command ends in; to be cancelled is to leave."""
        answer = AwaitedAnswer(command.name)
        pending = self.link.request(command, self.rest, answer)
        try:
            await answer.wait()
        finally:
            pending.abandon()
        return answer.result()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Its caller hears of what keeps it from its end, unless he has left."""
        try:
            yield
        except BridgeError as exc:
            self.fail(exc)
        except trio.Cancelled:
            self.fail(TransactionLost("the bridge stopped before there was an answer"))
            raise

    def fail(self, error: BridgeError) -> None:
        """It has no answer, for this reason."""
        self.over = True
        self.call.fail(error)

    def succeed(self, result: Any) -> None:
        """It has this answer."""
        self.over = True
        self.call.succeed(result)
