"""One task for every timer of the process.

Owns a heap of deadlines and the one task that sleeps for the earliest. A thousand idle gateways then cost a thousand
entries in a list, not a thousand sleeping tasks. Must not know what its callbacks do; they must not block.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable

import trio

from bridge.auto_reset_event import AutoResetEvent

FEW = 64  # cancelled timers that are not worth looking for


class Timer:
    """A callback that will run once, unless cancelled."""

    __slots__ = ("_timers", "callback", "in_heap")

    def __init__(self, timers: "Timers", callback: Callable[[], None]) -> None:
        self._timers = timers
        self.callback: Callable[[], None] | None = callback
        self.in_heap = True

    def cancel(self) -> None:
        """Do not run it. Does nothing after it ran."""
        if self.callback is not None:
            self.callback = None
            if self.in_heap:
                self._timers.cancelled += 1
                if self._timers.cancelled > FEW:
                    self._timers.tidy()


class Timers:
    """``run`` must be running for callbacks to happen. After a callback that raised it can be run again."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self.cancelled = 0  # of those in the heap; a timer counts itself
        self._due: deque[Timer] = deque()
        self._order = itertools.count()
        self._changed = AutoResetEvent()

    def __len__(self) -> int:
        """How many are kept, cancelled ones included: at most as many of those as of others, and FEW."""
        return len(self._heap)

    def call_at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback()`` at ``deadline`` in trio's clock."""
        timer = Timer(self, callback)
        if not self._heap or deadline < self._heap[0][0]:
            self._changed.set()
        heapq.heappush(self._heap, (deadline, next(self._order), timer))
        return timer

    def tidy(self) -> None:
        """Nearly all are cancelled, long before their time: they must not pile up."""
        if 2 * self.cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self.cancelled = 0

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._run_due()
            deadline = self._heap[0][0] if self._heap else float("inf")
            with trio.move_on_at(deadline):
                await self._changed.wait()

    def _run_due(self) -> None:
        # Only what is due now: a callback that asks to run at once again does so in the next turn of the event loop.
        now = trio.current_time()
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            timer.in_heap = False
            if timer.callback is None:
                self.cancelled -= 1
            else:
                self._due.append(timer)
        while self._due:
            timer = self._due.popleft()
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
