"""The counts of one gateway."""

import pytest

from bridge.core.gateway_counters import GatewayCounters
from bridge.core.pending import CallerLeft
from bridge.core.recent import SAMPLES
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


@pytest.fixture
def stats() -> Stats:
    return Stats()


@pytest.fixture
def counters(stats: Stats) -> GatewayCounters:
    return GatewayCounters(stats, 100.0)


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
def test_a_failure_is_one_outcome(counters: GatewayCounters, stats: Stats, error: BridgeError, outcome: str) -> None:
    counters.failed(error)
    assert counters.outcomes == {**dict.fromkeys(OUTCOMES, 0), outcome: 1}
    assert stats.get(f"commands_{outcome}") == 1
    assert sum(counters.buckets) == 0


def test_an_answer_is_an_outcome_and_a_time(counters: GatewayCounters, stats: Stats) -> None:
    counters.answered(0.0004, error=False)
    counters.answered(0.25, error=True)
    assert (counters.outcomes["answered"], counters.outcomes["error"]) == (1, 1)
    assert counters.seconds == 0.2504
    assert (stats.get("command_us"), stats.get("commands_answered"), stats.get("commands_error")) == (250_400, 1, 1)


@pytest.mark.parametrize(
    ("seconds", "step"),
    [(0, 0), (BUCKETS[0], 0), (BUCKETS[0] * 1.01, 1), (BUCKETS[-1], len(BUCKETS) - 1), (1e9, len(BUCKETS))],
)
def test_the_end_of_a_step_belongs_to_it(counters: GatewayCounters, seconds: float, step: int) -> None:
    counters.answered(seconds, error=False)
    assert [n for n, many in enumerate(counters.buckets) if many] == [step]


def test_rates_are_those_between_two_samples(counters: GatewayCounters, stats: Stats) -> None:
    for _ in range(10):
        counters.answered(0.001, error=False)
        counters.event()
        counters.event()
    counters.sample(105.0)
    assert (counters.command_rate, counters.event_rate) == (2, 4)
    assert (counters.events, stats.get("events")) == (20, 20)
    counters.failed(LinkDown())
    counters.sample(115.0)
    assert (counters.command_rate, counters.event_rate) == (0.1, 0)


def test_two_samples_at_one_moment_change_nothing(counters: GatewayCounters) -> None:
    counters.event()
    counters.sample(101.0)
    counters.event()
    counters.sample(101.0)
    assert counters.event_rate == 1
    counters.sample(102.0)
    assert counters.event_rate == 1


def test_samples_are_kept_for_ten_minutes(counters: GatewayCounters) -> None:
    for second in range(1, SAMPLES + 3):
        counters.answered(0.0008, error=False)
        assert sum(counters.sample(100.0 + second)) == 1
    commands, events, p99 = counters.recent.columns
    assert (len(commands), set(commands), set(events)) == (SAMPLES, {1.0}, {0.0})
    assert list(p99) == pytest.approx([0.000995] * SAMPLES)
