"""Many connections: how many there may be, no descriptors left, slow crowds, stopping, turns. Real sockets."""

import ctypes
import itertools
import logging
import os
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from bridge.protocol.jsonrpc import TakeAnswer
from bridge.transport.http_ends import HttpLimits
from tests.support.batches import FullBatch
from tests.support.deadlines import HANG_SECONDS
from tests.support.http_peer import SECONDS, Client, Slow, echo, post, serve, split_answers


def crowd() -> int:
    """How many connections, of two descriptors each in this process, can be had: 1,000, or what ulimit leaves."""
    return min(1000, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200) // 2)


async def working(client: Client, times: int = 20) -> None:
    """The client is served, promptly."""
    with trio.fail_after(SECONDS):
        for number in range(times):
            assert (await client.ask(post(b"%d" % number))).body == b"<%d>" % number


@pytest.mark.slow
async def test_a_thousand_idle_clients_beside_a_working_one(nursery: trio.Nursery) -> None:
    count = crowd()
    served = await serve(nursery, limits=HttpLimits(head=HANG_SECONDS, idle=HANG_SECONDS, max_connections=count + 1))
    worker = await served.connect()
    idle = [await served.connect() for _ in range(count)]
    await working(worker)
    assert served.http.connections == count + 1
    assert (await idle[0].ask(post(b"awake"))).body == b"<awake>"


async def test_slowloris_beside_a_working_one(nursery: trio.Nursery) -> None:
    served = await serve(nursery, limits=HttpLimits(head=0.5))
    worker = served.connect_and_send(post(b"first"))
    assert (await worker.answer()).body == b"<first>"
    slow = [await served.connect() for _ in range(50)]

    async def drip(client: Client) -> None:
        try:
            for byte in itertools.chain(b"POST /mi HTTP/1.1\r\n", itertools.cycle(b"X: y\r\n")):
                await client.send(bytes([byte]))
                await trio.sleep(0.01)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as drips:
        for client in slow:
            drips.start_soon(drip, client)
        await working(worker, 50)
        await served.until(connections=1)
    await working(worker)


# No room


async def test_the_one_whose_time_is_up_first_makes_room(nursery: trio.Nursery) -> None:
    served = await serve(nursery, limits=HttpLimits(max_connections=3, idle=100, head=10))
    worked = await served.connect()
    await working(worked)  # has 100 s; those that never asked have 10
    silent = [await served.connect() for _ in range(2)]
    newest = await served.connect()
    assert await silent[0].closed()
    await working(newest)
    await working(worked)
    assert served.http.connections == 3


async def test_who_waits_for_an_answer_makes_no_room(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    served = await serve(nursery, slow.dispatch, limits=HttpLimits(max_connections=2))
    waiting = [await served.connect() for _ in range(2)]
    for client in waiting:
        await client.send(post(b"1"))
    await slow.until(lambda: len(slow.asked) == 2)
    for _ in range(5):
        assert await (await served.connect()).closed()
    slow.go()
    assert [(await client.answer()).body for client in waiting] == [b"late 1", b"late 1"]
    assert "no room for more than 2 connections" in caplog.text
    assert len(caplog.records) <= 2  # not one for each


async def test_a_burst_of_callers_pushes_none_of_its_own_out(nursery: trio.Nursery) -> None:
    served = await serve(nursery, limits=HttpLimits(max_connections=8))
    idle = [await served.connect() for _ in range(8)]
    for client in idle:
        await client.ask(post(b"1"))
    callers = [served.connect_and_send(post(b"%d" % number)) for number in range(8)]
    assert [(await client.answer()).body for client in callers] == [b"<%d>" % number for number in range(8)]


async def test_an_urgent_byte_is_one_of_the_stream(nursery: trio.Nursery) -> None:
    served = await serve(nursery)
    client = await served.connect()
    assert isinstance(client.stream, trio.SocketStream)
    await client.send(post(b"1"))
    await client.stream.socket.send(b"!", socket.MSG_OOB)
    await client.send(post(b"2"))
    assert [answer.status for answer in split_answers(await client.rest())] == [200, 406]  # "!POST" is no method here


async def test_many_more_clients_than_room(nursery: trio.Nursery) -> None:
    served = await serve(nursery, limits=HttpLimits(max_connections=20))
    for _ in range(100):
        client = await served.connect()
        assert served.http.connections <= 21  # the one to go may not have gone yet
    await working(client)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Until the end, this process can open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[0] + 1, hard))
    try:
        while True:
            try:
                fillers.append(os.dup(fillers[0]))
            except OSError:
                break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)


