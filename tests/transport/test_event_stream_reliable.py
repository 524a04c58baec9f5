"""tcp: senders in event_stream's reliable mode, against real listeners that answer, or do not."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio

from bridge.protocol.event_delivery import EventRefused, NotSent, Parcel
from bridge.transport import event_stream
from bridge.transport.event_stream import StreamSender
from tests.support.tcp_listener import Listener, parcel, read

Serve = Callable[[trio.SocketStream], Awaitable[None]]


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    (made,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with made:
        yield Listener(made)


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
    with pytest.raises(EventRefused, match="answers full") as caught:
        await sender.send(sent, 1)
    assert caught.value.reason == "refused"
    sender.close()


@pytest.mark.parametrize("text", [b"OK", answer("7"), answer(None), b"[]"])
async def test_what_is_no_answer_ends_the_connection(listener: Listener, nursery: trio.Nursery, text: bytes) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(text)

    sender, sent = await reliably(listener, nursery, serve)
    with pytest.raises(NotSent, match="answered with something that is not an answer"):
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
