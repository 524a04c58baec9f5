"""One task for every timer of the process.

Owns a heap of deadlines and the one task that sleeps for the earliest. A thousand idle gateways then cost a thousand
entries in a list, not a thousand sleeping tasks. Must not know what is done then.
"""

import heapq
from collections import deque
from collections.abc import Callable

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.native import mypyc_attr

FEW = 64  # cancelled timers that are not worth looking for


@mypyc_attr(allow_interpreted_subclasses=True)
class Timer:
    """Something that is due once, unless cancelled. ``timers``: those that wait for its time; None before and after."""

    __slots__ = ("in_heap", "timers")

    timers: "Timers | None"
    in_heap: bool

    def due(self) -> None:
        """Its time has come. What is done now must not block."""
        raise NotImplementedError

    def cancel(self) -> None:
        """It will not be due. Does nothing after it was."""
        timers = self.timers
        if timers is not None:
            self.timers = None
            if self.in_heap:
                timers.cancelled += 1
                if timers.cancelled > FEW:
                    timers.tidy()


class CallLater(Timer):
    """A callback that will run once."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def due(self) -> None:
        """As Timer has it."""
        self._callback()


class Timers:
    """``run`` must be running for anything to be due. After a callback that raised it can be run again."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self.cancelled = 0  # of those in the heap; a timer counts itself
        self._due: deque[Timer] = deque()
        self._order = 0
        self._changed = AutoResetEvent()

    def __len__(self) -> int:
        """How many are kept, cancelled ones included: at most as many of those as of others, and FEW."""
        return len(self._heap)

    def call_at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback()`` at ``deadline`` in trio's clock."""
        timer = CallLater(callback)
        self.start(timer, deadline)
        return timer

    def start(self, timer: Timer, deadline: float) -> None:
        """It is due at ``deadline`` in trio's clock. Once for each timer."""
        timer.timers, timer.in_heap = self, True
        heap = self._heap
        if not heap or deadline < heap[0][0]:
            self._changed.set()
        self._order += 1
        heapq.heappush(heap, (deadline, self._order, timer))

    def tidy(self) -> None:
        """Nearly all are cancelled, long before their time: they must not pile up."""
        if 2 * self.cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].timers is not None]
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
            if timer.timers is None:
                self.cancelled -= 1
            else:
                self._due.append(timer)
        while self._due:
            timer = self._due.popleft()
            if timer.timers is not None:
                timer.timers = None
                timer.due()