async def test_accept_survives_a_shortage_of_descriptors(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    served = await serve(nursery)
    idle = await served.connect()
    await working(idle)
    with trio.socket.socket() as late, no_descriptors():
        await late.connect((served.host, served.port))
        assert await idle.closed()  # made room
        stream = trio.SocketStream(late)
        await working(Client(stream))
    [record] = caplog.records
    assert record.getMessage() == "HTTP: no room for more than 1 connection: Too many open files"
    assert record.levelno == logging.WARNING
    assert record.exc_info is None


async def test_a_fault_of_ours_is_not_the_end_of_a_listener(nursery: trio.Nursery) -> None:
    served = await serve(nursery)
    worker = await served.connect()
    [accepter] = served.http._accepters
    served.http._batch.end(accepter)  # as the batch does it
    await working(await served.connect())
    await working(worker)


async def test_a_kernel_that_can_watch_no_more_for_a_while_is_not_the_end_of_a_listener(nursery: trio.Nursery) -> None:
    served = await serve(nursery)
    [accepter] = served.http._accepters
    full: Any = FullBatch(served.http._batch, times=2)
    accepter._batch = full
    served.http._batch.end(accepter)
    await working(await served.connect())
    assert full.times == 0


# Stopping


async def test_stop_answers_what_was_asked_and_what_is_being_asked(nursery: trio.Nursery) -> None:
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as serving:  # ends when serve() returns
            slow = Slow()
            served = await serve(serving, slow.dispatch, limits=HttpLimits(last=HANG_SECONDS))
            served.keep_in(nursery)
            busy, half, new = [await served.connect() for _ in range(3)]
            await busy.send(post(b"1") + post(b"2"))
            await half.send(post(b"3")[:-1])
            await slow.until(lambda: slow.asked == [b"1"])
            await served.has(connections=3)
            served.http.stop()
            with pytest.raises(OSError, match="connect"):
                await served.connect()
            slow.go()
            assert [(await busy.answer()).header("Connection") for _ in range(2)] == [None, "close"]
            await half.send(b"3")
            await new.send(post(b"4"))
            for client, body in ((half, b"late 3"), (new, b"late 4")):
                answer = await client.answer()
                assert (answer.body, answer.header("Connection")) == (body, "close")
            await served.http.heard()
            for client in (busy, half, new):
                assert await client.closed()
                await client.stream.aclose()


async def test_stop_tells_who_has_not_asked_in_time(nursery: trio.Nursery) -> None:
    """That nothing was done: a request may be on its way."""
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as serving:  # ends when serve() returns
            served = await serve(serving, limits=HttpLimits(last=0.1))
            served.keep_in(nursery)
            idle, half, new = [await served.connect() for _ in range(3)]
            await working(idle, 1)
            await half.send(post(b"3")[:-1])
            await served.has(connections=3)
            served.http.stop()
            for client in (idle, half, new):
                answer = await client.answer()
                assert (answer.status, answer.header("Connection")) == (503, "close")
                assert await client.closed()
            await half.stream.aclose()  # the others are not waited for


async def test_stop_answers_who_had_connected_and_was_not_accepted_yet(nursery: trio.Nursery) -> None:
    """The kernel would reset it with its request."""
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as serving:  # ends when serve() returns
            served = await serve(serving)
            served.keep_in(nursery)
            host, _, port = served.http.addresses[0].rpartition(":")
            plain = socket.create_connection((host, int(port)))
            plain.sendall(post(b"1"))
            served.http.stop()  # in the same turn of the loop
            plain.setblocking(False)
            client = Client(trio.SocketStream(trio.socket.from_stdlib_socket(plain)))
            assert (await client.answer()).status == 200
            assert await client.closed()
            await client.stream.aclose()


async def test_stop_waits_for_who_is_connecting(nursery: trio.Nursery) -> None:
    """As over a slow network: the last packet of his handshake comes later than the listener would be closed."""
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as serving:  # ends when serve() returns
            served = await serve(serving, limits=HttpLimits(last=HANG_SECONDS, crossing=0.01))
            served.keep_in(nursery)
            accepter = served.http._accepters[0]
            listener = accepter._listener
            on_its_way = half_connected(listener.sock)
            assert accepter.expects()
            served.http.stop()
            for _ in range(3):
                await trio.sleep(0.01)
            assert listener.sock.fileno() != -1
            with socket.socket() as late, pytest.raises(ConnectionRefusedError):
                late.connect(on_its_way.getpeername())
            listener.sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            client = Client(trio.SocketStream(trio.socket.from_stdlib_socket(on_its_way)))
            assert (await client.ask(post(b"1"))).body == b"<1>"
            assert await client.closed()
            await client.stream.aclose()
        assert not accepter.expects()


async def test_stop_waits_for_nobody_who_never_connects(nursery: trio.Nursery) -> None:
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as serving:  # ends when serve() returns
            served = await serve(serving, limits=HttpLimits(last=0.05, crossing=0.01))
            served.keep_in(nursery)
            with half_connected(served.http._accepters[0]._listener.sock):
                served.http.stop()
                await served.http.heard()


SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
# Of classic BPF, on a TCP header: let pass what has the flag SYN, and nothing else.
ONLY_SYN = (0x30, 0, 0, 13), (0x54, 0, 0, 2), (0x15, 0, 1, 2), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)


