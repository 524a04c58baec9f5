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
