"""One task for every timer of the process.

Owns a heap of deadlines and the one task that sleeps for the earliest. A thousand idle gateways then cost a thousand
entries in lists, not a thousand sleeping tasks. Must not know what is done then.
"""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from bridge.auto_reset_event import AutoResetEvent

FEW = 64  # cancelled timers that are not worth looking for
MOST: Final = 64  # callbacks in one turn of the loop: keepalives of as many gateways are some 2 ms


class Timer:
    """A callback that runs once, unless cancelled. ``callback``: None once it ran, or never will."""

    __slots__ = ("_timers", "callback")

    def __init__(self, timers: "Timers", callback: Callable[[], None]) -> None:
        self._timers: Final = timers
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """It will not run, and is let go of. Does nothing after it did."""
        if self.callback is not None:
            self.callback = None
            self._timers.cancelled_one()


class Timers:
    """``run`` must be running for anything to run. After a callback that raised it can be run again.

    ``waiting``: the timers, by deadline. What is due at the same time has one place in the heap, so whoever has many
    asks for times that they share. Of one that is cancelled no more than the Timer stays, for a while: a callback may
    hold a whole request, and its time be ten minutes.
    """

    def __init__(self) -> None:
        self.waiting: Final[dict[float, list[Timer]]] = {}
        self._deadlines: list[float] = []  # of these, a heap
        self._due: deque[Timer] = deque()
        self._kept = 0  # waiting and due
        self._cancelled = 0  # of those
        self._changed = AutoResetEvent()

    def __len__(self) -> int:
        """How many are kept, cancelled ones included: at most as many of these as of others, and FEW."""
        return self._kept

    def call_at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback()`` at ``deadline`` in trio's clock."""
        timer = Timer(self, callback)
        together = self.waiting.get(deadline)
        if together is not None:
            together.append(timer)
        else:
            self.waiting[deadline] = [timer]
            if not self._deadlines or deadline < self._deadlines[0]:
                self._changed.set()
            heapq.heappush(self._deadlines, deadline)
        self._kept += 1
        return timer

    def cancelled_one(self) -> None:
        """For Timer. Nearly all are cancelled, long before their time: they must not pile up."""
        self._cancelled += 1
        if self._cancelled > FEW and 2 * self._cancelled > self._kept:
            self._tidy()

    def _tidy(self) -> None:
        for deadline, together in list(self.waiting.items()):
            left = [timer for timer in together if timer.callback is not None]
            gone = len(together) - len(left)
            self._kept -= gone
            self._cancelled -= gone
            if left:
                self.waiting[deadline] = left
            else:
                del self.waiting[deadline]
        self._deadlines = list(self.waiting)
        heapq.heapify(self._deadlines)

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._run_due()
            if self._due:
                await trio.lowlevel.checkpoint()
                continue
            deadline = self._deadlines[0] if self._deadlines else float("inf")
            with trio.move_on_at(deadline):
                await self._changed.wait()

    def _run_due(self) -> None:
        # Only what is due now: a callback that asks to run at once again does so in the next turn of the event loop.
        now = trio.current_time()
        while self._deadlines and self._deadlines[0] <= now:
            self._due += self.waiting.pop(heapq.heappop(self._deadlines))
        for _ in range(min(MOST, len(self._due))):
            timer = self._due.popleft()
            self._kept -= 1
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
            else:
                self._cancelled -= 1
