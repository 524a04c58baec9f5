"""The heartbeat of a connection: keepalives, pings, and when silence is too long.

Owns the rhythm (contract 5.3, "Ready"). Runs on the process's timers; costs no task. Must not know what a link does
about silence. Janus's clock for a session is any request that names it; a late answer is no proof of death, because
answers queue behind events: any frame counts as life.
"""

import math
from collections import deque
from collections.abc import Callable, Collection

import trio

from bridge.core.connection import JanusConnection
from bridge.core.requests import Requests
from bridge.core.timers import Timers
from bridge.protocol.session_book import SessionBook

SILENCE_INTERVALS = 2
SHORTEST_SILENCE = 2.0  # seconds
# Intervals without a frame until a ping. A bit over one: the answer to a keepalive comes a bit after one. Clearly under
# two: the pong must have its time.
PING_AFTER = 1.25
PART = 100  # keepalives in one turn of the loop: some 2 ms
# Turns of the event loop between the end of the time and the verdict: a loop that stood still for a while runs timers
# and readers in any order, and what lies in the kernel has to be read first.
DOUBTS = 2
# Of an interval: what is due within it comes together, in one turn of the loop: keepalives rather early, what follows
# from time rather late.
EARLY, SLACK = 0.04, 0.01
A_HAIR = 0.001  # of that, by which quotient and product may be off
LATE = 1.0  # seconds; a beat that comes later says that this process was stopped, or its machine


def interval(configured: float, times: Collection[int]) -> float:
    """Seconds between keepalives: as configured, but at most a third of what Janus gives a session."""
    return min(configured, min(times) / 3) if times else configured


class Keepalive:
    """Beats until its connection ended or may not be written to, or ``silent`` was called.

    The keepalives of many sessions are spread over half of an interval, so that no turn of the loop has them all. Those
    of many connections come together where they are due at nearly the same time: a turn costs more than a keepalive.
    """

    def __init__(
        self,
        connection: JanusConnection,
        requests: Requests,
        book: SessionBook,
        timers: Timers,
        configured: float,
        silent: Callable[[JanusConnection], None],
    ) -> None:
        self._connection = connection
        self._requests = requests
        self._book = book
        self._timers = timers
        self._configured = configured
        self._silent = silent
        self._now = trio.lowlevel.current_clock().current_time  # there are two beats an interval and gateway
        self._follow(connection.times)
        self._next_keepalive = self._from(self._now())
        self._round: deque[int] = deque()  # the sessions whose keepalive of this interval is still to be sent
        self._pause = 0.0  # between two parts of a round
        self._next_part = 0.0
        self._pinged = 0.0
        self._due = 0.0
        self._awake_since = 0.0
        self._doubts = DOUBTS

    def _from(self, last: float) -> float:
        """When the keepalives are due after those of that time: at a time that all connections share."""
        width = EARLY * self._interval
        return math.floor((last + self._interval) / width + A_HAIR) * width

    def _follow(self, times: Collection[int]) -> None:
        """The rhythm is what these ask for."""
        self._times = times
        self._interval = interval(self._configured, times)
        self._silence = max(SILENCE_INTERVALS * self._interval, SHORTEST_SILENCE)
        self._patience = PING_AFTER * self._interval

    def start(self) -> None:
        """Begin. Janus's ``info`` is known by now; where it came later, the rhythm would follow it at the next beat.

        The managed session's first keepalive goes out at once: its answer shows that the connection is of use.
        """
        managed = self._book.managed
        if managed.session_id is not None and managed.carried_by(self._connection.number):
            self._requests.keepalive(self._connection, managed.session_id)
        self._sleep(self._now(), self._connection.last_received)

    def _sleep(self, now: float, received: float) -> None:
        """Until something is due, if nothing comes after what was ``received`` last."""
        due = self._next_part if self._round else self._next_keepalive
        check = min(max(received, self._pinged) + self._patience, max(received, self._awake_since) + self._silence)
        if check < due:
            slack = SLACK * self._interval
            due = min(due, max(check, math.ceil(check / slack - A_HAIR) * slack))
        self._due = max(now, due)
        self._timers.call_at(self._due, self._beat)

    def _beat(self) -> None:
        connection = self._connection
        if not connection.usable:
            return
        now = self._now()
        if now > self._due + LATE:
            self._awake_since = now  # the silence was ours: what Janus said is still to be read, or it was not asked
        if connection.times is not self._times:
            self._follow(connection.times)
            self._next_keepalive = min(self._next_keepalive, now + self._interval)
        received = connection.last_received
        # Compared as the deadline was made: the difference may come out a hair under it, and this run for ever.
        if now >= max(received, self._awake_since) + self._silence:
            if self._doubts:
                self._doubts -= 1
                self._timers.call_at(now, self._beat)
            else:
                self._silent(connection)
            return
        self._doubts = DOUBTS
        if self._round:
            if now >= self._next_part:
                self._keep_alive(now)
        elif now >= self._next_keepalive:
            self._next_keepalive = self._from(max(self._next_keepalive, now - LATE))
            self._round.extend(s.session_id for s in self._book if s.session_id and s.carried_by(connection.number))
            self._pause = self._interval / 2 / (len(self._round) / PART + 1)
            self._keep_alive(now)
        if now >= max(received, self._pinged) + self._patience:
            self._pinged = now
            connection.ping()
        self._sleep(now, received)

    def _keep_alive(self, now: float) -> None:
        """The next part of the round."""
        for _ in range(min(PART, len(self._round))):
            session = self._book.find(self._round.popleft())
            if session is not None and session.session_id and session.carried_by(self._connection.number):
                self._requests.keepalive(self._connection, session.session_id)
        self._next_part = now + self._pause
