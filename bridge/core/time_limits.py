"""The time limits of one gateway's requests.

Owns when the next of them is over: one timer for all, because nearly all are answered long before. Must not know what
becomes of a request then.
"""

import math
from collections.abc import Collection
from typing import Final

import trio

from bridge.core.pending import PendingRequest
from bridge.core.timers import Timer, Timers


class TimeLimits:
    """``requests``: those that wait, whoever puts them there. ``next`` is when they are looked at, in trio's clock:
    whoever adds one with an earlier deadline says so by ``look_at``.
    """

    def __init__(self, timers: Timers, requests: Collection[PendingRequest]) -> None:
        self.next = math.inf
        self._timers: Final = timers
        self._requests: Final = requests
        self._timer: Timer | None = None

    def look_at(self, deadline: float) -> None:
        """Not later than then."""
        if self._timer is not None:
            self._timer.cancel()
        self.next = deadline
        self._timer = self._timers.call_at(deadline, self._look)

    def _look(self) -> None:
        now = trio.current_time()
        self.next, self._timer = math.inf, None
        try:
            for request in sorted((one for one in self._requests if one.deadline <= now), key=_deadline):
                request.expire()
        finally:  # should one raise: the others are due
            following = min(map(_deadline, self._requests), default=math.inf)
            if following < self.next:
                self.look_at(following)


def _deadline(request: PendingRequest) -> float:
    return request.deadline