def half_connected(listener: socket.socket) -> socket.socket:
    """A client that is connected, while the listener has not got the last packet of the handshake (socket(7))."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in ONLY_SYN))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(ONLY_SYN), ctypes.addressof(code)))
    client = socket.create_connection(listener.getsockname())
    client.setblocking(False)
    return client


async def test_stop_leaves_who_waits_to_the_next_process_where_the_listener_lives_on(nursery: trio.Nursery) -> None:
    """It would else answer him in the very moment in which the links are left."""
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as serving:  # ends when serve() returns
            served = await serve(serving)
            served.keep_in(nursery)
            host, _, port = served.http.addresses[0].rpartition(":")
            with (
                served.http._accepters[0]._listener.sock.dup() as held,
                socket.create_connection((host, int(port))) as he,
            ):
                he.sendall(post(b"1"))
                served.http.stop(left=True)
                await served.until(connections=0)
                accepted, _ = held.accept()
                with accepted:
                    assert accepted.recv(65536) == post(b"1")


async def test_stop_ends_who_takes_an_answer_when_it_is_taken(nursery: trio.Nursery) -> None:
    large = b'{"x":"%b"}' % (b"y" * 8_000_000)

    answered = trio.Event()

    def answer_much(_body: bytes, _caller: object, answer: TakeAnswer) -> None:
        answer(large)
        answered.set()

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as serving:  # ends when serve() returns
            served = await serve(serving, answer_much, limits=HttpLimits(write=HANG_SECONDS))
            served.keep_in(nursery)
            client = await served.connect()
            await client.send(post(b"1"))
            await answered.wait()
            served.http.stop()
            assert (await client.answer()).body == large
            assert (await client.answer()).status == 503
            assert await client.closed()
            await client.stream.aclose()


async def test_cancelling_closes_everything(nursery: trio.Nursery) -> None:
    async with trio.open_nursery() as inner:
        slow = Slow()
        served = await serve(inner, slow.dispatch)
        served.keep_in(nursery)
        client = await served.connect()
        await client.send(post())
        await slow.until(lambda: len(slow.asked) == 1)
        inner.cancel_scope.cancel()
    assert await client.closed()
    with socket.socket() as again:  # the port is free
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((served.host, served.port))


# Turns


class Turns(trio.abc.Instrument):
    """Counts the steps of tasks of the server, and of its batch."""

    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += "HttpServer" in task.name or "Batch" in task.name


async def test_a_kept_alive_request_is_one_step_of_the_batch(nursery: trio.Nursery) -> None:
    """What makes it fast (issue 7): any task, timer or checkpoint more per request shows here."""
    client = await (await serve(nursery, echo)).connect()
    await working(client)
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    await working(client, 100)
    trio.lowlevel.remove_instrument(turns)
    assert 100 <= turns.steps <= 105  # the patrol may have walked
