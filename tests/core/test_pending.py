"""A call has one outcome, and whoever waits for it wakes once."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bridge.core.pending import PendingRequest
from bridge.errors import TransactionLost
from bridge.protocol.command import read_command


def call() -> PendingRequest:
    return PendingRequest(read_command({"janus": "message", "session_id": 1, "handle_id": 2, "body": {}}), deadline=5.0)


async def test_who_waits_wakes_by_the_answer(nursery: trio.Nursery) -> None:
    one = call()
    nursery.start_soon(one.wait)
    await wait_all_tasks_blocked()
    one.settle({"janus": "success"})
    await one.wait()  # over already: no wait
    assert one.result() == {"janus": "success"}


async def test_who_waits_wakes_by_the_failure(nursery: trio.Nursery) -> None:
    one = call()
    nursery.start_soon(one.wait)
    await wait_all_tasks_blocked()
    one.fail(TransactionLost("cut"))
    with pytest.raises(TransactionLost):
        one.result()


@pytest.mark.parametrize("answer_first", [True, False])
async def test_an_answer_in_the_tick_of_a_cancellation(answer_first: bool) -> None:
    one, scope = call(), trio.CancelScope()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with scope:
                await one.wait()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        if answer_first:
            one.settle({})
            scope.cancel()
        else:
            scope.cancel()
            one.settle({})
    assert scope.cancelled_caught == (not answer_first)
    assert (one.waiter, one.result()) == (None, {})


async def test_who_gave_up_may_wait_again(nursery: trio.Nursery) -> None:
    one = call()
    with trio.move_on_after(0):
        await one.wait()
    nursery.start_soon(one.wait)
    await wait_all_tasks_blocked()
    one.settle({})


async def test_a_second_task_that_waits_is_a_fault_of_ours(nursery: trio.Nursery) -> None:
    one = call()
    nursery.start_soon(one.wait)
    await wait_all_tasks_blocked()
    with pytest.raises(AssertionError, match="one task waits for it already"):
        await one.wait()
    one.settle({})
