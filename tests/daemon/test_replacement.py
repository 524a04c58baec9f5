"""SIGUSR2: when the program replaces itself, and when not."""

import pytest
import trio
import trio.testing

from bridge.daemon.replacement import Replacement


async def test_only_where_the_new_one_would_start(caplog: pytest.LogCaptureFixture) -> None:
    faults = ["no such file", None]

    async def fault() -> str | None:
        return faults.pop(0)

    replacement, end = Replacement(fault), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replacement.run, end)
        replacement.ask()
        await trio.testing.wait_all_tasks_blocked()
        assert (end.cancel_called, replacement.decided) == (False, False)
        assert caplog.messages == ["SIGUSR2: the new program would not start, this one goes on: no such file"]
        replacement.ask()
        await trio.testing.wait_all_tasks_blocked()
    assert (end.cancel_called, replacement.decided) == (True, True)


async def test_an_end_comes_first() -> None:
    """SIGTERM while the new one is being looked at."""

    async def fault() -> str | None:
        await trio.sleep(1000)
        return None

    replacement, end = Replacement(fault), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replacement.run, end)
        replacement.ask()
        await trio.testing.wait_all_tasks_blocked()
        replacement.stop()
    assert not replacement.decided
