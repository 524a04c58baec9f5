"""tcp: senders against real listeners: framing, ends, slow readers, and reliable mode."""

import ipaddress
import json
import os
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio

from bridge.protocol.event_delivery import NotSent, Parcel, Refused
from bridge.protocol.event_payload import E_JANUS_EVENT, Event, encoding_of, janus_event
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport import event_stream
from bridge.transport.event_address import Addresses
from bridge.transport.event_stream import StreamSender
from tests.support.ports import free_port

ADDRESSES = Addresses([ipaddress.ip_network("127.0.0.0/8")], lambda socket: False)


class Listener:
    """Accepts one connection after the other, when asked."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self.port: int = listener.socket.getsockname()[1]

    async def accept(self) -> trio.SocketStream:
        return await self._listener.accept()

    def sender(self, method: str = "", reliable: bool = False) -> StreamSender:
        return StreamSender(self.socket(method, reliable), ADDRESSES)

    def socket(self, method: str = "", reliable: bool = False) -> ReplySocket:
        return ReplySocket("tcp", "127.0.0.1", self.port, method=method, reliable=reliable)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    (made,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with made:
        yield Listener(made)


def parcel(number: int = 1, body: str = "{}", *, reliable: bool = False) -> Parcel:
    event = Event(E_JANUS_EVENT, janus_event("g1", "janusws://h", body), f"p-{number}", number, "g1")
    socket = ReplySocket("tcp", "h", 1, reliable=reliable)
    return Parcel(event, event.encoded(encoding_of(socket)), float("inf"))


async def read(stream: trio.SocketStream, size: int) -> bytes:
    data = bytearray()
    with trio.fail_after(10):
        while len(data) < size:
            data += await stream.receive_some()
    return bytes(data)


async def test_objects_follow_each_other_on_one_connection(listener: Listener) -> None:
    sender = listener.sender()
    assert not sender.try_send(parcel(1))
    await sender.send(parcel(1), 1)
    assert sender.try_send(parcel(2))
    await sender.send(parcel(3), 1)
    expected = parcel(1).payload + parcel(2).payload + parcel(3).payload
    async with await listener.accept() as stream:
        assert await read(stream, len(expected)) == expected
    sender.close()


async def test_what_a_listener_says_is_of_no_interest(listener: Listener) -> None:
    sender = listener.sender()
    await sender.send(parcel(1), 1)
    async with await listener.accept() as stream:
        await stream.send_all(b'what? {"error"' * 1000)
        await read(stream, len(parcel(1).payload))
        for number in range(2, 50):
            assert sender.try_send(parcel(number))
    sender.close()


async def test_after_an_end_the_next_event_goes_to_a_new_connection(listener: Listener) -> None:
    sender = listener.sender()
    await sender.send(parcel(1), 1)
    async with await listener.accept() as stream:
        await read(stream, len(parcel(1).payload))
    assert not sender.try_send(parcel(2))
    await sender.send(parcel(2), 0)
    async with await listener.accept() as stream:
        assert await read(stream, 1) == parcel(2).payload
        stream.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # ends with a reset
    await sender.send(parcel(3), 0)
    async with await listener.accept() as stream:
        assert await read(stream, 1) == parcel(3).payload
    sender.close()


async def test_nobody_listens() -> None:
    sender = StreamSender(ReplySocket("tcp", "127.0.0.1", free_port()), ADDRESSES)
    with pytest.raises(NotSent, match=r"cannot be reached: .*[Rr]efused"):
        await sender.send(parcel(), 1)


async def test_nobody_answers_the_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full backlog: the kernel lets connects wait."""
    monkeypatch.setattr(event_stream, "CONNECT_TIMEOUT", 0.05)
    with sockets.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port: int = full.getsockname()[1]
        waiting = [sockets.socket() for _ in range(4)]
        for other in waiting:
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", port))
        sender = StreamSender(ReplySocket("tcp", "127.0.0.1", port), ADDRESSES)
        with pytest.raises(NotSent, match=r"no connection within 0\.05 s"):
            await sender.send(parcel(), 1)
        for other in waiting:
            other.close()


async def fill(sender: StreamSender) -> int:
    """Send until nothing more goes; how many were taken whole."""
    await sender.send(parcel(0), 1)
    number = 1
    while sender.try_send(parcel(number, BIG)):
        number += 1
    return number


BIG = json.dumps({"pad": "x" * 100_000})


async def test_an_event_taken_in_part_is_written_to_its_end(listener: Listener, nursery: trio.Nursery) -> None:
    sender = listener.sender()
    count = await fill(sender)
    nursery.start_soon(sender.send, parcel(count, BIG), 0.001)
    stream = await listener.accept()
    expected = parcel(0).payload + b"".join(parcel(number, BIG).payload for number in range(1, count + 1))
    assert await read(stream, len(expected)) == expected
    await stream.aclose()
    sender.close()


