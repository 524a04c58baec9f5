"""The socket without detours: what trio's contract for streams asks of it when the socket is not as hoped."""

import os
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from bridge.transport.direct_stream import DirectStream


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def test_a_wake_up_for_bytes_that_somebody_else_took_is_no_end(pair: tuple[socket.socket, socket.socket]) -> None:
    """Two readers of one socket are woken together, and there is something for one of them only."""
    ours, theirs = pair
    got: list[bytes] = []

    async def read(stream: DirectStream) -> None:
        got.append(await stream.receive_some())

    other = DirectStream(socket.socket(fileno=os.dup(ours.fileno())))
    async with other, trio.open_nursery() as nursery:
        nursery.start_soon(read, other)
        nursery.start_soon(read, DirectStream(ours))
        await trio.testing.wait_all_tasks_blocked()
        theirs.send(b"one")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert got == [b"one"]
        theirs.send(b"two")
    assert got == [b"one", b"two"]


async def test_an_end_is_said_once_and_to_somebody(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    stream = DirectStream(ours)
    await stream.send_eof()
    assert theirs.recv(1) == b""
    with socket.socket() as unconnected, pytest.raises(trio.BrokenResourceError, match="not connected"):
        await DirectStream(unconnected).send_eof()


async def test_a_peer_that_left_breaks_it(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    stream = DirectStream(ours)
    theirs.close()
    with pytest.raises(trio.BrokenResourceError, match="Broken pipe"):
        await stream.send_all(b"x")
    assert await stream.receive_some() == b""
    await stream.aclose()
    await stream.aclose()  # twice is the same as once
    assert stream.fileno() == -1


async def test_writing_waits_for_a_reader_and_loses_nothing() -> None:
    ours, theirs = socket.socketpair()
    data = bytes(range(256)) * 16384
    received = b""
    async with DirectStream(ours) as writer, DirectStream(theirs) as reader, trio.open_nursery() as nursery:

        async def write() -> None:
            await writer.send_all(data)
            await writer.send_eof()

        nursery.start_soon(write)
        received = b"".join([chunk async for chunk in reader])
    assert received == data


async def test_an_end_that_is_gone_breaks_it() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    async with DirectStream(ours) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")
        assert await stream.receive_some() == b""


async def test_closing_wakes_who_waits() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        stream = DirectStream(ours)
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await stream.receive_some()

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
        await stream.aclose()
        assert stream.fileno() == -1
