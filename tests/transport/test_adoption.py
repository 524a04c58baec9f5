"""A WebSocket that goes from one process to the next: what stands in the kernel, and what is done to hand it over."""

import fcntl
import json
import os
import socket
import struct
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.protocol.janus_url import JanusUrl
from bridge.transport import janus_socket
from bridge.transport.batch import Batch
from bridge.transport.fd_store import KeptSocket
from bridge.transport.janus_connect import open_and_run
from bridge.transport.janus_socket import JanusSocket
from bridge.transport.janus_stream import JanusStream
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.batches import running_batch
from tests.support.deadlines import HANG_SECONDS
from tests.support.frames import CLOSE, CONTINUATION, PING, TEXT, fragments, frame, masked
from tests.support.janus import GEN, Janus
from tests.support.ws_pair import Record, opened, settled, until

MESSAGES = (
    (frame(TEXT, b"one"), "one"),
    (fragments("zwei € 😀".encode(), 3), "zwei € 😀"),
    (frame(TEXT, b"3" * 126), "3" * 126),
    (frame(TEXT, b"fo", final=False) + frame(PING, b"") + frame(CONTINUATION, b"ur"), "four"),
    (fragments(b"five" * 2000), "five" * 2000),
)


def unread(sock: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)))[0])


def duplicate(sock: socket.socket) -> socket.socket:
    """As another process has it."""
    return socket.socket(fileno=os.dup(sock.fileno()))


@contextmanager
def loopback() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and theirs, of TCP: what the kernel does differs from a pair of unix sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


class Process:
    """A process that has the socket, as far as the socket can tell."""

    def __init__(
        self, sock: socket.socket, batch: Batch, record: Record, *, adopted: bool = True, **options: Any
    ) -> None:
        self.sock = duplicate(sock)
        self.record = record
        self.websocket = JanusSocket(self.sock, batch, WebSocketOptions(**options), record, "test", adopted=True)
        self.scope = trio.CancelScope()
        self.reason: str | None = None
        self.ended = trio.Event()

    async def run(self) -> None:
        with self.sock, self.scope:
            self.reason = await self.websocket.run()
        self.ended.set()

    async def kill(self) -> None:
        self.scope.cancel()
        await self.ended.wait()


@asynccontextmanager
async def adopted(**options: Any) -> AsyncIterator[tuple[Process, socket.socket, Record]]:
    """One that runs, and its peer."""
    record = Record()
    with loopback() as (ours, theirs):
        async with running_batch() as batch, trio.open_nursery() as nursery:
            process = Process(ours, batch, record, **options)
            nursery.start_soon(process.run)
            await settled()
            yield process, theirs, record
            nursery.cancel_scope.cancel()


# What stands in the kernel


@settings(max_examples=15)
@given(
    said=st.lists(st.sampled_from(MESSAGES), max_size=20),
    steps=st.lists(st.tuples(st.integers(1, 4000), st.booleans()), max_size=15),
)
def test_processes_take_turns_at_any_cut(said: list[tuple[bytes, str]], steps: list[tuple[int, bool]]) -> None:
    """Killed at any time, without a word."""

    async def main() -> None:
        wire, record = b"".join(frames for frames, _ in said), Record()
        with loopback() as (ours, theirs):
            async with running_batch() as batch, trio.open_nursery() as nursery:
                process = Process(ours, batch, record)
                nursery.start_soon(process.run)
                for cut, killed in [*steps, (len(wire), True)]:
                    theirs.sendall(wire[:cut])
                    wire = wire[cut:]
                    await settled()
                    if killed:
                        await process.kill()
                        process = Process(ours, batch, record)
                        nursery.start_soon(process.run)
                await until(lambda: len(record.texts) >= len(said))
                assert unread(ours) == 0
                nursery.cancel_scope.cancel()
        assert record.texts == [text for _, text in said]
        assert not record.lost_step

    trio.run(main)


async def test_what_came_before_it_was_adopted_is_read() -> None:
    with loopback() as (ours, theirs):
        theirs.sendall(frame(TEXT, b"before"))
        async with running_batch() as batch, trio.open_nursery() as nursery:
            process = Process(ours, batch, record := Record())
            nursery.start_soon(process.run)
            await until(lambda: record.texts)
            assert record.texts == ["before"]
            nursery.cancel_scope.cancel()


