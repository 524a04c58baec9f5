"""Connections over real sockets: keep-alive, pipelining, chunks, Expect, HTTP/1.0, limits, leaving, closing, faults."""

import pytest
import trio
import trio.testing

from bridge.protocol.caller import Caller
from bridge.protocol.jsonrpc import Abandon, TakeAnswer
from bridge.transport.http_ends import HttpLimits
from bridge.transport.http_messages import Reply
from tests.support.http_peer import SECONDS, Slow, echo, post, serve, split_answers

CLOSE = "Connection: close"
KEEP = "Connection: keep-alive"


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

    def dispatch(body: bytes, caller: Caller, answer: TakeAnswer) -> Abandon | None:
        if body != b"1":
            return slow.dispatch(body, caller, answer)
        answer(b"quick")
        return None

    client = await (await serve(nursery, dispatch)).connect()
    await client.send(post(b"1") + post(b"2") + post(b"3"))
    assert (await client.answer()).body == b"quick"
    await slow.until(lambda: slow.asked == [b"2"])
    slow.go()
    assert [(await client.answer()).body for _ in range(2)] == [b"late 2", b"late 3"]


async def test_who_pipelines_takes_turns_with_others(nursery: trio.Nursery) -> None:
    asked: list[bytes] = []

    def dispatch(body: bytes, _caller: object, answer: TakeAnswer) -> None:
        asked.append(body)
        answer(body)

    served = await serve(nursery, dispatch)
    for _ in range(10):  # which of them is read first is trio's choice
        asked.clear()
        many, one = (served.connect_and_send(burst) for burst in (post(b"many") * 100, post(b"one")))
        assert (await one.answer()).body == b"one"
        for _ in range(100):
            await many.answer()
        assert asked.index(b"one") < 10


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
    client = await (await serve(nursery, limits=HttpLimits(max_body=len(body)))).connect()

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


async def test_continue_comes_once(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    head = post(b"x", EXPECT).partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    assert (await client.ask(head)).status == 100
    for part in (b"4", b"\r\n", b"body", b"\r\n0\r\n\r\n"):
        await client.send(part)
        await trio.testing.wait_all_tasks_blocked(0.001)
    assert (await client.answer()).body == b"<body>"


async def test_expect_gets_a_refusal_before_the_body(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    answer = await client.ask(post(b"body", EXPECT, path="/nowhere")[:-4])
    assert (answer.status, answer.header("Connection")) == (400, "close")
    assert await client.closed()


async def test_a_body_that_is_sent_anyhow_gets_no_continue(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery)).connect()
    assert (await client.ask(post(b"body", EXPECT))).status == 200


# Time


@pytest.mark.parametrize(
    "part", [b"", b"POST /mi HT", post(b"body")[:-1], b"\r\n", b"POST /mi HTTP/1.1\r\nHost: a\r\nX: y"]
)
async def test_who_takes_too_long_is_dropped(nursery: trio.Nursery, part: bytes) -> None:
    client = await (await serve(nursery, limits=HttpLimits(head=0.2, body=0.2))).connect()
    await client.send(part)
    assert await client.closed()


async def test_dripping_does_not_prolong_it(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, limits=HttpLimits(head=0.2))).connect()

    async def drip() -> None:
        await client.send(b"POST /mi HTTP/1.1\r\n")
        while True:
            await client.send(b"X: y\r\n")
            await trio.sleep(0.02)

    with trio.fail_after(SECONDS), pytest.raises(trio.BrokenResourceError):
        await drip()


async def test_an_idle_connection_is_closed(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, limits=HttpLimits(idle=0.2))).connect()
    assert (await client.ask(post())).status == 200
    assert await client.closed()


async def test_waiting_for_an_answer_has_no_limit_here(nursery: trio.Nursery) -> None:
    slow = Slow()
    limits = HttpLimits(head=0.4, body=0.1, idle=0.1, write=0.1, linger=0.1)
    client = (await serve(nursery, slow.dispatch, limits=limits)).connect_and_send(post(b"1"))
    with trio.move_on_after(0.8) as patience:  # longer than any of them
        await slow.until(lambda: bool(slow.left))
    assert patience.cancelled_caught
    slow.go()
    assert (await client.answer()).body == b"late 1"


async def test_who_does_not_read_is_dropped(nursery: trio.Nursery) -> None:
    def large(_body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(b"x" * (32 << 20))  # more than the kernel takes

    served = await serve(nursery, large, limits=HttpLimits(write=0.2))
    client = await served.connect()
    await client.send(post())
    await served.until(connections=0)


# Closing


async def test_a_refusal_is_read_by_a_client_that_goes_on_sending(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, limits=HttpLimits(max_body=1000))).connect()
    request = post(b"x" * (4 << 20))
    async with trio.open_nursery() as both:
        both.start_soon(client.send, request)  # fails with a reset if the server just closes
        assert (await client.answer()).status == 413


async def test_who_never_closes_is_not_waited_for_for_ever(nursery: trio.Nursery) -> None:
    served = await serve(nursery, limits=HttpLimits(linger=0.2))
    client = await served.connect()
    assert (await client.ask(post(b"1", CLOSE))).status == 200
    assert await client.closed()
    await served.until(connections=0)


# Faults


async def test_a_fault_of_one_request_ends_one_connection(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    def dispatch(body: bytes, caller: object, answer: TakeAnswer) -> None:
        if body == b"fault":
            raise RuntimeError("broken")
        echo(body, caller, answer)

    served = await serve(nursery, dispatch)
    other = await served.connect()
    for _ in range(3):
        client = await served.connect()
        await client.send(post(b"fault"))
        assert await client.closed()
    assert (await other.ask(post(b"1"))).body == b"<1>"
    await served.until(connections=1)
    [record] = caplog.records
    assert record.getMessage() == "the HTTP connection of loopback failed and is closed (1 since the last such line)"


async def test_a_page_that_fails_ends_one_connection(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    def now(_query: bytes) -> Reply:
        raise RuntimeError("broken")

    async def later(_query: bytes) -> Reply:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("broken")

    served = await serve(nursery, pages={"/now": now, "/later": later})
    other = await served.connect()
    for path in ("/now", "/later"):
        client = await served.connect()
        await client.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert await client.closed()
    assert (await other.ask(post(b"1"))).body == b"<1>"
    assert "the HTTP connection of loopback failed" in caplog.text


async def test_a_page_is_let_go_when_its_client_leaves(nursery: trio.Nursery) -> None:
    asked, left = trio.Event(), trio.Event()

    async def page(_query: bytes) -> Reply:
        asked.set()
        try:
            await trio.sleep_forever()
        finally:
            left.set()
        raise AssertionError

    client = await (await serve(nursery, pages={"/": page})).connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await asked.wait()
    client.reset()
    with trio.fail_after(SECONDS):
        await left.wait()
