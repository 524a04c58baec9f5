"""The clock for what lasts: no step of the wall clock moves it."""

import time

from bridge.transport.steady_clock import SteadyClock, boottime


def test_a_step_of_the_wall_clock_changes_nothing() -> None:
    wall, seconds = 1_800_000_000.0, 500.0
    clock = SteadyClock(lambda: wall, lambda: seconds)
    assert clock() == wall
    before, wall, seconds = wall, wall + 365 * 86_400, seconds + 7.5
    assert clock() == before + 7.5


def test_it_begins_with_unix_time_and_counts_the_machines_seconds() -> None:
    wall, seconds = time.time(), boottime()
    clock = SteadyClock()
    assert abs((clock() - boottime()) - (wall - seconds)) < 1.0 + boottime() - seconds
