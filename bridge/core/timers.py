"""One task for every timer of the process.

Owns a heap of deadlines and the one task that sleeps for the earliest. A thousand idle gateways then cost a thousand
entries in a list, not a thousand sleeping tasks. Must not know what is done then.
"""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from bridge.auto_reset_event import AutoResetEvent

FEW = 64  # entries of cancelled timers that are not worth looking for
MOST: Final = 64  # callbacks in one turn of the loop: keepalives of as many gateways are some 2 ms


class Timer:
    """A callback that runs once, unless cancelled. ``timers``: those that wait for its time; None after that."""

    __slots__ = ("callback", "number", "timers")

    def __init__(self, timers: "Timers", number: int, callback: Callable[[], None]) -> None:
        self.timers: Timers | None = timers
        self.number = number
        self.callback = callback

    def cancel(self) -> None:
        """It will not run, and is let go of. Does nothing after it did."""
        timers = self.timers
        if timers is not None:
            self.timers = None
            timers.waiting.pop(self.number, None)
            if len(timers.entries) > 2 * len(timers.waiting) + FEW:
                timers.tidy()


class Timers:
    """``run`` must be running for anything to run. After a callback that raised it can be run again.

    ``waiting``: the timers, by number; ``entries``: a heap of their deadlines and numbers. Of one that is cancelled no
    more than its entry stays, for a while: a timer may hold a whole request, and its time be ten minutes.
    """

    def __init__(self) -> None:
        self.waiting: Final[dict[int, Timer]] = {}
        self.entries: list[tuple[float, int]] = []
        self._due: deque[Timer] = deque()
        self._last = 0  # number
        self._changed = AutoResetEvent()

    def __len__(self) -> int:
        """How many entries are kept, those of cancelled timers included: at most as many of these as of others, and
        FEW.
        """
        return len(self.entries)

    def call_at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback()`` at ``deadline`` in trio's clock."""
        number = self._last = self._last + 1
        timer = self.waiting[number] = Timer(self, number, callback)
        heap = self.entries
        if not heap or deadline < heap[0][0]:
            self._changed.set()
        heapq.heappush(heap, (deadline, number))
        return timer

    def tidy(self) -> None:
        """Nearly all are cancelled, long before their time: their entries must not pile up."""
        waiting = self.waiting
        self.entries = [entry for entry in self.entries if entry[1] in waiting]
        heapq.heapify(self.entries)

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._run_due()
            if self._due:
                await trio.lowlevel.checkpoint()
                continue
            deadline = self.entries[0][0] if self.entries else float("inf")
            with trio.move_on_at(deadline):
                await self._changed.wait()

    def _run_due(self) -> None:
        # Only what is due now: a callback that asks to run at once again does so in the next turn of the event loop.
        now = trio.current_time()
        while self.entries and self.entries[0][0] <= now:
            timer = self.waiting.pop(heapq.heappop(self.entries)[1], None)
            if timer is not None:  # else it was cancelled
                self._due.append(timer)
        for _ in range(min(MOST, len(self._due))):
            timer = self._due.popleft()
            if timer.timers is not None:
                timer.timers = None
                timer.callback()
