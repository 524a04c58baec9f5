"""Counters and gauges."""

import pytest

from bridge.core.stats import Stats
from bridge.protocol.statistics import COUNTERS


@pytest.fixture
def stats() -> Stats:
    stats = Stats()
    stats.gauge("in_flight", lambda: 7)
    return stats


def test_counter_that_has_no_row_is_a_fault(stats: Stats) -> None:
    with pytest.raises(KeyError, match="typo"):
        stats.add("typo")
    with pytest.raises(KeyError):
        stats.add("in_flight")


def test_counters_count(stats: Stats) -> None:
    stats.add("events")
    stats.add("events", 4)
    assert stats.get("events") == 5
    assert stats.get("commands") == 0


def test_gauges_are_read_when_they_are_asked_for(stats: Stats) -> None:
    figures = [1, 2]
    stats.gauge("figures", lambda: len(figures))
    assert stats.get("figures") == 2
    figures.clear()
    assert stats.get("figures") == 0


def test_unknown_name(stats: Stats) -> None:
    assert stats.get("nothing") is None
    assert stats.reset("nothing") is False


def test_reset_is_for_counters_alone(stats: Stats) -> None:
    stats.add("events", 4)
    assert stats.reset("events") is True
    assert stats.get("events") == 0
    assert stats.reset("in_flight") is True
    assert stats.get("in_flight") == 7
    assert stats.is_incremental("events")
    assert not stats.is_incremental("in_flight")


def test_names_and_snapshot_have_everything_in_the_order_of_the_table(stats: Stats) -> None:
    assert list(stats.names()) == [*COUNTERS, "in_flight"]
    assert list(stats.snapshot()) == list(stats.names())
    assert stats.snapshot()["in_flight"] == 7


def test_every_counter_says_what_it_counts() -> None:
    for name, help_text in COUNTERS.items():
        assert name.isidentifier()
        assert name == name.lower()
        assert help_text
        assert help_text.isprintable()


def test_totals_do_not_go_back(stats: Stats) -> None:
    stats.add("events", 4)
    stats.reset("events")
    stats.add("events")
    assert (stats.get("events"), stats.totals()["events"]) == (1, 5)
    assert list(stats.totals()) == list(COUNTERS)
