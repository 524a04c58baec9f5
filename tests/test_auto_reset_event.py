"""The event that is unset again when its waiter wakes."""

import trio
from trio.testing import wait_all_tasks_blocked

from bridge.auto_reset_event import AutoResetEvent


async def test_each_wait_wants_a_set_of_its_own(nursery: trio.Nursery) -> None:
    event, woken = AutoResetEvent(), 0

    async def wait_for_ever() -> None:
        nonlocal woken
        while True:
            await event.wait()
            woken += 1

    event.set()  # before anyone waits
    event.set()
    nursery.start_soon(wait_for_ever)
    await wait_all_tasks_blocked()
    assert woken == 1
    event.set()
    await wait_all_tasks_blocked()
    assert woken == 2
    nursery.cancel_scope.cancel()


async def test_a_cancelled_wait_leaves_it_as_it_is() -> None:
    event = AutoResetEvent()
    event.set()
    with trio.CancelScope() as scope:
        scope.cancel()
        await event.wait()
    await event.wait()


async def test_all_who_wait_wake_each_time(nursery: trio.Nursery) -> None:
    event, woken = AutoResetEvent(), [0, 0]

    async def wait_for_ever(number: int) -> None:
        while True:
            await event.wait()
            woken[number] += 1

    for number in (0, 1):
        nursery.start_soon(wait_for_ever, number)
    for times in (1, 2, 3):
        await wait_all_tasks_blocked()
        event.set()
        await wait_all_tasks_blocked()
        assert woken == [times, times]
    nursery.cancel_scope.cancel()
