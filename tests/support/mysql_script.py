"""A MySQL server that follows a script: what it says after each packet of the client, and what it heard.

Owns the server's side of the connection phase. For what no real server does, and for MySQL 8, which Debian has not.
Authority: MySQL Internals, "Connection Phase Packets".
"""

import functools
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

NONCE = b"twentybyteslongnonce"
_CAPABILITIES = 0x000FF7DF  # without TLS; with the plugin's name in the greeting
_SSL = 0x00000800


def packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number % 256]) + body


def greeting(plugin: str, *, tls: bool = False) -> bytes:
    """The server's first packet; ``plugin`` is the one that it proposes."""
    capabilities = _CAPABILITIES | (_SSL if tls else 0)
    head = struct.pack("<I8sxHBHHB10x", 7, NONCE[:8], capabilities & 0xFFFF, 255, 2, capabilities >> 16, 21)
    return b"\x0a8.4.0\0" + head + NONCE[8:] + b"\0" + plugin.encode() + b"\0"


def switch(plugin: str, data: bytes = NONCE + b"\0") -> bytes:
    """The server wants this plugin."""
    return b"\xfe" + plugin.encode() + b"\0" + data


def error(code: int, text: str) -> bytes:
    return b"\xff" + struct.pack("<H", code) + b"#42000" + text.encode()


LET_IN = b"\0\0\0\2\0\0\0"  # an OK packet


def eof() -> bytes:
    """The end of columns, or of rows."""
    return b"\xfe\0\0\2\0"


def column(name: str) -> bytes:
    """The description of a column of text."""
    texts = ("def", "d", "t", "t", name, name)
    head = b"".join(bytes([len(text)]) + text.encode() for text in texts)
    return head + struct.pack("<BHIBHBxx", 12, 45, 255, 253, 0, 0)


class ScriptedServer:
    """``steps`` are sent one by one, each after a packet of the client; a step may be several packets. ``heard``: the
    bodies of the client's packets.

    With ``tls`` it offers TLS and goes on in it.
    """

    def __init__(
        self, plugin: str, steps: Sequence[bytes | Sequence[bytes]], tls: ssl.SSLContext | None = None
    ) -> None:
        self._greeting = greeting(plugin, tls=tls is not None)
        self._steps = steps
        self._tls = tls
        self.heard: list[bytes] = []

    async def serve(self, plain: trio.SocketStream) -> None:
        await plain.send_all(packet(0, self._greeting))
        stream: trio.abc.Stream = plain
        try:
            if self._tls is not None:
                await _receive(stream)
                stream = trio.SSLStream(plain, self._tls, server_side=True)
            number, body = await _receive(stream)
            for step in self._steps:
                self.heard.append(body)
                bodies = [step] if isinstance(step, bytes) else step
                for place, sent in enumerate(bodies, number + 1):
                    await stream.send_all(packet(place, sent))
                number, body = await _receive(stream)
            self.heard.append(body)
            await self.after(stream)
        except (EOFError, trio.BrokenResourceError):
            pass

    async def after(self, stream: trio.abc.Stream) -> None:
        """What it does once every step was sent and something more was heard."""

    @asynccontextmanager
    async def on_tcp(self) -> AsyncIterator[int]:
        """Its port on 127.0.0.1."""
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(functools.partial(trio.serve_listeners, self.serve, [listener]))
            yield listener.socket.getsockname()[1]
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def on_unix(self, path: str) -> AsyncIterator[str]:
        """On a unix socket."""
        sock = trio.socket.socket(trio.socket.AF_UNIX)
        await sock.bind(path)
        sock.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(trio.serve_listeners, self.serve, [trio.SocketListener(sock)]))
            yield path
            nursery.cancel_scope.cancel()


async def _receive(stream: trio.abc.Stream) -> tuple[int, bytes]:
    """The number and the body of one packet. Raises EOFError."""

    async def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await stream.receive_some(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    head = await exactly(4)
    return head[3], await exactly(int.from_bytes(head[:3], "little"))
