import pytest
import trio

from bridge.errors import MalformedMessage
from bridge.transport.mi_ask import ask
from tests.support.callers import OPERATOR
from tests.support.http_peer import Slow, echo


async def test_an_answer_at_once() -> None:
    assert await ask(echo, b"x", OPERATOR) == b"<x>"
    assert await ask(echo, b"notify", OPERATOR) is None


async def test_an_answer_that_takes_its_time(nursery: trio.Nursery) -> None:
    slow, answers = Slow(), list[bytes | None]()

    async def take() -> None:
        answers.append(await ask(slow.dispatch, b"x", OPERATOR))

    nursery.start_soon(take)
    await slow.until(lambda: slow.asked == [b"x"])
    assert answers == []
    slow.go()
    await trio.testing.wait_all_tasks_blocked()
    assert (answers, slow.left) == ([b"late x"], [])


async def test_a_cancelled_task_abandons_its_request() -> None:
    slow = Slow()
    with trio.move_on_after(0):
        await ask(slow.dispatch, b"x", OPERATOR)
    assert slow.left == [b"x"]


async def test_bytes_that_are_no_json() -> None:
    def dispatch(_body: bytes, _caller: object, _answer: object) -> None:
        raise MalformedMessage("no JSON")

    with pytest.raises(MalformedMessage):
        await ask(dispatch, b"x", OPERATOR)
