"""Writing to a socket: at once what fits, the rest in order and in time, and no further than that."""

import socket
from collections.abc import Iterator

import pytest
import trio

from bridge.transport.outbox import Outbox
from tests.support.deadlines import HANG_SECONDS


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def drained(sock: socket.socket) -> bytes:
    received = b""
    try:
        while data := sock.recv(65_536):
            received += data
    except BlockingIOError:
        pass
    return received


def test_what_fits_is_written_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    outbox = Outbox(ours, 1.0)
    assert not outbox.write(b"one")
    assert not outbox.write(b"two")
    assert drained(theirs) == b"onetwo"


def test_what_does_not_fit_goes_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    outbox = Outbox(ours, 1.0)
    large = bytes(range(256)) * 8192
    assert outbox.write(large)
    assert outbox.write(b"behind")
    received = b""
    while outbox.waits:
        received += drained(theirs)
        outbox.flush()
    assert received + drained(theirs) == large + b"behind"
    assert not outbox.write(b"at once again")


async def test_each_portion_has_its_time(pair: tuple[socket.socket, socket.socket]) -> None:
    """A peer that reads slowly is waited for as long as it reads at all."""
    ours, theirs = pair
    outbox = Outbox(ours, HANG_SECONDS)
    outbox.write(b"x" * 3_000_000)
    async with trio.open_nursery() as nursery:
        in_the_end: list[bool] = []

        async def watch() -> None:
            in_the_end.append(await outbox.watch())

        nursery.start_soon(watch)
        while outbox.waits:
            await trio.lowlevel.checkpoint()
            drained(theirs)
            outbox.flush()
        with trio.fail_after(HANG_SECONDS):
            while not in_the_end:
                await trio.lowlevel.checkpoint()
        assert in_the_end == [True]


async def test_nothing_waits_after_its_time(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    outbox = Outbox(ours, 0.01)
    assert outbox.write(b"x" * 3_000_000)
    assert not await outbox.watch()
    assert not outbox.waits


def test_to_a_peer_that_left_nothing_is_written(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    outbox = Outbox(ours, 1.0)
    outbox.write(b"x" * 3_000_000)
    theirs.close()
    outbox.flush()
    assert not outbox.waits
    assert not outbox.write(b"y")


def test_what_waits_is_not_written_late(pair: tuple[socket.socket, socket.socket]) -> None:
    """As where a process was stopped meanwhile: its watch will find that nothing moved."""
    ours, theirs = pair
    allowed = False
    outbox = Outbox(ours, 1.0, lambda: allowed)
    large = bytes(range(256)) * 8192
    assert outbox.write(large)
    received = drained(theirs)
    outbox.flush()
    assert drained(theirs) == b""
    allowed = True
    while outbox.waits:
        outbox.flush()
        received += drained(theirs)
    assert received + drained(theirs) == large
