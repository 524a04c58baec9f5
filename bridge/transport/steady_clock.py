"""Unix seconds for what lasts: how long something is kept, and when it lapses.

Owns the one clock for both. An operator, NTP or a host that slept may set the wall clock by any amount, and nothing has
become older or younger by that. Authority: clock_gettime(2), CLOCK_BOOTTIME.
"""

import time
from collections.abc import Callable


def boottime() -> float:
    """CLOCK_BOOTTIME in seconds: it goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """The wall clock's time when this was made, and the seconds that the machine counts since."""

    def __init__(self, wall: Callable[[], float] = time.time, seconds: Callable[[], float] = boottime) -> None:
        self._seconds = seconds
        self._ahead = wall() - seconds()

    def __call__(self) -> float:
        return self._seconds() + self._ahead
