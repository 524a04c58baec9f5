"""How late the loop runs, in virtual time: a jump of the clock is what a busy loop looks like."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bridge.core.pulse import BEAT, MEMORY, SAMPLE, Pulse


async def busy(clock: MockClock, seconds: float) -> None:
    """Let nobody run for so long, while the pulse is in the middle of a pause."""
    await wait_all_tasks_blocked()
    clock.jump(BEAT + seconds)
    await wait_all_tasks_blocked()


async def test_lag_is_the_worst_of_a_minute(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    pulse = Pulse(lambda now: None)
    nursery.start_soon(pulse.run)
    assert pulse.lag == 0
    await busy(mock_clock, 0.25)
    assert pulse.lag == pytest.approx(0.25)
    await busy(mock_clock, 0.1)
    assert pulse.lag == pytest.approx(0.25)
    await busy(mock_clock, 0.5)
    assert pulse.lag == pytest.approx(0.5)


async def test_lag_is_forgotten(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    pulse = Pulse(lambda now: None)
    nursery.start_soon(pulse.run)
    await busy(mock_clock, 0.5)
    await busy(mock_clock, 0.25)
    for _ in range(MEMORY - 2):
        await busy(mock_clock, 0)
    assert pulse.lag == pytest.approx(0.5)
    await busy(mock_clock, 0)
    assert pulse.lag == pytest.approx(0.25)
    await busy(mock_clock, 0)
    assert pulse.lag == pytest.approx(0)


async def test_samples_come_every_five_seconds(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    times: list[float] = []
    nursery.start_soon(Pulse(times.append).run)
    await trio.sleep(3 * SAMPLE * BEAT + 1)
    assert times == pytest.approx([5, 10, 15])
