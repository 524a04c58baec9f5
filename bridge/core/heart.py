"""The heartbeat of a connection: keepalives, pings, and when silence is too long.

Owns the rhythm (contract 5.3, "Ready"). Runs on the process's timers; costs no task. Must not know what a link does
about silence. Janus's clock for a session is any request that names it; a late answer is no proof of death, because
answers queue behind events: any frame counts as life.
"""

from collections.abc import Callable

import trio

from bridge.core.connection import Connection
from bridge.core.timers import Timers
from bridge.core.traffic import Traffic

SILENCE_INTERVALS = 2
SHORTEST_SILENCE = 2.0  # seconds
# Intervals without a frame until a ping. A bit over one: the answer to a keepalive comes a bit after one. Clearly under
# two: the pong must have its time.
PING_AFTER = 1.25
# Turns of the event loop between the end of the time and the verdict: a loop that stood still for a while runs timers
# and readers in any order, and what lies in the kernel has to be read first.
DOUBTS = 2
LATE = 1.0  # seconds; a beat that comes later says that this process was stopped, or its machine


def interval(configured: float, info: dict[str, object]) -> float:
    """Seconds between keepalives: as configured, but at most a third of what Janus gives a session (from ``info``)."""
    for member in ("session-timeout", "reclaim-session-timeout"):
        seconds = info.get(member)
        if type(seconds) is int and 0 < seconds < 3 * configured:  # compared first: a larger one may be beyond reals
            configured = min(configured, seconds / 3)
    return configured


class Heart:
    """Beats until its connection ended or may not be written to, or ``silent`` was called."""

    def __init__(
        self,
        connection: Connection,
        traffic: Traffic,
        timers: Timers,
        configured: float,
        silent: Callable[[Connection], None],
    ) -> None:
        self._connection = connection
        self._traffic = traffic
        self._timers = timers
        self._configured = configured
        self._silent = silent
        self._next_keepalive = trio.current_time() + self.interval
        self._pinged = 0.0
        self._due = 0.0
        self._awake_since = 0.0
        self._doubts = DOUBTS

    @property
    def interval(self) -> float:
        return interval(self._configured, self._connection.info)

    @property
    def _silence(self) -> float:
        return max(SILENCE_INTERVALS * self.interval, SHORTEST_SILENCE)

    @property
    def _verdict_at(self) -> float:
        return max(self._connection.last_received, self._awake_since) + self._silence

    @property
    def _next_ping(self) -> float:
        return max(self._connection.last_received, self._pinged) + PING_AFTER * self.interval

    def start(self) -> None:
        """Begin. Janus's ``info`` is known by now; where it came later, the rhythm would follow it at the next beat.

        The managed session's first keepalive goes out at once: its answer shows that the connection is of use.
        """
        managed = self._traffic.book.managed
        if managed.session_id is not None and managed.carried_by(self._connection.number):
            self._traffic.keepalive(self._connection, managed.session_id)
        self._sleep()

    def _sleep(self) -> None:
        now = trio.current_time()
        self._next_keepalive = min(self._next_keepalive, now + self.interval)
        self._due = max(now, min(self._next_keepalive, self._next_ping, self._verdict_at))
        self._timers.call_at(self._due, self._beat)

    def _beat(self) -> None:
        connection = self._connection
        if connection.ended.is_set() or not connection.usable:
            return
        now = trio.current_time()
        if now > self._due + LATE:
            self._awake_since = now  # the silence was ours: what Janus said is still to be read, or it was not asked
        # Compared as the deadline was made: the difference may come out a hair under it, and this run for ever.
        if now >= self._verdict_at:
            if self._doubts:
                self._doubts -= 1
                self._timers.call_at(now, self._beat)
            else:
                self._silent(connection)
            return
        self._doubts = DOUBTS
        if now >= self._next_keepalive:
            self._next_keepalive = now + self.interval
            for session in self._traffic.book:
                if session.session_id is not None and session.carried_by(connection.number):
                    self._traffic.keepalive(connection, session.session_id)
        if connection.ws is not None and now >= self._next_ping:
            self._pinged = now
            connection.ws.send_ping()
        self._sleep()
