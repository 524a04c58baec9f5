"""How requests reach the bridge: HTTP with and without keep-alive, a datagram, callers who leave.

Knows bytes and sockets; nothing of what is asked.
"""

import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import trio

from tests.support import mi_client
from tests.support.deadlines import HANG_SECONDS
from tests.support.http_peer import Client, post

SECONDS = HANG_SECONDS  # for any answer: far beyond every time limit that a run uses
_LARGEST = 65535


def request_bytes(method: str, params: Any, number: int | None) -> bytes:
    """A JSON-RPC request; without a number a notification."""
    body = {"jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(body if number is None else {**body, "id": number}).encode()


async def ask_http(url: str, body: bytes) -> Any:
    """The answer, over a connection of its own; None for a notification."""
    status, _, answer = await mi_client.post(url, body)
    return None if status == 202 else json.loads(answer)


async def ask_datagram(path: Path, body: bytes) -> Any:
    """The answer, over a unix datagram socket of its own."""
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    plain.bind("")  # an abstract name; trio stumbles over it
    with trio.socket.from_stdlib_socket(plain) as client, trio.fail_after(SECONDS):
        await client.connect(os.fspath(path))
        await client.send(body)
        return json.loads(await client.recv(_LARGEST))


async def leave_http(url: str, body: bytes) -> None:
    """Ask, and reset the connection without waiting."""
    client = Client(await _connect(url))
    await client.send(post(body))
    await trio.lowlevel.checkpoint()
    client.reset()


class KeptAlive:
    """One connection for many requests, one at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None

    async def ask(self, body: bytes) -> Any:
        """The answer."""
        if self._client is None:
            self._client = Client(await _connect(self._url))
        return json.loads((await self._client.ask(post(body))).body)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._client is not None:
            await trio.aclose_forcefully(self._client.stream)


async def _connect(url: str) -> trio.SocketStream:
    where = urlsplit(url)
    return await trio.open_tcp_stream(str(where.hostname), where.port or 80)
