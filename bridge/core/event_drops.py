"""The events that a socket did not get, by reason.

Owns the counters behind ``_event_drops_total{subscriber,reason}`` and their log lines: at most one a minute for each
socket and reason, whose numbers add up to the counters. Authority: contract 7.4.
"""

import logging
from collections import Counter

from bridge.core.stats import Stats
from bridge.protocol.event_delivery import DROP_REASONS
from bridge.protocol.humanize import plural
from bridge.throttle import Throttle

log = logging.getLogger("bridge.evi")

LOG_INTERVAL = 60.0  # seconds


class Drops:
    """Counts and logs for one socket. ``report`` is to be called now and then: it logs what was held back."""

    def __init__(self, subscriber: str, stats: Stats) -> None:
        self._subscriber = subscriber
        self._stats = stats
        self._counts: Counter[str] = Counter()
        self._lines = {reason: Throttle(LOG_INTERVAL, repeat=True) for reason in DROP_REASONS}
        self._last: tuple[str, float] = ("", float("-inf"))  # reason and time of the newest drop

    def add(self, reason: str, now: float, n: int = 1) -> None:
        """``n`` events were dropped at ``now``, seconds on the loop's clock. KeyError for an unknown reason."""
        if reason not in DROP_REASONS:
            raise KeyError(reason)
        self._counts[reason] += n
        self._last = reason, now
        self._stats.add("event_drops", n)
        self._log(reason, now, n)

    def report(self, now: float) -> None:
        """Log what happened since the last line of each reason, if that is a minute ago."""
        for reason in self._counts:
            self._log(reason, now, 0)

    def close(self) -> None:
        """Log what is left to be said."""
        for reason in self._counts:
            self._write(reason, self._lines[reason].rest())

    def trouble(self, now: float) -> str | None:
        """That there was a drop in the last minute; None if there was none."""
        reason, at = self._last
        return None if now - at >= LOG_INTERVAL else f"dropped {now - at:.0f} s ago ({reason}): {DROP_REASONS[reason]}"

    def snapshot(self) -> dict[str, int]:
        """Drops by reason, so far."""
        return dict(self._counts)

    def _log(self, reason: str, now: float, n: int) -> None:
        self._write(reason, self._lines[reason].due(DROP_REASONS[reason], now, n))

    def _write(self, reason: str, dropped: int) -> None:
        if dropped:
            text = "%s: %s dropped (%s): %s"
            log.warning(text, self._subscriber, plural(dropped, "event"), reason, DROP_REASONS[reason])
