"""Every counter of the process, by name, in one place.

Owns the figures behind MI ``get_statistics`` (group ``janus``) and the metrics page. Knows nothing of who asks. The
names of the counters stand in ``protocol.statistics``.
Authority: OpenSIPS statistics are integers reported as ``group:name`` (core/statistics.c).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from bridge.protocol.statistics import COUNTERS


class Stats:
    """Counters (only ever added to) and gauges (read when asked)."""

    def __init__(self) -> None:
        self.counts: Final = dict.fromkeys(COUNTERS, 0)  # since the start; whoever counts for each command adds here
        self._resets: Counter[str] = Counter()  # what a counter had when it was reset
        self._gauges: dict[str, Callable[[], int]] = {}

    def add(self, name: str, n: int = 1) -> None:
        """Count. Raises KeyError for a name that is not in COUNTERS, so that a typo is found by any test."""
        self.counts[name] += n

    def gauge(self, name: str, read: Callable[[], int]) -> None:
        """Register a figure that is read when it is asked for."""
        self._gauges[name] = read

    def get(self, name: str) -> int | None:
        """The value of one statistic, None if there is none of that name."""
        if name in COUNTERS:
            return self.counts[name] - self._resets[name]
        gauge = self._gauges.get(name)
        return None if gauge is None else gauge()

    def is_incremental(self, name: str) -> bool:
        """Whether the statistic is a counter (resettable) rather than a gauge."""
        return name in COUNTERS

    def reset(self, name: str) -> bool:
        """Set a counter back to 0; False if there is no statistic of that name. A gauge stays, as in OpenSIPS."""
        if name in COUNTERS:
            self._resets[name] = self.counts[name]
            return True
        return name in self._gauges

    def names(self) -> Iterator[str]:
        """All names: counters in the order of their table, then gauges."""
        yield from COUNTERS
        yield from self._gauges

    def totals(self) -> dict[str, int]:
        """All counters since the start, whatever was reset: the metrics never go back."""
        return {name: self.counts[name] for name in COUNTERS}

    def snapshot(self) -> dict[str, int]:
        """All values at this moment."""
        return {name: value for name in self.names() if (value := self.get(name)) is not None}
