"""The order of what comes from another bridge; who waits for it may leave."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bridge.core.arrivals import OVERTAKEN, Arrivals


async def test_who_leaves_and_who_waits_in_vain_are_forgotten(autojump_clock: MockClock) -> None:
    arrivals = Arrivals()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrivals.turn, "1", 9.0)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not arrivals._awaited
    await arrivals.turn("2", 9.0)
    assert trio.current_time() == OVERTAKEN
    assert not arrivals._awaited


async def test_the_next_one_goes_when_the_first_has_arrived(autojump_clock: MockClock) -> None:
    arrivals = Arrivals()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrivals.turn, "1", 9.0)
        await wait_all_tasks_blocked()
        arrivals.arrive("1")
    assert trio.current_time() == 0.0
    assert arrivals.may_go("1")
    assert arrivals.may_go("")
    assert not arrivals.may_go("2")
