"""One task for every timer of the process.

Owns a heap of deadlines and the one task that sleeps for the earliest. A thousand idle gateways then cost a thousand
entries in a list, not a thousand sleeping tasks. Must not know what its callbacks do; they must not block.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable

import trio


class Timer:
    """A callback that will run once at ``deadline`` (trio clock), unless cancelled."""

    __slots__ = ("callback", "deadline")

    def __init__(self, deadline: float, callback: Callable[[], None]) -> None:
        self.deadline = deadline
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not run it. Does nothing after it ran."""
        self.callback = None


class Timers:
    """``run`` must be running for callbacks to happen. After a callback that raised it can be run again."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._due: deque[Timer] = deque()
        self._order = itertools.count()
        self._changed = trio.Event()

    def call_at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback()`` at ``deadline`` in trio's clock."""
        timer = Timer(deadline, callback)
        if not self._heap or deadline < self._heap[0][0]:
            self._changed.set()
        heapq.heappush(self._heap, (deadline, next(self._order), timer))
        return timer

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._changed = trio.Event()
            self._run_due()
            deadline = self._heap[0][0] if self._heap else float("inf")
            with trio.move_on_at(deadline):
                await self._changed.wait()

    def _run_due(self) -> None:
        # Only what is due now: a callback that asks to run at once again does so in the next turn of the event loop.
        now = trio.current_time()
        while self._heap and self._heap[0][0] <= now:
            self._due.append(heapq.heappop(self._heap)[2])
        while self._due:
            timer = self._due.popleft()
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