async def test_half_a_message_stays_where_it_is() -> None:
    wire = frame(TEXT, b"x" * 1000)
    async with adopted() as (process, theirs, record):
        theirs.sendall(wire + wire[:500])
        await until(lambda: record.frames)
        assert record.texts == ["x" * 1000]
        assert unread(process.sock) == 500
        theirs.sendall(wire[500:])
        await until(lambda: len(record.texts) == 2)
        assert unread(process.sock) == 0


async def test_half_a_message_is_taken_where_its_rest_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be what stands in the way: what is unread keeps memory that the rest needs."""
    monkeypatch.setattr(janus_socket, "PATIENCE", 0.01)
    wire = fragments(b"x" * 6000)
    async with adopted() as (process, theirs, record):
        theirs.sendall(wire[:3000])
        await until(lambda: record.frames and not unread(process.sock))
        assert await process.websocket.freeze() == "half of a message was read"
    async with adopted() as (process, theirs, record):
        theirs.sendall(wire[:3000])
        await until(lambda: record.frames and not unread(process.sock))
        theirs.sendall(wire[3000:] + frame(TEXT, b"next")[:3])
        await until(lambda: record.texts)
        assert record.texts == ["x" * 6000]
        assert await process.websocket.freeze() is None


async def test_a_flood_finds_room_beside_half_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loopback the kernel moves 64 KiB at a time, and keeps all of them for the byte that is not read."""
    monkeypatch.setattr(janus_socket, "PATIENCE", HANG_SECONDS)
    wire = frame(TEXT, b"x" * 242)
    async with adopted() as (_, theirs, record), trio.open_nursery() as nursery:
        theirs.setblocking(False)
        peer = trio.SocketStream(trio.socket.from_stdlib_socket(duplicate(theirs)))
        nursery.start_soon(peer.send_all, wire * 8000)
        await until(lambda: len(record.texts) == 8000)
        await peer.aclose()


async def test_a_low_water_mark_that_was_left_is_set_back() -> None:
    with loopback() as (ours, theirs):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10_000)
        async with running_batch() as batch, trio.open_nursery() as nursery:
            process = Process(ours, batch, record := Record())
            nursery.start_soon(process.run)
            await settled()
            theirs.sendall(frame(TEXT, b"x"))
            await until(lambda: record.texts)
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
            nursery.cancel_scope.cancel()


async def test_half_a_message_and_the_end() -> None:
    async with adopted() as (process, theirs, record):
        theirs.sendall(frame(TEXT, b"whole") + frame(TEXT, b"half")[:3])
        theirs.shutdown(socket.SHUT_WR)
        await process.ended.wait()
        assert record.texts == ["whole"]
        assert process.reason == "Janus closed the connection"


async def test_an_end_that_came_before_it_was_adopted() -> None:
    with loopback() as (ours, theirs):
        theirs.sendall(frame(TEXT, b"last") + frame(TEXT, b"half")[:3])
        theirs.close()
        async with running_batch() as batch:
            process = Process(ours, batch, record := Record())
            with trio.fail_after(HANG_SECONDS):
                await process.run()
        assert record.texts == ["last"]
        assert process.reason == "Janus closed the connection"


# Handing it over


async def test_what_is_frozen_reads_and_writes_no_more_and_stays_open() -> None:
    async with adopted() as (process, theirs, record):
        theirs.sendall(frame(TEXT, b"one"))
        await until(lambda: record.texts)
        assert await process.websocket.freeze() is None
        await process.ended.wait()
        assert process.reason == "the bridge handed it over"
        assert process.websocket.handed_over
        process.websocket.send_text(b"too late")
        theirs.sendall(frame(TEXT, b"two"))
        await settled()
        assert record.texts == ["one"]
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):  # neither a word nor an end
            theirs.recv(1)


async def test_what_waits_to_be_written_is_written_before() -> None:
    async with opened("sockets", send_timeout=30.0, close_timeout=HANG_SECONDS) as (websocket, server, _, _):
        websocket.send_text(b"x" * 3_000_000)
        why_not: list[str | None] = []

        async def freeze() -> None:
            why_not.append(await websocket.freeze())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(freeze)
            await settled()
            assert not why_not
            nursery.start_soon(server.read)
            await until(lambda: why_not)
            assert why_not == [None]
            await until(lambda: server.texts)
            nursery.cancel_scope.cancel()


