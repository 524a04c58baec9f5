"""The time of the log of events: a wall clock that is wrong at a start makes nothing older than it is."""

from contextlib import closing
from pathlib import Path

import pytest

from bridge.transport import event_file, event_pages
from bridge.transport.log_time import SURE, LogTime
from tests.support.event_logs import pages, record

DAY, YEAR, NOW = 86_400.0, 365 * 86_400.0, 1_800_000_000.0


class Life:
    """A start of the bridge, whose wall clock is off by ``error``: ``pass_`` lets time pass."""

    def __init__(self, path: Path, begun: float, error: float = 0.0) -> None:
        self.now, self.error = begun, error
        self.database = event_file.open_own(path, full=False)
        anchor = error  # of the clock without steps
        self.time = LogTime(lambda: self.now + anchor, lambda: self.now + self.error)
        self.time.begin(self.database)

    def write(self, position: int) -> None:
        """An event, as the wall clock has it."""
        event_pages.insert(self.database, pages(record(position, at=self.now + self.error)), self.time.now())

    def overdue(self) -> int:
        """Up to where it is older than a day."""
        return self.time.overdue(self.database, DAY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "events.db"
    first = Life(path, NOW)
    with closing(first.database):
        for position in range(1, 4):
            first.write(position)
    return path


@pytest.mark.parametrize("error", [YEAR, -YEAR, 1e9])
def test_a_clock_that_is_wrong_at_a_start_and_set_later(path: Path, error: float) -> None:
    life = Life(path, NOW + 60.0, error)
    with closing(life.database):
        life.write(4)
        assert life.overdue() == 0
        life.now += SURE - 1.0
        assert life.overdue() == 0
        life.error = 0.0  # NTP
        life.write(5)
        life.now += DAY - SURE - 100.0
        assert life.overdue() == 0
        life.now += 50.0  # a day, with the minute in which it did not run
        assert life.overdue() == 3
        life.now += DAY
        assert life.overdue() == 5


def test_after_an_hour_the_time_in_which_it_did_not_run_counts_for_what_was_before(path: Path) -> None:
    life = Life(path, NOW + YEAR)
    with closing(life.database):
        life.write(4)
        assert life.overdue() == 0
        life.now += SURE
        assert life.overdue() == 3
        event_pages.delete(life.database, 3)
        assert life.overdue() == 0
        life.now += DAY
        assert life.overdue() == 4


def test_nothing_before(tmp_path: Path) -> None:
    life = Life(tmp_path / "events.db", NOW)
    with closing(life.database):
        life.now += SURE
        assert life.overdue() == 0
