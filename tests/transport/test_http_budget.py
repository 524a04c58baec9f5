"""What clients may hold of the memory: slow bodies, answers that are not taken, pipelines, connections."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.protocol.budget import Budget
from bridge.protocol.jsonrpc import TakeAnswer
from bridge.transport.http_ends import HttpLimits
from bridge.transport.http_parser import RequestParser
from tests.support.examples import examples
from tests.support.http_peer import SECONDS, Client, Served, Slow, echo, post, serve

KIB = 1024
BUDGET = 1024 * KIB  # a client has half of it, and a large request leaves a quarter of that


async def until(budget: Budget, used: int) -> None:
    """Wait until so much is held; the server has no event for it."""
    with trio.fail_after(SECONDS):
        while budget.used != used:  # noqa: ASYNC110
            await trio.sleep(0.002)


async def begin(served: Served, budget: Budget, size: int) -> Client:
    """A client that has sent so much of a body, which has one byte more."""
    client, before = await served.connect(), budget.used
    await client.send(post(b"x" * (size + 1))[:-1])
    await until(budget, before + size)
    return client


async def test_a_body_is_counted_from_its_first_read_to_its_last(nursery: trio.Nursery) -> None:
    budget = Budget(BUDGET)
    served = await serve(nursery, pending=budget)
    clients = [await begin(served, budget, size) for size in (10 * KIB, 100 * KIB)]
    assert budget.used == budget.shares["loopback"] == 110 * KIB
    for client, size in zip(clients, (10 * KIB, 100 * KIB), strict=True):
        assert (await client.ask(b"x")).body == b"<%b>" % (b"x" * (size + 1))
    assert budget.used == 0
    gone = await begin(served, budget, 10 * KIB)
    gone.reset()
    await until(budget, 0)


async def test_a_body_that_finds_no_room_is_refused(nursery: trio.Nursery) -> None:
    budget = Budget(BUDGET)
    served = await serve(nursery, pending=budget)
    slow = await begin(served, budget, 100 * KIB)
    more = await served.connect()
    await more.send(post(b"x" * 300 * KIB))
    answer = await more.answer()
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (503, "1")
    assert budget.refused == 1
    await until(budget, 100 * KIB)
    assert (await slow.ask(b"x")).status == 200


async def test_the_largest_of_the_slow_makes_room_for_what_is_smaller(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    budget = Budget(BUDGET)
    served = await serve(nursery, pending=budget)
    slow = [await begin(served, budget, size * KIB) for size in (150, 200, 30)]
    other = await begin(served, budget, 60 * KIB)
    newest = await served.connect()
    assert (await newest.ask(post(b"x" * 120 * KIB))).status == 200
    assert (await slow[1].answer()).status == 503
    assert (await slow[0].ask(b"x")).status == 200
    assert (await other.ask(b"x")).status == 200
    assert "shed a slow client (loopback, 204800 bytes held) to make room" in caplog.text


async def test_an_answer_that_is_not_taken_is_counted_and_gives_way(nursery: trio.Nursery) -> None:
    budget = Budget(64 * KIB * KIB)
    body = b"y" * (8 * KIB * KIB)

    def much(_body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(body)

    served = await serve(nursery, much, pending=budget, limits=HttpLimits(write=SECONDS))
    client = await served.connect()
    await client.send(post())
    with trio.fail_after(SECONDS):
        while not budget.used:  # noqa: ASYNC110
            await trio.sleep(0.002)
    assert 0 < budget.used <= len(body) + KIB
    assert (await client.answer()).body == body
    await until(budget, 0)


async def test_an_answer_that_finds_no_room_ends_its_connection_alone(nursery: trio.Nursery) -> None:
    budget = Budget(BUDGET)

    def much(body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(b"y" * (16 * KIB * KIB) if body == b"much" else body)

    served = await serve(nursery, much, pending=budget)
    client = await served.connect()
    await client.send(post(b"much"))
    assert len(await client.rest()) < 16 * KIB * KIB
    assert (budget.used, budget.refused) == (0, 1)
    assert (await (await served.connect()).ask(post(b"z"))).body == b"z"


async def test_requests_behind_one_that_waits_are_counted(nursery: trio.Nursery) -> None:
    budget, slow = Budget(BUDGET), Slow()
    served = await serve(nursery, slow.dispatch, pending=budget)
    client = await served.connect()
    await client.send(post(b"1") * 20)
    await slow.until(lambda: len(slow.asked) == 1)
    assert 19 * KIB < budget.used < 20 * KIB
    slow.go()
    for _ in range(20):
        assert (await client.answer()).body == b"late 1"
    await until(budget, 0)


async def test_one_client_has_its_own_number_of_connections(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """This machine is one client, however many addresses of its own it uses."""
    slow = Slow()
    served = await serve(nursery, slow.dispatch, limits=HttpLimits(max_connections=10, max_of_client=3))
    for number in range(1, 4):
        sock = trio.socket.socket()
        await sock.bind((f"127.0.0.{number}", 0))
        await sock.connect((served.host, served.port))
        client = served.keep(trio.SocketStream(sock))
        await client.send(post(b"%d" % number))
    await slow.until(lambda: len(slow.asked) == 3)
    assert await (await served.connect()).closed()
    assert "no room for more than 3 connections: all 3 of loopback are waiting for answers" in caplog.text
    slow.go()
    assert (await client.answer()).body == b"late 3"
    newest = await served.connect()  # those that were answered are idle now, and make room
    assert (await newest.ask(post(b"4"))).body == b"late 4"


async def test_a_slow_crowd_takes_nothing_from_a_working_client(nursery: trio.Nursery) -> None:
    """As many slow bodies as there may be connections, each as large as it may be for what is small."""
    budget = Budget(BUDGET)
    served = await serve(nursery, echo, pending=budget)
    worker = await served.connect()
    for _ in range(40):
        await served.connect()
        client = await served.connect()
        await client.send(post(b"x" * 60 * KIB)[:-1])
        assert (await worker.ask(post(b"x" * 2000))).status == 200
        assert budget.used <= BUDGET // 2


@settings(max_examples=examples(30))
@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=30))
def test_a_body_is_one_buffer_whatever_its_pieces(pieces: list[bytes]) -> None:
    parser = RequestParser(lambda _: None, "192.0.2.1", 1000)
    parser.feed(b"POST /mi HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number, piece in enumerate(pieces, 1):
        parser.feed(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert parser.partial == sum(map(len, pieces[:number]))
        assert isinstance(parser._body, bytearray if number > 1 else bytes)
    parser.feed(b"0\r\n\r\n")
    [request] = parser.ready
    assert (request.body, parser.partial) == (b"".join(pieces), 0)
