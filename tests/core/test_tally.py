"""The counts of one gateway."""

import pytest

from bridge.core.pending import CallerLeft
from bridge.core.stats import Stats
from bridge.core.tally import Tally
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


@pytest.fixture
def stats() -> Stats:
    return Stats()


@pytest.fixture
def tally(stats: Stats) -> Tally:
    return Tally(stats, 100.0)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TransactionTimeout(), "timeout"),
        (TransactionLost(), "lost"),
        (LinkDown(), "unsent"),
        (TooManyInFlight(), "busy"),
        (InvalidCommand(), "invalid"),
        (UnknownJanusId(), "removed"),
        (CallerLeft(), "left"),
    ],
)
def test_a_failure_is_one_outcome(tally: Tally, stats: Stats, error: BridgeError, outcome: str) -> None:
    tally.failed(error)
    assert tally.outcomes == {**dict.fromkeys(OUTCOMES, 0), outcome: 1}
    assert stats.get(f"commands_{outcome}") == 1
    assert sum(tally.buckets) == 0


def test_an_answer_is_an_outcome_and_a_time(tally: Tally, stats: Stats) -> None:
    tally.answered(0.0004, error=False)
    tally.answered(0.25, error=True)
    assert (tally.outcomes["answered"], tally.outcomes["error"]) == (1, 1)
    assert tally.seconds == 0.2504
    assert (stats.get("command_us"), stats.get("commands_answered"), stats.get("commands_error")) == (250_400, 1, 1)


@pytest.mark.parametrize(
    ("seconds", "step"),
    [(0, 0), (BUCKETS[0], 0), (BUCKETS[0] * 1.01, 1), (BUCKETS[-1], len(BUCKETS) - 1), (1e9, len(BUCKETS))],
)
def test_the_end_of_a_step_belongs_to_it(tally: Tally, seconds: float, step: int) -> None:
    tally.answered(seconds, error=False)
    assert [n for n, many in enumerate(tally.buckets) if many] == [step]


def test_rates_are_those_between_two_samples(tally: Tally, stats: Stats) -> None:
    for _ in range(10):
        tally.answered(0.001, error=False)
        tally.event()
        tally.event()
    tally.sample(105.0)
    assert (tally.command_rate, tally.event_rate) == (2, 4)
    assert (tally.events, stats.get("events")) == (20, 20)
    tally.failed(LinkDown())
    tally.sample(115.0)
    assert (tally.command_rate, tally.event_rate) == (0.1, 0)


def test_two_samples_at_one_moment_change_nothing(tally: Tally) -> None:
    tally.event()
    tally.sample(101.0)
    tally.event()
    tally.sample(101.0)
    assert tally.event_rate == 1
    tally.sample(102.0)
    assert tally.event_rate == 1
