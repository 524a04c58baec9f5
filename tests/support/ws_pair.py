"""A WebSocket to a Janus and its other end: on a stream in memory, or served by a batch on a pair of sockets."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio
import trio.testing
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong, Request, TextMessage

from bridge.protocol.janus_url import JanusUrl
from bridge.transport.janus_connect import upgrade
from bridge.transport.janus_socket import JanusSocket
from bridge.transport.janus_stream import JanusStream
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.batches import running_batch
from tests.support.deadlines import HANG_SECONDS

URL = JanusUrl.parse("ws://janus.example:1234/janus?key=1")


@dataclass
class Record:
    """What was reported."""

    texts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    frames: int = 0
    stalls: int = 0
    lost_step: list[str] = field(default_factory=list)

    async def on_long_text(self, text: str) -> None:
        self.on_text(text)

    def on_text(self, text: str) -> None:
        self.texts.append(text)

    def on_frames(self) -> None:
        self.frames += 1

    def on_refused(self, reason: str, head: str, *, too_large: bool) -> None:
        self.refused.append(reason)

    def on_stalled(self) -> None:
        self.stalls += 1

    def on_out_of_step(self, reason: str) -> None:
        self.lost_step.append(reason)


class Server:
    """The other end, by another copy of the protocol engine."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.engine = WSConnection(ConnectionType.SERVER)
        self.request: Request | None = None
        self.accepted = trio.Event()
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
        self.accepted.set()

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


def socket_pair() -> tuple[socket.socket, trio.SocketStream]:
    """Ours, and theirs. Both hold little."""
    left, right = socket.socketpair()
    for one in (left, right):
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    return left, trio.SocketStream(trio.socket.from_stdlib_socket(right))


@asynccontextmanager
async def opened(
    kind: str = "memory", **options: Any
) -> AsyncIterator[tuple[JanusSocket | JanusStream, Server, Record, list[str]]]:
    """A WebSocket that runs, its server and what is reported; the list gets the reason when it ends."""
    record, ends, given = Record(), list[str](), WebSocketOptions(**options)
    websocket: JanusSocket | JanusStream
    async with running_batch() as batch, trio.open_nursery() as nursery:
        if kind == "memory":
            ours, theirs = trio.testing.memory_stream_pair()
            server = Server(theirs)
            nursery.start_soon(server.accept)
            websocket = JanusStream(ours, await upgrade(ours, URL, given), given, record, URL.netloc)
        else:
            sock, peer = socket_pair()
            server = Server(peer)
            nursery.start_soon(server.accept)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
            await upgrade(stream, URL, given)
            websocket = JanusSocket(sock, batch, given, record, URL.netloc)
        await server.accepted.wait()

        async def run() -> None:
            ends.append(await websocket.run())

        nursery.start_soon(run)
        yield websocket, server, record, ends
        nursery.cancel_scope.cancel()
    await server.stream.aclose()
    if kind != "memory":
        sock.close()


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(HANG_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody is told
            await trio.sleep(0.001)
