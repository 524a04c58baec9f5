"""What one gateway did: its commands by outcome, how long answers took, its events, and how fast they come.

Owns these counts; adds them to the totals of the process as well. Must not know who reads them. On the way of every
command: no look-up by label, no object for a figure.
"""

from bisect import bisect_left
from typing import Final

from bridge.core.pending import CallerLeft
from bridge.core.recent import UNKNOWN, Ring, quantile
from bridge.core.stats import Stats
from bridge.errors import (
    BridgeError,
    InvalidCommand,
    LinkDown,
    TooManyInFlight,
    TransactionLost,
    TransactionTimeout,
    UnknownJanusId,
)
from bridge.protocol.snapshot import BUCKETS, OUTCOMES

# The first that fits.
_FAILURES: tuple[tuple[type[BridgeError], str], ...] = (
    (CallerLeft, "left"),
    (LinkDown, "unsent"),
    (TransactionTimeout, "timeout"),
    (TransactionLost, "lost"),
    (TooManyInFlight, "busy"),
    (InvalidCommand, "invalid"),
    (UnknownJanusId, "removed"),
)


_TOTALS: Final = {outcome: f"commands_{outcome}" for outcome in OUTCOMES}


class GatewayCounters:
    """Counts since the gateway came into the table. ``command_rate`` and ``event_rate`` are as of the last ``sample``,
    a second; ``recent`` has these two and the 99th percentile of the answers' seconds, of the last samples.
    """

    __slots__ = (
        "_sampled",
        "_sampled_buckets",
        "_totals",
        "buckets",
        "command_rate",
        "event_rate",
        "events",
        "outcomes",
        "recent",
        "seconds",
    )

    def __init__(self, stats: Stats, now: float) -> None:
        """``now`` is the loop's clock."""
        self._totals: Final = stats.counts
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.events = 0
        self.command_rate = self.event_rate = 0.0
        self._sampled = (now, 0, 0)
        self._sampled_buckets = self.buckets[:]
        self.recent: Final = Ring(3)

    def answered(self, seconds: float, *, error: bool) -> None:
        """Janus answered a command so many seconds after it was accepted."""
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds
        totals = self._totals
        if error:
            self.outcomes["error"] += 1
            totals["commands_error"] += 1
        else:
            self.outcomes["answered"] += 1
            totals["commands_answered"] += 1
        totals["command_us"] += int(seconds * 1e6)

    def failed(self, error: BridgeError) -> None:
        """A command was not accepted, or ended without an answer."""
        outcome = next(outcome for kind, outcome in _FAILURES if isinstance(error, kind))
        self.outcomes[outcome] += 1
        self._totals[_TOTALS[outcome]] += 1

    def event(self) -> None:
        """Janus said something that answers no command."""
        self.events += 1
        self._totals["events"] += 1

    def sample(self, now: float) -> list[int]:
        """Make the rates those of the time since the last call; returns the answers since then, by BUCKETS, and nothing
        where there was no command.
        """
        before, commands_before, events_before = self._sampled
        commands, seconds = sum(self.outcomes.values()), now - before
        if seconds <= 0:
            return []
        self.command_rate = (commands - commands_before) / seconds
        self.event_rate = (self.events - events_before) / seconds
        self._sampled = (now, commands, self.events)
        if commands == commands_before:  # as with most, where there are many
            self.recent.add(0.0, self.event_rate, UNKNOWN)
            return []
        answers = [many - less for many, less in zip(self.buckets, self._sampled_buckets, strict=True)]
        self._sampled_buckets = self.buckets[:]
        self.recent.add(self.command_rate, self.event_rate, quantile(answers, 0.99))
        return answers
