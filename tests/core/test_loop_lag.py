"""How late the loop runs, in virtual time: a jump of the clock is what a busy loop looks like."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bridge.core.loop_lag import BEAT, MEMORY, SAMPLE, LoopLagMonitor


async def nothing(_now: float, _lag: float) -> None:
    """Whoever has no rates to sample."""


async def busy(clock: MockClock, seconds: float) -> None:
    """Let nobody run for so long, while the monitor is in the middle of a pause."""
    await wait_all_tasks_blocked()
    clock.jump(BEAT + seconds)
    await wait_all_tasks_blocked()


async def test_lag_is_the_worst_of_a_minute(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    monitor = LoopLagMonitor(nothing)
    nursery.start_soon(monitor.run)
    assert monitor.lag == 0
    await busy(mock_clock, 0.25)
    assert monitor.lag == pytest.approx(0.25)
    await busy(mock_clock, 0.1)
    assert monitor.lag == pytest.approx(0.25)
    await busy(mock_clock, 0.5)
    assert monitor.lag == pytest.approx(0.5)


async def test_lag_is_forgotten(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    monitor = LoopLagMonitor(nothing)
    nursery.start_soon(monitor.run)
    await busy(mock_clock, 0.5)
    await busy(mock_clock, 0.25)
    for _ in range(MEMORY - 2):
        await busy(mock_clock, 0)
    assert monitor.lag == pytest.approx(0.5)
    await busy(mock_clock, 0)
    assert monitor.lag == pytest.approx(0.25)
    await busy(mock_clock, 0)
    assert monitor.lag == pytest.approx(0)


async def test_samples_come_every_five_seconds(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    times: list[float] = []

    async def note(now: float, _lag: float) -> None:
        times.append(now)

    nursery.start_soon(LoopLagMonitor(note).run)
    await trio.sleep(3 * SAMPLE * BEAT + 1)
    assert times == pytest.approx([5, 10, 15])


async def test_a_sample_has_the_worst_delay_since_the_one_before(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    lags: list[float] = []

    async def note(_now: float, lag: float) -> None:
        lags.append(lag)

    nursery.start_soon(LoopLagMonitor(note).run)
    await busy(mock_clock, 0.5)
    for _ in range(2 * SAMPLE - 1):
        await busy(mock_clock, 0)
    assert lags == pytest.approx([0.5, 0])
