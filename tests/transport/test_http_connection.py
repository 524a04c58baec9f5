"""One connection: keep-alive, pipelining, chunks, Expect, HTTP/1.0, time limits, leaving, closing. Real sockets."""

from collections.abc import Callable

import pytest
import trio

from bridge.transport.http_connection import Limits
from tests.support.http_peer import post, serve, split_answers

CLOSE = "Connection: close"
KEEP = "Connection: keep-alive"


class Slow:
    """A dispatch that answers when told to. ``asked`` has the bodies in their order, ``left`` the cancelled ones."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.left: list[bytes] = []
        self._go = trio.Event()
        self._news = trio.Event()

    async def dispatch(self, body: bytes) -> bytes | None:
        self.asked.append(body)
        self._tell()
        try:
            await self._go.wait()
        except trio.Cancelled:
            self.left.append(body)
            self._tell()
            raise
        return b"late " + body

    def go(self) -> None:
        """Answer what was asked, and everything from now on at once."""
        self._go.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something true of ``asked`` or ``left``."""
        with trio.fail_after(5):
            while not condition():
                await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


async def test_one_connection_many_requests(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    for number in range(20):
        assert (await client.ask(post(b"%d" % number))).body == b"<%d>" % number


async def test_connection_close_is_honoured(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    await client.send(post(b"1", CLOSE) + post(b"2"))
    [answer] = split_answers(await client.rest())
    assert (answer.body, answer.header("Connection")) == (b"<1>", "close")


async def test_http_1_0_closes(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    await client.send(post(b"1", version="1.0"))
    [answer] = split_answers(await client.rest())
    assert (answer.body, answer.header("Connection")) == (b"<1>", "close")


async def test_http_1_0_stays_when_asked_to(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    answer = await client.ask(post(b"1", KEEP, version="1.0"))
    assert answer.header("Connection") == "Keep-Alive"
    assert (await client.ask(post(b"2", KEEP, version="1.0"))).body == b"<2>"


async def test_pipelined_requests_are_answered_in_order(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    await client.send(b"".join(post(b"%d" % number) for number in range(300)))
    assert [(await client.answer()).body for _ in range(300)] == [b"<%d>" % number for number in range(300)]


async def test_an_answer_does_not_wait_for_the_next_of_its_pipeline(nursery: trio.Nursery) -> None:
    slow = Slow()

    async def dispatch(body: bytes) -> bytes | None:
        return b"quick" if body == b"1" else await slow.dispatch(body)

    client = await (await serve(nursery, dispatch)).connect()
    await client.send(post(b"1") + post(b"2") + post(b"3"))
    assert (await client.answer()).body == b"quick"
    await slow.until(lambda: slow.asked == [b"2"])
    slow.go()
    assert [(await client.answer()).body for _ in range(2)] == [b"late 2", b"late 3"]


async def test_a_request_in_single_bytes(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    for byte in post(b"slowly"):
        await client.send(bytes([byte]))
    assert (await client.answer()).body == b"<slowly>"


async def test_chunks(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    head = post(b"x").partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    await client.send(head + b"5\r\nhello\r\n")
    await client.send(b"6;a=b\r\n world\r\n0\r\nTrailer: 1\r\n\r\n" + post(b"next"))
    assert (await client.answer()).body == b"<hello world>"
    assert (await client.answer()).body == b"<next>"


async def test_bodies_up_to_the_limit_come_through(nursery: trio.Nursery) -> None:
    body = bytes(range(256)) * 4096
    client = await (await serve(nursery, limits=Limits(max_body=len(body)))).connect()

    async with trio.open_nursery() as both:  # neither side's buffers hold it
        both.start_soon(client.send, post(body))
        assert (await client.answer()).body == b"<" + body + b">"


# Expect: 100-continue

EXPECT = "Expect: 100-continue"


async def test_expect_gets_its_continue(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    request = post(b"body", EXPECT)
    assert (await client.ask(request[:-4])).status == 100
    assert (await client.ask(request[-4:])).body == b"<body>"


async def test_continue_comes_after_the_answers_before_it(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    await client.send(post(b"1") + post(b"2", EXPECT)[:-1])
    assert [(await client.answer()).status for _ in range(2)] == [200, 100]
    assert (await client.ask(b"2")).body == b"<2>"


async def test_expect_gets_a_refusal_before_the_body(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    answer = await client.ask(post(b"body", EXPECT, path="/nowhere")[:-4])
    assert (answer.status, answer.header("Connection")) == (400, "close")
    assert await client.closed()


async def test_a_body_that_is_sent_anyhow_gets_no_continue(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    assert (await client.ask(post(b"body", EXPECT))).status == 200


# Time

QUICK = Limits(head=0.2, body=0.2, idle=0.2, write=0.2, linger=0.2)


@pytest.mark.parametrize(
    "part", [b"", b"POST /mi HT", post(b"body")[:-1], b"\r\n", b"POST /mi HTTP/1.1\r\nHost: a\r\nX: y"]
)
async def test_who_takes_too_long_is_dropped(nursery: trio.Nursery, part: bytes) -> None:
    client = await (await serve(nursery, limits=QUICK)).connect()
    await client.send(part)
    assert await client.closed()


async def test_dripping_does_not_prolong_it(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, limits=QUICK)).connect()

    async def drip() -> None:
        await client.send(b"POST /mi HTTP/1.1\r\n")
        while True:
            await client.send(b"X: y\r\n")
            await trio.sleep(0.02)

    with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
        await drip()


async def test_an_idle_connection_is_closed(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, limits=QUICK)).connect()
    assert (await client.ask(post())).status == 200
    assert await client.closed()


async def test_waiting_for_an_answer_has_no_limit_here(nursery: trio.Nursery) -> None:
    slow = Slow()
    client = await (await serve(nursery, slow.dispatch, limits=QUICK)).connect()
    await client.send(post(b"1"))
    with trio.move_on_after(0.6) as patience:  # three times every limit
        await slow.until(lambda: bool(slow.left))
    assert patience.cancelled_caught
    slow.go()
    assert (await client.answer()).body == b"late 1"


async def test_who_does_not_read_is_dropped(nursery: trio.Nursery) -> None:
    async def large(body: bytes) -> bytes | None:
        return b"x" * (32 << 20)  # more than the kernel takes

    served = await serve(nursery, large, limits=QUICK)
    client = await served.connect()
    await client.send(post())
    await served.until(connections=0)


# Leaving


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

    async def dispatch(body: bytes) -> bytes | None:
        return await slow.dispatch(body) if body == b"slow" else b"done " + body

    client = await (await serve(nursery, dispatch)).connect()
    await client.send(post(b"1") + post(b"2") + post(b"slow") + post(b"3"))
    assert isinstance(client.stream, trio.SocketStream)
    await client.stream.send_eof()
    answers = split_answers(await client.rest())
    assert [answer.body for answer in answers] == [b"done 1", b"done 2"]
    assert slow.left in ([], [b"slow"])


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


# Closing


async def test_a_refusal_is_read_by_a_client_that_goes_on_sending(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, limits=Limits(max_body=1000))).connect()
    request = post(b"x" * (4 << 20))
    async with trio.open_nursery() as both:
        both.start_soon(client.send, request)  # fails with a reset if the server just closes
        assert (await client.answer()).status == 413


async def test_who_never_closes_is_not_waited_for_for_ever(nursery: trio.Nursery) -> None:
    served = await serve(nursery, limits=QUICK)
    client = await served.connect()
    assert (await client.ask(post(b"1", CLOSE))).status == 200
    assert await client.closed()
    await served.until(connections=0)
