"""The time of the log of events, by which it is cut: how old an event is, whatever the wall clock says meanwhile.

Owns what a start knows of the time before it. While the bridge runs, the log's time is that of a clock without steps.
For a time when it did not run there is the wall clock alone, and that may be wrong at a start: a board without a clock
of its own has the time from NTP minutes later. So it counts only once the bridge has run for an hour, and as the wall
clock is then. Must not know how pages are deleted. Authority: contract 12.
"""

import sqlite3
import time
from collections.abc import Callable

from bridge.transport import event_pages

SURE = 3600.0  # seconds after a start


class LogTime:
    """``clock`` and ``wall`` give seconds: one without steps, the other unix seconds as they are set now."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._wall = wall
        self._ahead = 0.0  # of the clock: the log's time
        self._begun = clock()
        self._raised: float | None = None  # the last event before the start, by the wall clock of then
        self._before = 0  # the end of the pages of before
        self._away = 0.0  # seconds by which these are older than their pages say

    def begin(self, connection: sqlite3.Connection) -> None:
        """Go on from the newest page. Raises sqlite3.Error."""
        self._begun, self._before, self._away, self._raised = self._clock(), 0, 0.0, None
        newest = event_pages.newest(connection)
        if newest is not None:
            self._before, at, self._raised = newest
            self._ahead = at - self._begun

    def now(self) -> float:
        """Of what is written now."""
        return self._clock() + self._ahead

    def overdue(self, connection: sqlite3.Connection, age: float) -> int:
        """The end of the last page of which all is older, of the first few; 0: there is none. Raises sqlite3.Error."""
        ran = self._clock() - self._begun
        if self._raised is not None and ran >= SURE:
            self._away, self._raised = max(0.0, self._wall() - ran - self._raised), None
        first, _ = event_pages.bounds(connection)
        now = self.now()
        cut = event_pages.older_than(connection, now - age, now)
        if cut or not 0 < first <= self._before:
            return cut
        now += self._away
        return min(event_pages.older_than(connection, now - age, now), self._before)
