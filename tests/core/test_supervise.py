"""What happens to a task of the program that fails."""

import logging

import pytest
import trio
from trio.testing import MockClock

from bridge.core.supervise import PAUSE, supervise

log = logging.getLogger("bridge.test")


async def test_task_that_returns_is_over(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    runs: list[float] = []

    async def run() -> None:
        runs.append(trio.current_time())

    await supervise(run, "task", log)
    assert runs == [0.0]
    assert caplog.records == []


async def test_task_that_fails_is_logged_and_starts_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[float] = []

    async def run() -> None:
        runs.append(trio.current_time())
        if len(runs) < 4:
            raise RuntimeError(f"fault {len(runs)}")

    await supervise(run, "the task", log)
    assert runs == [0.0, PAUSE, 2 * PAUSE, 3 * PAUSE]
    assert [record.getMessage() for record in caplog.records] == ["the task failed; restarting in 1 s"] * 3
    assert "fault 1" in caplog.text
    assert "Traceback" in caplog.text


async def test_fault_of_a_child_is_caught_too(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    runs = 0

    async def child() -> None:
        if runs == 1:
            raise RuntimeError("fault of a child")

    async def run() -> None:
        nonlocal runs
        runs += 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    await supervise(run, "task", log)
    assert runs == 2
    assert "fault of a child" in caplog.text


async def test_task_that_is_cancelled_is_over(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    with trio.move_on_after(5) as scope:
        await supervise(trio.sleep_forever, "task", log)
    assert scope.cancelled_caught
    assert caplog.records == []


async def test_fault_that_shows_while_the_task_is_cancelled_harms_nobody(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It comes in a group with the Cancelled of others. At the end of the program it would be a traceback."""

    async def fail_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("fault at the end")

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_at_the_end)
            nursery.start_soon(trio.sleep_forever)

    with trio.move_on_after(5) as scope:
        await supervise(run, "task", log)
    assert scope.cancelled_caught
    assert "fault at the end" in caplog.text


async def test_what_is_no_exception_is_let_through(autojump_clock: MockClock) -> None:
    async def run() -> None:
        raise KeyboardInterrupt

    with pytest.raises(BaseException) as caught:  # noqa: PT011  # bare, or in a group
        await supervise(run, "task", log)
    assert "KeyboardInterrupt" in repr(caught.value)
