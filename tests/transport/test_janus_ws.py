"""The WebSocket to a Janus: what is written and read, and what is taken for granted inside its two libraries."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong, Request, TextMessage

from bridge.protocol.janus_url import JanusUrl
from bridge.transport.direct_stream import direct
from bridge.transport.janus_ws import BATCH, MAX_UNSENT_PONGS, JanusWebSocket, WebSocketOptions
from tests.support.frames import CONTINUATION, PING, PONG, TEXT, fragments, frame

URL = JanusUrl.parse("ws://janus.example:1234/janus?key=1")


@dataclass
class Record:
    """What was reported."""

    texts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    frames: int = 0
    stalls: int = 0

    def on_text(self, text: str) -> None:
        self.texts.append(text)

    def on_frames(self) -> None:
        self.frames += 1

    def on_refused(self, reason: str, head: str, *, too_large: bool) -> None:
        self.refused.append(reason)

    def on_stalled(self) -> None:
        self.stalls += 1


class Server:
    """The other end, by another copy of the protocol engine."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.engine = WSConnection(ConnectionType.SERVER)
        self.request: Request | None = None
        self.texts: list[str] = []
        self.pongs: list[bytes] = []
        self.pings = 0
        self.writes = 0
        self.closed: CloseConnection | None = None

    async def accept(self) -> None:
        while self.request is None:
            self.engine.receive_data(bytes(await self.stream.receive_some()))
            for event in self.engine.events():
                if isinstance(event, Request):
                    self.request = event
        await self.stream.send_all(self.engine.send(AcceptConnection(subprotocol="janus-protocol")))

    async def read(self) -> None:
        """To the end."""
        parts = ""
        while data := await self.stream.receive_some():
            self.writes += 1
            self.engine.receive_data(bytes(data))
            for event in self.engine.events():
                if isinstance(event, TextMessage):
                    parts += event.data
                    if event.message_finished:
                        self.texts.append(parts)
                        parts = ""
                elif isinstance(event, Ping):
                    self.pings += 1
                elif isinstance(event, Pong):
                    self.pongs.append(bytes(event.payload))
                elif isinstance(event, CloseConnection):
                    self.closed = event


async def connected_sockets() -> tuple[trio.abc.Stream, trio.SocketStream]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    for one in (left, right):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    return direct(trio.SocketStream(trio.socket.from_stdlib_socket(left))), trio.SocketStream(
        trio.socket.from_stdlib_socket(right)
    )


@asynccontextmanager
async def opened(
    kind: str = "memory", **options: float
) -> AsyncIterator[tuple[JanusWebSocket, Server, Record, list[str]]]:
    """A WebSocket that runs, its server and what is reported; the list gets the reason when it ends."""
    ours, theirs = trio.testing.memory_stream_pair() if kind == "memory" else await connected_sockets()
    record, server, ends = Record(), Server(theirs), list[str]()
    websocket = JanusWebSocket(ours, URL, WebSocketOptions(**options), record)  # type: ignore[arg-type]
    async with ours, theirs, trio.open_nursery() as nursery:
        nursery.start_soon(server.accept)
        await websocket.handshake()

        async def run() -> None:
            ends.append(await websocket.read_forever())

        nursery.start_soon(run)
        nursery.start_soon(websocket.flush_forever)
        yield websocket, server, record, ends
        nursery.cancel_scope.cancel()


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - nobody is told
            await trio.sleep(0.001)


# What is taken for granted


async def test_upgrade_says_what_janus_wants_to_hear() -> None:
    async with opened() as (_, server, _, _):
        request = server.request
        assert request is not None
        assert request.host == "janus.example:1234"
        assert request.target == "/janus?key=1"
        assert request.subprotocols == ["janus-protocol"]
        assert request.extensions == []
        assert (b"origin", b"janus.example") in [(name.lower(), value) for name, value in request.extra_headers]


async def test_engine_knows_when_it_stands_between_messages() -> None:
    """If wsproto changed inside, whole frames would be read past a half one."""
    async with opened() as (websocket, server, record, _):
        assert websocket._engine_is_idle()
        await server.stream.send_all(frame(TEXT, b'{"a":', final=False))
        await settled()
        assert not websocket._engine_is_idle()
        await server.stream.send_all(frame(CONTINUATION, b"1}") + b"\x81")
        await settled()
        assert not websocket._engine_is_idle()
        await server.stream.send_all(frame(TEXT, b"whole")[1:])
        await settled()
        assert websocket._engine_is_idle()
        assert record.texts == ['{"a":1}', "whole"]


# Reading

MESSAGES = (
    frame(TEXT, b"one"),
    frame(PING, b"p"),
    fragments("zwei € 😀".encode(), 3),
    frame(TEXT, b"3" * 126),
    frame(TEXT, b"4" * 70_000),
    frame(TEXT, b"fi", final=False) + frame(PONG, b"") + frame(CONTINUATION, b"ve"),
    frame(TEXT, b""),
    fragments(b"seven" * 2000),
)
TEXTS = ["one", "zwei € 😀", "3" * 126, "4" * 70_000, "five", "", "seven" * 2000]


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(1, 90), max_size=60))
def test_any_cut_of_the_bytes_gives_the_same_messages(cuts: list[int]) -> None:
    async def main() -> None:
        async with opened() as (_, server, record, ends):
            wire = b"".join(MESSAGES)
            for cut in cuts:
                await server.stream.send_all(wire[:cut])
                wire = wire[cut:]
                await settled()
            await server.stream.send_all(wire)
            await settled()
            assert record.texts == TEXTS
            assert record.refused == ends == []

    trio.run(main)