async def test_a_reader_that_stops_in_the_middle_of_an_event_loses_its_connection(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "STALL_TIMEOUT", 0.05)
    sender = listener.sender()
    count = await fill(sender)
    with pytest.raises(NotSent, match="it does not read"):
        await sender.send(parcel(count, BIG), 10)
    await sender.send(parcel(count, BIG), 1)  # on a new one, whole
    stalled, stream = await listener.accept(), await listener.accept()
    assert await read(stream, len(parcel(count, BIG).payload)) == parcel(count, BIG).payload
    for each in (stalled, stream):
        await each.aclose()
    sender.close()


async def test_a_reader_that_stops_between_events_keeps_it(listener: Listener) -> None:
    sender = listener.sender()
    await sender.send(parcel(0), 1)
    stream = await listener.accept()
    raw: Any = sender._sock
    filled = 0
    for size in (100_000, 1000, 1):  # to the last byte of the kernel's room, so that of the event none is taken
        with suppress(BlockingIOError):
            while True:
                filled += raw.send(b" " * size)
    with pytest.raises(NotSent, match="it does not read"):
        await sender.send(parcel(1), 0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send, parcel(1), 10)
        data = await read(stream, len(parcel(0).payload) + filled + len(parcel(1).payload))
    assert data == parcel(0).payload + b" " * filled + parcel(1).payload
    await stream.aclose()
    sender.close()


async def test_a_reader_that_is_gone_ends_the_wait_for_room(listener: Listener, nursery: trio.Nursery) -> None:
    sender = listener.sender()
    count = await fill(sender)

    async def leave() -> None:
        stream = await listener.accept()
        await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()

    nursery.start_soon(leave)
    with trio.fail_after(3), pytest.raises(NotSent, match=r"cannot be reached: .*(reset|closed|Broken)"):
        await sender.send(parcel(count, BIG), 10)


async def test_no_descriptor_stays_open(listener: Listener) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sender = listener.sender()
    await sender.send(parcel(), 1)
    sender.close()
    sender.close()
    assert len(os.listdir("/proc/self/fd")) == before


# Reliable mode

Serve = Callable[[trio.SocketStream], Awaitable[None]]


def answer(id: Any, **more: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id, **(more or {"result": "OK"})}).encode()


async def reliably(
    listener: Listener, nursery: trio.Nursery, serve: Serve, number: int = 7
) -> tuple[StreamSender, Parcel]:
    """A sender whose next event is served so."""
    sender, sent = listener.sender(reliable=True), parcel(number, reliable=True)

    async def once() -> None:
        async with await listener.accept() as stream:
            assert await read(stream, len(sent.payload)) == sent.payload
            await serve(stream)

    nursery.start_soon(once)
    return sender, sent


async def test_an_answer_delivers(listener: Listener, nursery: trio.Nursery) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(answer(3) + answer(6, error={"code": 1}))  # late ones, to other events
        for byte in answer(7):
            await stream.send_all(bytes([byte]))
        await read(stream, len(parcel(8, reliable=True).payload))
        await stream.send_all(answer(8))

    sender, sent = await reliably(listener, nursery, serve)
    assert not sender.try_send(sent)
    await sender.send(sent, 0.001)
    assert sent.sent
    assert not sender.try_send(parcel(8, reliable=True))
    await sender.send(parcel(8, reliable=True), 0.001)
    sender.close()


async def test_an_error_is_final(listener: Listener, nursery: trio.Nursery) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(answer(7, error={"code": 500, "message": "full"}))

    sender, sent = await reliably(listener, nursery, serve)
    with pytest.raises(Refused, match="answers full") as caught:
        await sender.send(sent, 1)
    assert caught.value.reason == "refused"
    sender.close()


@pytest.mark.parametrize("text", [b"OK", answer("7"), answer(None), b"[]"])
async def test_what_is_no_answer_ends_the_connection(listener: Listener, nursery: trio.Nursery, text: bytes) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(text)

    sender, sent = await reliably(listener, nursery, serve)
    with pytest.raises(NotSent, match="answered what is no answer"):
        await sender.send(sent, 1)


async def test_closed_before_the_answer_it_is_sent_again(listener: Listener, nursery: trio.Nursery) -> None:
    async def close(stream: trio.SocketStream) -> None:
        pass

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(answer(7))

    sender, sent = await reliably(listener, nursery, close)
    with pytest.raises(NotSent, match="it closed the connection"):
        await sender.send(sent, 1)
    assert sent.sent
    await reliably(listener, nursery, serve)
    await sender.send(sent, 1)
    sender.close()


async def test_silence_ends_the_connection(
    listener: Listener, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "ANSWER_TIMEOUT", 0.05)

    async def silent(stream: trio.SocketStream) -> None:
        assert await stream.receive_some() == b""

    sender, sent = await reliably(listener, nursery, silent)
    with pytest.raises(NotSent, match=r"did not answer within 0\.05 s"):
        await sender.send(sent, 1)
