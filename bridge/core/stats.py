"""Every counter of the process, by name, in one place.

Owns the figures behind MI ``get_statistics`` (group ``janus``) and the metrics page. Knows nothing of who asks.
Authority: OpenSIPS statistics are integers reported as ``group:name`` (core/statistics.c).
"""

from collections import Counter
from collections.abc import Callable, Iterator

# name -> help text; the only place where a counter's name is written down. Incremental ones can be reset by MI.
COUNTERS: dict[str, str] = {
    "commands": "Janus commands accepted",
    "commands_answered": "commands that Janus answered, errors of Janus included",
    "commands_failed": "commands that ended in an MI error after acceptance",
    "commands_unsent": "commands refused because the gateway was not connected",
    "commands_timeout": "commands that hit their time limit",
    "commands_lost": "commands in flight when their connection was lost",
    "notifications_done": "commands sent as notifications whose ack or success was dropped",
    "events": "E_JANUS_EVENT raised",
    "status_events": "E_JANUS_STATUS raised",
    "event_drops": "events that a subscriber did not get",
    "malformed": "messages of Janus that were no JSON object, too deep, or binary",
    "oversized": "messages of Janus that were over a size limit",
    "reconnects": "connections to Janus re-established",
    "connect_failures": "attempts to connect to Janus that failed",
    "sessions_lost": "sessions that Janus no longer knew",
    "mi_requests": "MI requests received",
    "mi_errors": "MI requests answered with an error",
}


class Stats:
    """Counters (only ever added to) and gauges (read when asked)."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._gauges: dict[str, Callable[[], int]] = {}

    def add(self, name: str, n: int = 1) -> None:
        """Count. Raises KeyError for a name that is not in COUNTERS, so that a typo is found by any test."""
        if name not in COUNTERS:
            raise KeyError(name)
        self._counts[name] += n

    def gauge(self, name: str, read: Callable[[], int]) -> None:
        """Register a figure that is read when it is asked for."""
        self._gauges[name] = read

    def get(self, name: str) -> int | None:
        """The value of one statistic, None if there is none of that name."""
        if name in COUNTERS:
            return self._counts[name]
        gauge = self._gauges.get(name)
        return None if gauge is None else gauge()

    def is_incremental(self, name: str) -> bool:
        """Whether the statistic is a counter (resettable) rather than a gauge."""
        return name in COUNTERS

    def reset(self, name: str) -> bool:
        """Set a counter back to 0; False if there is no statistic of that name. A gauge stays, as in OpenSIPS."""
        if name in COUNTERS:
            self._counts[name] = 0
            return True
        return name in self._gauges

    def names(self) -> Iterator[str]:
        """All names: counters in the order of their table, then gauges."""
        yield from COUNTERS
        yield from self._gauges

    def snapshot(self) -> dict[str, int]:
        """All values at this moment."""
        return {name: value for name in self.names() if (value := self.get(name)) is not None}
