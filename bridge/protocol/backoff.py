"""When to try again.

Owns the delays between attempts to connect. The clock and the random source are arguments.
Authority: contract 5.3: refused connects are retried at least once a second for the first 60 s (a Janus that restarts
is usable within 2 s of its port being open), everything else backs off at once, jittered so that a thousand gateways
that fell together do not come back together.
"""

from collections.abc import Callable

EAGER_SECONDS = 60.0  # how long refused connects are retried at least once a second
EAGER_DELAY = 0.9
FACTOR = 2.0


class Backoff:
    """Delays in seconds between failed attempts. ``uniform(a, b)`` is the random source."""

    def __init__(self, minimum: float, maximum: float, uniform: Callable[[float, float], float]) -> None:
        self._minimum = minimum
        self._maximum = max(minimum, maximum)
        self._uniform = uniform
        self._failing_since: float | None = None
        self._delay = minimum
        self.failures = 0  # attempts in a row that failed

    def failed(self, now: float, *, refused: bool) -> float:
        """An attempt failed at ``now``; how long to wait before the next. ``refused``: nothing listened there."""
        if self._failing_since is None:
            self._failing_since = now
        self.failures += 1
        if refused and now - self._failing_since < EAGER_SECONDS:
            return self._eager()
        delay = self._delay
        self._delay = min(self._maximum, delay * FACTOR)
        return self._uniform(delay / 2, delay)

    def served(self) -> float:
        """What was connected did real service: the next failure is the first. The least time between two connects."""
        self.reset()
        return self._eager()

    def _eager(self) -> float:
        longest = min(self._minimum, EAGER_DELAY)
        return self._uniform(longest / 2, longest)

    def reset(self) -> None:
        """The gateway was ready for long enough to be trusted again."""
        self._failing_since = None
        self._delay = self._minimum
        self.failures = 0