async def test_frames_behind_the_upgrade_are_read() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    record, server = Record(), Server(theirs)
    websocket = JanusWebSocket(ours, URL, WebSocketOptions(), record)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.handshake)
        while server.request is None:
            server.engine.receive_data(bytes(await theirs.receive_some()))
            for event in server.engine.events():
                if isinstance(event, Request):
                    server.request = event
        answer = server.engine.send(AcceptConnection(subprotocol="janus-protocol"))
        await theirs.send_all(answer + frame(TEXT, b"early") + frame(TEXT, b"half")[:3])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.read_forever)
        await theirs.send_all(frame(TEXT, b"half")[3:])
        await settled()
        assert record.texts == ["early", "half"]
        nursery.cancel_scope.cancel()


async def test_others_run_between_the_frames_of_one_read() -> None:
    async with opened() as (_, server, record, _):
        seen: list[int] = []

        async def look() -> None:
            while True:
                seen.append(len(record.texts))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await server.stream.send_all(frame(TEXT, b"") * 1000)
            while len(record.texts) < 1000:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert max(later - earlier for earlier, later in pairwise(seen)) <= 2 * BATCH


async def test_every_frame_is_a_sign_of_life() -> None:
    for wire in (frame(PONG, b""), frame(PING, b""), frame(TEXT, b"x"), frame(TEXT, b"x", final=False)):
        async with opened() as (websocket, server, record, _):
            websocket.last_received = -1.0
            await server.stream.send_all(wire)
            await settled()
            assert websocket.last_received > 0
            assert record.frames == 1


async def test_pings_are_answered_with_their_payload() -> None:
    async with opened() as (_, server, _, _), trio.open_nursery() as nursery:
        nursery.start_soon(server.read)
        await server.stream.send_all(b"".join(frame(PING, payload) for payload in (b"", b"abc", b"x" * 125)))
        await settled()
        assert server.pongs == [b"", b"abc", b"x" * 125]
        nursery.cancel_scope.cancel()


# Writing


@pytest.mark.parametrize("kind", ["memory", "sockets"])
async def test_messages_are_written_in_order_and_together(kind: str) -> None:
    async with opened(kind) as (websocket, server, _, _), trio.open_nursery() as nursery:
        nursery.start_soon(server.read)
        texts = [f"{n}" * (n % 300) for n in range(500)]
        for text in texts:
            websocket.send_text(text)
        await until(lambda: len(server.texts) == len(texts))
        assert server.texts == texts
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["memory", "sockets"])
async def test_close_is_polite_and_ends_writing(kind: str) -> None:
    async with opened(kind) as (websocket, server, _, ends), trio.open_nursery() as nursery:
        nursery.start_soon(server.read)
        websocket.send_text("last")
        websocket.close()
        websocket.send_text("too late")
        websocket.send_ping()
        websocket.close()
        await until(lambda: server.closed)
        assert server.closed is not None
        assert server.closed.code == 1000
        assert (server.texts, server.pings) == (["last"], 0)
        assert websocket.closing.is_set()
        await server.stream.send_all(server.engine.send(server.closed.response()))
        await until(lambda: ends)
        assert ends == ["Janus closed the WebSocket with code 1000"]
        nursery.cancel_scope.cancel()


async def test_stalled_write_is_reported_once_and_nothing_is_written_behind_it() -> None:
    """The socket takes what its buffers hold; what comes is still read."""
    async with opened("sockets", send_timeout=0.1) as (websocket, server, record, ends):
        websocket.send_text("x" * 3_000_000)
        await until(lambda: record.stalls)
        for _ in range(10):
            websocket.send_text("behind")
            websocket.send_ping()
        await server.stream.send_all(frame(TEXT, b"still read") + frame(PING, b""))
        await until(lambda: record.texts)
        websocket.close()
        received = bytearray()
        with trio.move_on_after(0.3):
            while True:
                received += await server.stream.receive_some()
        assert record.texts == ["still read"]
        assert record.stalls == 1
        assert ends == []
        # One frame that never ends: a masked "x" is one of four bytes, so nothing else can stand behind it.
        mask = received[10:14]
        assert {byte ^ mask[n % 4] for n, byte in enumerate(received[14:])} == {ord("x")}


async def test_peer_that_does_not_read_gets_pongs_only_up_to_a_limit() -> None:
    async with opened("sockets", send_timeout=30) as (websocket, server, _, _):
        for _ in range(60):
            await server.stream.send_all(frame(PING, b"x" * 125) * 100)
        await settled()
        assert len(websocket._outbox) < MAX_UNSENT_PONGS + 1000
