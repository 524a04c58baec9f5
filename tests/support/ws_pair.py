"""A JanusWebSocket and its other end, over memory or a pair of sockets."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.testing
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong, Request, TextMessage

from bridge.protocol.janus_url import JanusUrl
from bridge.transport.direct_stream import direct
from bridge.transport.janus_ws import JanusWebSocket
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.deadlines import in_time

URL = JanusUrl.parse("ws://janus.example:1234/janus?key=1")


@dataclass
class Record:
    """What was reported."""

    texts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    frames: int = 0
    stalls: int = 0

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
        await server.accepted.wait()

        async def run() -> None:
            ends.append(await websocket.read_forever())

        nursery.start_soon(run)
        nursery.start_soon(websocket.flush_forever)
        yield websocket, server, record, ends
        nursery.cancel_scope.cancel()


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def until(condition: Callable[[], object]) -> None:
    with in_time(5):
        while not condition():  # noqa: ASYNC110 - nobody is told
            await trio.sleep(0.001)
