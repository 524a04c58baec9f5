"""A request has one outcome, and a task that waits for it wakes by it."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bridge.core.pending import AwaitedAnswer
from bridge.errors import TransactionLost


async def test_who_waits_wakes_by_the_answer(nursery: trio.Nursery) -> None:
    reply = AwaitedAnswer("info")
    nursery.start_soon(reply.wait)
    await wait_all_tasks_blocked()
    assert not reply.finished
    reply.succeed({"janus": "success"})
    await reply.wait()  # over already: no wait
    assert reply.result() == {"janus": "success"}


async def test_who_waits_wakes_by_the_failure(nursery: trio.Nursery) -> None:
    reply = AwaitedAnswer("info")
    nursery.start_soon(reply.wait)
    await wait_all_tasks_blocked()
    reply.fail(TransactionLost("cut"))
    assert reply.finished
    with pytest.raises(TransactionLost):
        reply.result()


async def test_who_gave_up_may_wait_again(nursery: trio.Nursery) -> None:
    reply = AwaitedAnswer("info")
    with trio.move_on_after(0):
        await reply.wait()
    nursery.start_soon(reply.wait)
    await wait_all_tasks_blocked()
    reply.succeed({})
