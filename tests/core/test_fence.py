"""The fence of a cluster: two deadlines on one clock, and who waits for them."""

import trio
import trio.testing

from bridge.core.fence import Fence


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_is_closed_until_somebody_says_until_when() -> None:
    fence = Fence(Clock())
    assert not fence.open()
    assert not fence.valid()


def test_it_closes_by_itself() -> None:
    clock = Clock()
    fence = Fence(clock)
    fence.move(108.0)
    assert fence.open()
    assert fence.valid()
    clock.now = 108.0
    assert not fence.open()
    assert not fence.valid()


def test_what_may_be_written_to_may_still_not_be_claimed() -> None:
    clock = Clock()
    fence = Fence(clock)
    fence.move(90.0, 108.0)
    assert fence.open()
    assert not fence.valid()
    fence.move(120.0, 108.0)
    clock.now = 110.0
    assert fence.open()


async def test_whoever_waits_goes_on_when_it_opens(autojump_clock: trio.testing.MockClock) -> None:
    fence = Fence(Clock())
    done: list[str] = []

    async def write() -> None:
        await fence.opened()
        done.append("write")

    async def claim() -> None:
        await fence.validated()
        done.append("claim")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        nursery.start_soon(claim)
        await trio.testing.wait_all_tasks_blocked()
        fence.move(99.0)  # over already
        await trio.testing.wait_all_tasks_blocked()
        assert done == []
        fence.move(99.0, 101.0)
        await trio.testing.wait_all_tasks_blocked()
        assert done == ["write"]
        fence.move(101.0)
    assert done == ["write", "claim"]
