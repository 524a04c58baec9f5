"""tcp: senders against real listeners: framing, ends and slow readers."""

import json
import os
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import trio

from bridge.protocol.event_delivery import NotSent, Parcel
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport import event_stream
from bridge.transport.event_stream import StreamSender
from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port
from tests.support.tcp_listener import ADDRESSES, Listener, parcel, read


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    (made,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with made:
        yield Listener(made)


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


async def test_a_host_of_several_addresses_of_which_one_is_down(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look_up(*_: Any) -> list[tuple[int, tuple[str, int]]]:
        return [(sockets.AF_INET, (host, listener.port)) for host in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(ADDRESSES, "_look_up", look_up)
    sender = listener.sender()
    with pytest.raises(NotSent, match="Connection refused"):
        await sender.send(parcel(1), 1)
    for number in (1, 2):
        await sender.send(parcel(number), 1)
        async with await listener.accept() as stream:
            assert await read(stream, 1) == parcel(number).payload
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


async def send_on(sender: StreamSender, event: Parcel) -> None:
    """Until it is refused: a kernel that is busy finds room for one more."""
    while True:
        await sender.send(event, 10)


BIG = json.dumps({"pad": "x" * 100_000})


async def test_an_event_taken_in_part_is_written_to_its_end(listener: Listener, nursery: trio.Nursery) -> None:
    sender = listener.sender()
    last = await fill(sender)
    patience = 0.001 if sender._written else HANG_SECONDS  # the kernel may have had no room for any of it
    nursery.start_soon(sender.send, parcel(last, BIG), patience)
    stream = await listener.accept()
    expected = parcel(0).payload + b"".join(parcel(number, BIG).payload for number in range(1, last + 1))
    assert await read(stream, len(expected)) == expected
    await stream.aclose()
    sender.close()


async def test_a_reader_that_stops_in_the_middle_of_an_event_loses_its_connection(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "STALL_TIMEOUT", 0.05)
    sender = listener.sender()
    big = parcel(await fill(sender), BIG)
    with pytest.raises(NotSent, match="it does not read"):
        await send_on(sender, big)
    monkeypatch.undo()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send, big, HANG_SECONDS)  # on a new one, whole
        stalled, stream = await listener.accept(), await listener.accept()
        assert await read(stream, len(big.payload)) == big.payload
    for each in (stalled, stream):
        await each.aclose()
    sender.close()


def fill_up(sender: StreamSender) -> int:
    """Send to the last byte of the kernel's room, so that of an event none is taken; how many."""
    raw: Any = sender._sock
    filled = 0
    for size in (100_000, 1000, 1):
        with suppress(BlockingIOError):
            while True:
                filled += raw.send(b" " * size)
    return filled


async def test_a_reader_that_stops_between_events_keeps_it(listener: Listener) -> None:
    sender = listener.sender()
    await sender.send(parcel(0), 1)
    stream = await listener.accept()
    taken = bytearray(parcel(0).payload)

    async def send_small() -> None:
        while True:  # as in send_on()
            taken.extend(b" " * fill_up(sender))
            await sender.send(parcel(1), 0.01)
            taken.extend(parcel(1).payload)

    with pytest.raises(NotSent, match="it does not read"):
        await send_small()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send, parcel(1), 10)
        data = await read(stream, len(taken) + len(parcel(1).payload))
    assert data == taken + parcel(1).payload
    await stream.aclose()
    sender.close()


async def test_a_listener_that_says_everything_back_does_not_block_us(
    listener: Listener, nursery: trio.Nursery
) -> None:
    async def echo() -> None:
        async with await listener.accept() as stream:
            async for data in stream:
                await stream.send_all(data)

    nursery.start_soon(echo)
    sender = listener.sender()
    with trio.fail_after(HANG_SECONDS):
        await sender.send(parcel(1, json.dumps({"pad": "x" * 20_000_000})), 1)
    sender.close()


async def test_a_reader_that_is_gone_ends_the_wait_for_room(listener: Listener, nursery: trio.Nursery) -> None:
    sender = listener.sender()
    big = parcel(await fill(sender), BIG)

    async def leave() -> None:
        stream = await listener.accept()
        await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()

    nursery.start_soon(leave)
    with pytest.raises(NotSent, match=r"cannot be reached: .*(reset|closed|Broken)"):
        await send_on(sender, big)


async def test_no_descriptor_stays_open(listener: Listener) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sender = listener.sender()
    await sender.send(parcel(), 1)
    sender.close()
    sender.close()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_listener_that_talks_and_does_not_read_is_too_slow(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says wakes the sender, but is no progress. However much it says, the sender looks after its own."""
    monkeypatch.setattr(event_stream, "STALL_TIMEOUT", 0.2)
    monkeypatch.setattr(event_stream, "_MAX_READS", 1)
    monkeypatch.setattr(event_stream, "_BUFFER", 16)
    sender = listener.sender()
    await sender.send(parcel(1), 1)
    async with await listener.accept() as stream, trio.open_nursery() as nursery:

        async def talk() -> None:
            with suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b"x" * 64)
                    await trio.sleep(0.005)

        nursery.start_soon(talk)
        with pytest.raises(NotSent, match="too slow: it does not read"):
            await sender.send(parcel(2, "x" * 20_000_000), 1)
        nursery.cancel_scope.cancel()
    sender.close()
