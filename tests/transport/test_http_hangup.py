"""Clients that leave while their command is in flight, by closing, half-closing or a reset. Real sockets."""

import pytest
import trio

from bridge.protocol.caller import Caller
from bridge.protocol.jsonrpc import Abandon, TakeAnswer
from tests.support.http_peer import Slow, post, serve, split_answers


async def test_a_client_that_left_is_waited_for_no_longer(nursery: trio.Nursery) -> None:
    slow = Slow()
    served = await serve(nursery, slow.dispatch)
    stayer, leaver = await served.connect(), await served.connect()
    await stayer.send(post(b"stays"))
    await leaver.send(post(b"leaves") + post(b"never asked"))
    await slow.until(lambda: len(slow.asked) == 2)
    await leaver.stream.aclose()
    await slow.until(lambda: slow.left == [b"leaves"])
    slow.go()
    assert (await stayer.answer()).body == b"late stays"
    assert b"never asked" not in slow.asked


async def test_a_client_that_resets_is_waited_for_no_longer(nursery: trio.Nursery) -> None:
    slow = Slow()
    client = await (await serve(nursery, slow.dispatch)).connect()
    await client.send(post(b"1"))
    await slow.until(lambda: slow.asked == [b"1"])
    client.reset()
    await slow.until(lambda: slow.left == [b"1"])


async def test_who_leaves_at_once_gets_done_what_needs_no_waiting(nursery: trio.Nursery) -> None:
    slow = Slow()

    def dispatch(body: bytes, caller: Caller, answer: TakeAnswer) -> Abandon | None:
        if body == b"slow":
            return slow.dispatch(body, caller, answer)
        answer(b"done " + body)
        return None

    client = await (await serve(nursery, dispatch)).connect()
    await client.send(post(b"1") + post(b"2") + post(b"slow") + post(b"3"))
    assert isinstance(client.stream, trio.SocketStream)
    await client.stream.send_eof()
    answers = split_answers(await client.rest())
    assert [answer.body for answer in answers] == [b"done 1", b"done 2"]
    assert slow.left in ([], [b"slow"])


async def test_what_somebody_asked_who_is_known_to_be_gone_is_not_waited_for(nursery: trio.Nursery) -> None:
    """Twenty quick answers are twenty turns of the event loop: time enough to notice that the client shut its side."""
    slow = Slow()

    def dispatch(body: bytes, caller: Caller, answer: TakeAnswer) -> Abandon | None:
        if body == b"slow":
            return slow.dispatch(body, caller, answer)
        answer(b"done")
        return None

    client = await (await serve(nursery, dispatch)).connect()
    assert isinstance(client.stream, trio.SocketStream)
    await client.send(post(b"quick") * 20 + post(b"slow") + post(b"never asked"))
    await client.stream.send_eof()
    assert len(split_answers(await client.rest())) == 20
    assert (slow.asked, slow.left) == ([b"slow"], [b"slow"])


@pytest.mark.parametrize("part", [b"", b"POST /mi", post(b"body")[:-1], post(b"body"), post(b"body") + b"POST"])
async def test_resets_stay_where_they_are(nursery: trio.Nursery, part: bytes) -> None:
    served = await serve(nursery)
    other = await served.connect()
    for _ in range(20):
        client = await served.connect()
        if part:
            await client.send(part)
        client.reset()
    assert (await other.ask(post())).status == 200
    await served.until(connections=1)
