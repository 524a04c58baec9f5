"""Drops: each counted, each in a log line, a line a minute at most."""

import re

import pytest

from bridge.core.event_drops import Drops
from bridge.core.stats import Stats
from bridge.protocol.event_delivery import DROP_REASONS


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    """Reason and number of each line."""
    found = [re.fullmatch(r"udp:h:1: (\d+) events? dropped \((\w+)\): .+", line) for line in caplog.messages]
    return [(match[2], int(match[1])) for match in found if match]


def test_one_line_a_minute_and_reason_whose_numbers_add_up(caplog: pytest.LogCaptureFixture) -> None:
    drops = Drops("udp:h:1", Stats())
    for second in range(150):
        drops.add("full", float(second))
    drops.add("age", 150.0)
    assert logged(caplog) == [("full", 1), ("full", 60), ("full", 60), ("age", 1)]
    drops.report(179.9)
    drops.report(180.0)
    drops.report(300.0)
    assert logged(caplog)[4:] == [("full", 29)]


def test_what_is_left_is_said_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    drops = Drops("udp:h:1", Stats())
    drops.add("full", 0.0)
    drops.add("full", 1.0, 5)
    drops.close()
    drops.close()
    assert logged(caplog) == [("full", 1), ("full", 5)]
    drops.add("full", 60.0)  # its task was started anew
    assert logged(caplog)[2:] == [("full", 1)]


def test_counted_for_the_socket_and_for_the_process() -> None:
    stats = Stats()
    one, two = Drops("udp:h:1", stats), Drops("udp:h:2", stats)
    one.add("full", 0.0, 3)
    one.add("age", 0.0)
    two.add("age", 0.0)
    assert (one.snapshot(), two.snapshot()) == ({"full": 3, "age": 1}, {"age": 1})
    assert stats.get("event_drops") == 5


def test_every_reason_has_a_text_and_no_other_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    drops = Drops("udp:h:1", Stats())
    for reason in DROP_REASONS:
        drops.add(reason, 0.0)
    assert [reason for reason, _ in logged(caplog)] == list(DROP_REASONS)
    with pytest.raises(KeyError):
        drops.add("other", 0.0)
