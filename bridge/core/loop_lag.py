"""The event loop as it runs: how late it is, and how fast things happen in it.

Owns two rhythms: a short one that measures by how much the loop wakes a task late, a long one that samples rates. Must
not know what is counted.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import trio

BEAT = 0.1  # seconds: a delay longer than this is never missed
SAMPLE = 50  # beats between two samples of the rates
MEMORY = 600  # beats for which the worst delay is remembered


class LoopLagMonitor:
    """``sample(now, lag)`` is called every five seconds, with the loop's clock and the worst delay since the last
    call, in seconds.
    """

    def __init__(self, sample: Callable[[float, float], Awaitable[None]]) -> None:
        self._sample = sample
        self._worst: deque[tuple[int, float]] = deque()  # beat and delay; delays fall, so that the first is the worst
        self._beats = 0
        self._since_sample = 0.0

    @property
    def lag(self) -> float:
        """The longest that a task was woken late in the last minute, in seconds."""
        return self._worst[0][1] if self._worst else 0.0

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            due = trio.current_time() + BEAT
            await trio.sleep_until(due)
            now = trio.current_time()
            self._note(now - due)
            if self._beats % SAMPLE == 0:
                worst, self._since_sample = self._since_sample, 0.0
                await self._sample(now, worst)

    def _note(self, delay: float) -> None:
        self._beats += 1
        self._since_sample = max(self._since_sample, delay)
        while self._worst and self._worst[-1][1] <= delay:
            self._worst.pop()
        self._worst.append((self._beats, delay))
        if self._worst[0][0] <= self._beats - MEMORY:
            self._worst.popleft()
