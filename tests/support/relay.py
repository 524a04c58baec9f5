"""A TCP relay in front of a server: the network between bridge and Janus, in the hand of the test.

Faults act on whole connections, between two chunks. Nothing here knows WebSocket or Janus.
"""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

import trio

from tests.support.groups import unwrapped

_CHUNK = 65536
_FIN_SECONDS = 1.0  # for the client to answer our FIN with its own


class _End(Enum):
    ITSELF = "by one of its ends"
    FIN = "fin"
    RST = "rst"


@dataclass(eq=False, slots=True)
class _Connection:
    client: trio.SocketStream
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    over: trio.Event = field(default_factory=trio.Event)
    end: _End = _End.ITSELF
    keep_server_side: bool = False
    forgotten: bool = False


class _Gate:
    """Lets pass while open."""

    def __init__(self) -> None:
        self._opened = trio.Event()
        self._opened.set()

    async def passage(self) -> None:
        await self._opened.wait()

    def close(self) -> None:
        if self._opened.is_set():
            self._opened = trio.Event()

    def open(self) -> None:
        self._opened.set()


class Relay:
    """Made by open_relay(). ``url`` goes into the table in place of the server's own."""

    def __init__(self, nursery: trio.Nursery, target: int, receive_buffer: int | None) -> None:
        self.port = 0
        self.delay = 0.0  # seconds that every chunk waits before it goes on, in both directions
        self._nursery = nursery
        self._target = target
        self._receive_buffer = receive_buffer
        self._listening: trio.CancelScope | None = None
        self._closed = trio.Event()
        self._connections: set[_Connection] = set()
        self._up, self._down = _Gate(), _Gate()
        self._kept: list[trio.SocketStream] = []

    def __repr__(self) -> str:
        return f"<Relay {self.port} -> {self._target}, {self.open_connections} open>"

    @property
    def url(self) -> str:
        return f"janusws://127.0.0.1:{self.port}/janus"

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def retarget(self, port: int) -> None:
        """Connections from now on lead to another server; those that are open stay where they are."""
        self._target = port

    def black_hole(self, *, up: bool = True, down: bool = True) -> None:
        """Forward nothing more, to the server (up) or from it (down), on old and new connections; keep all open.

        Nothing is read either, so that the sender's buffers fill as they do when a network no longer acknowledges.
        """
        if up:
            self._up.close()
        if down:
            self._down.close()

    def forget(self) -> None:
        """Forward nothing more on the connections that are open, as a middlebox that lost them; new ones work."""
        for connection in self._connections:
            connection.forgotten = True

    def resume(self) -> None:
        """Forward again, first what was held back."""
        self._up.open()
        self._down.open()

    async def refuse(self) -> None:
        """Close the listening port: new connects are refused, old connections live on."""
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
            await self._closed.wait()

    async def accept(self) -> None:
        """Listen again, on the same port."""
        if self._listening is None:
            await self._nursery.start(self._listen)

    async def cut(self, *, keep_server_side: bool = False) -> None:
        """End all connections towards the client with a FIN, and return when they are over.

        ``keep_server_side``: the server is told nothing before this relay is closed, as when a middlebox lost the path.
        """
        await self._end_all(_End.FIN, keep_server_side)

    async def reset(self, *, keep_server_side: bool = False) -> None:
        """As cut(), with a RST."""
        await self._end_all(_End.RST, keep_server_side)

    async def _end_all(self, end: _End, keep_server_side: bool) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.end, connection.keep_server_side = end, keep_server_side
            connection.scope.cancel()
        for connection in connections:
            await connection.over.wait()

    async def _listen(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._closed = trio.Event()
        with trio.socket.socket() as listener, trio.CancelScope() as self._listening:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._receive_buffer is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            await listener.bind(("127.0.0.1", self.port))
            listener.listen(128)
            self.port = listener.getsockname()[1]
            task_status.started()
            while True:
                accepted, _ = await listener.accept()
                self._nursery.start_soon(self._serve, trio.SocketStream(accepted))
        self._closed.set()

    async def _serve(self, client: trio.SocketStream) -> None:
        connection = _Connection(client)
        self._connections.add(connection)
        server: trio.SocketStream | None = None
        try:
            with connection.scope:
                server = await trio.open_tcp_stream("127.0.0.1", self._target)
                async with trio.open_nursery() as pumps:
                    pumps.start_soon(self._pump, connection, client, server, self._up)
                    pumps.start_soon(self._pump, connection, server, client, self._down)
        except* (OSError, trio.BrokenResourceError):
            connection.end = _End.RST  # one end broke, or the server refused: so shall the other see it
        finally:
            with trio.CancelScope(shield=True):
                await self._close(connection, server)
            self._connections.discard(connection)
            connection.over.set()

    async def _pump(
        self, connection: _Connection, source: trio.SocketStream, destination: trio.SocketStream, gate: _Gate
    ) -> None:
        while True:
            await gate.passage()
            chunk = await source.receive_some(_CHUNK)
            await gate.passage()  # it may have been closed while we waited
            if connection.forgotten:
                await trio.sleep_forever()
            if self.delay:
                await trio.sleep(self.delay)
            if not chunk:
                await destination.send_eof()
                return
            await destination.send_all(chunk)

    async def _close(self, connection: _Connection, server: trio.SocketStream | None) -> None:
        client = connection.client
        with trio.move_on_after(_FIN_SECONDS):
            if connection.end is _End.RST:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif connection.end is _End.FIN:
                try:
                    await client.send_eof()
                    while await client.receive_some(_CHUNK):  # closing with unread bytes would make it a RST
                        pass
                except trio.BrokenResourceError:
                    pass
        await trio.aclose_forcefully(client)
        if server is not None and connection.keep_server_side:
            self._kept.append(server)
        elif server is not None:
            await trio.aclose_forcefully(server)

    async def _release(self) -> None:
        for server in self._kept:
            await trio.aclose_forcefully(server)


@asynccontextmanager
async def open_relay(target: int, *, receive_buffer: int | None = None) -> AsyncIterator[Relay]:
    """A relay to a port of 127.0.0.1, listening when the block is entered, gone with all its connections after it.

    ``receive_buffer``: SO_RCVBUF in bytes on the client's side; a small one makes a black hole stall the sender sooner.
    """
    with unwrapped():
        async with trio.open_nursery() as nursery:
            relay = Relay(nursery, target, receive_buffer)
            await relay.accept()
            try:
                yield relay
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await relay._release()