async def test_a_peer_that_does_not_read_is_not_waited_for() -> None:
    async with opened("sockets", send_timeout=30.0, close_timeout=0.05) as (websocket, _, _, ends):
        websocket.send_text(b"x" * 3_000_000)
        assert await websocket.freeze() == "a write did not complete"
        await until(lambda: ends)
        assert ends == ["the bridge handed it over"]


async def test_a_write_that_stalled_leaves_half_a_frame() -> None:
    async with opened("sockets", send_timeout=0.05) as (websocket, _, record, _):
        websocket.send_text(b"x" * 3_000_000)
        await until(lambda: record.stalls)
        assert await websocket.freeze() == "a write did not complete in janus_send_timeout"


class Slow(Record):
    """One who reads long messages when he is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.go_on = trio.Event(), trio.Event()

    async def on_long_text(self, text: str) -> None:
        self.reading.set()
        await self.go_on.wait()
        self.on_text(text)


async def test_what_came_before_the_end_is_read_though_a_write_stalled() -> None:
    with loopback() as (ours, theirs):
        async with running_batch() as batch, trio.open_nursery() as nursery:
            process = Process(ours, batch, record := Slow(), send_timeout=0.01)
            nursery.start_soon(process.run)
            await settled()
            process.websocket.send_text(b"x" * 16_000_000)
            await until(lambda: record.stalls)
            theirs.sendall(frame(TEXT, b"x" * 60_000) + frame(TEXT, b"next"))
            await record.reading.wait()
            theirs.shutdown(socket.SHUT_WR)
            await settled()
            record.go_on.set()
            await process.ended.wait()
        assert record.texts == ["x" * 60_000, "next"]
        assert process.reason == "Janus closed the connection"


async def test_a_message_that_is_being_read_is_finished() -> None:
    """It is in no kernel any more."""
    with loopback() as (ours, theirs):
        async with running_batch() as batch, trio.open_nursery() as nursery:
            process = Process(ours, batch, record := Slow(), close_timeout=HANG_SECONDS)
            nursery.start_soon(process.run)
            theirs.sendall(frame(TEXT, b"x" * 60_000) + frame(TEXT, b"next"))
            await record.reading.wait()
            why_not: list[str | None] = []

            async def freeze() -> None:
                why_not.append(await process.websocket.freeze())

            nursery.start_soon(freeze)
            await settled()
            assert not why_not
            record.go_on.set()
            await until(lambda: why_not)
            assert why_not == [None]
            assert record.texts == ["x" * 60_000]
            assert unread(ours) == len(frame(TEXT, b"next"))
            nursery.cancel_scope.cancel()


async def test_what_has_ended_is_not_handed_over() -> None:
    async with adopted() as (process, theirs, _):
        theirs.close()
        await process.ended.wait()
        assert await process.websocket.freeze() == "Janus closed the connection"
        assert not process.websocket.handed_over


async def test_what_is_encrypted_can_only_be_held() -> None:
    async with opened("memory") as (websocket, _, _, ends):
        assert await websocket.freeze() == "it is encrypted"
        await until(lambda: ends)
        assert ends == ["the bridge handed it over"]
        assert websocket.handed_over
        assert not websocket.adopted


async def test_what_waits_is_written_before_it_is_held() -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()
    websocket = JanusStream(ours, b"", WebSocketOptions(close_timeout=HANG_SECONDS), Record(), "test")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        websocket.send_text(b"last")
        frozen = trio.Event()

        async def freeze() -> None:
            await websocket.freeze()
            frozen.set()

        nursery.start_soon(freeze)
        await settled()
        assert not frozen.is_set()
        assert len(await theirs.receive_some()) == len(masked(TEXT, b"last"))
        with trio.fail_after(HANG_SECONDS):
            await frozen.wait()


# Out of step

OUT_OF_STEP = [b'"session_id":17,"sender":12}', frame(TEXT, b"\xff"), b"\x81\x85"]


@pytest.mark.parametrize("wire", OUT_OF_STEP, ids=["the middle of a message", "no text", "a mask"])
async def test_nothing_is_written_where_nothing_makes_sense(wire: bytes) -> None:
    async with adopted() as (process, theirs, record):
        theirs.sendall(frame(TEXT, b"sense") + wire)
        await until(lambda: record.lost_step)
        assert len(record.lost_step) == 1
        process.websocket.send_text(b"text")
        process.websocket.send_ping()
        theirs.sendall(frame(TEXT, b"more"))
        await settled()
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        assert record.texts == ["sense"]
        assert not process.ended.is_set()
        process.websocket.close()
        await process.ended.wait()
        assert process.reason == "the bridge closed it"
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


async def test_what_is_out_of_step_ends_with_its_peer() -> None:
    async with adopted() as (process, theirs, record):
        theirs.sendall(b"{}")
        await until(lambda: record.lost_step)
        theirs.close()
        await process.ended.wait()
        assert process.reason == "Janus closed the connection"


async def test_what_is_out_of_step_is_handed_on_to_be_held() -> None:
    async with adopted() as (process, theirs, record):
        theirs.sendall(b"{}")
        await until(lambda: record.lost_step)
        assert await process.websocket.freeze() == record.lost_step[0]
        assert process.websocket.handed_over


async def test_a_close_of_janus_is_in_step() -> None:
    async with adopted() as (process, theirs, record):
        theirs.sendall(frame(CLOSE, b"\x03\xe8"))
        await process.ended.wait()
        assert process.reason == "Janus closed the WebSocket with code 1000"
        assert theirs.recv(100)[:2] == b"\x88\x82"
        assert not record.lost_step


# A real Janus


async def test_a_real_janus_notices_nothing(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events come all the time; whoever has the socket reads them: all of them, in order, once."""
    monkeypatch.setattr(janus_socket, "PATIENCE", HANG_SECONDS)  # a busy one may pause within a message
    url = JanusUrl.parse(janus.url)
    record = Record()
    kept: list[socket.socket] = []

    class Kept(KeptSocket):
        def __init__(self, fd: int) -> None:
            kept.append(socket.socket(fileno=os.dup(fd)))
            self.ends: list[str] = []
            self.number = 1

        def end(self) -> None:
            self.ends.append("end")

        def leave(self, *, goes_on: bool = True) -> None:
            self.ends.append("leave")

    websockets: list[Any] = []
    async with running_batch() as batch, trio.open_nursery() as nursery:

        async def connect(held: socket.socket | None) -> None:
            reasons.append(
                await open_and_run(url, WebSocketOptions(), record, websockets.append, batch, Kept, held=held)
            )

        reasons: list[str] = []

        def ask(**members: Any) -> None:
            websockets[-1].send_text(json.dumps({"transaction": "t", **members}).encode())

        nursery.start_soon(connect, None)
        await until(lambda: websockets)
        ask(janus="create")
        await until(lambda: record.texts)
        session = json.loads(record.texts[-1])["data"]["id"]
        ask(janus="attach", session_id=session, plugin=GEN)
        await until(lambda: len(record.texts) == 2)
        handle = json.loads(record.texts[-1])["data"]["id"]
        ask(janus="message", session_id=session, handle_id=handle, body={"do": "burst", "n": 3000, "size": 100})

        async def replace(texts: int) -> None:
            """Once so many have come."""
            await until(lambda: len(record.texts) > texts)
            before = websockets[-1]
            assert await before.freeze() is None
            await until(lambda: len(reasons) == len(websockets))
            nursery.start_soon(connect, kept.pop())
            await until(lambda: websockets[-1] is not before)
            assert websockets[-1].adopted

        for number in range(5):
            await replace(400 * number)
        numbers: list[int] = []

        def all_came() -> bool:
            numbers[:] = [
                message["plugindata"]["data"]["i"]
                for message in map(json.loads, record.texts)
                if message["janus"] == "event" and "i" in message["plugindata"]["data"]
            ]
            return len(numbers) >= 3000

        await until(all_came)
        assert numbers == list(range(3000))
        ask(janus="keepalive", session_id=session)
        await until(lambda: '"ack"' in record.texts[-1])
        assert set(reasons) == {"the bridge handed it over"}
        kept.pop().close()
        nursery.cancel_scope.cancel()
