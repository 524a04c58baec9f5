"""Commands straight to Janus, by a bare socket and by trio-websocket: what others are compared with.

Owns the two callers. The bare socket is the least that a command can take; trio-websocket is used by its public API,
as a program that needs no bridge would use it.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
import trio_websocket

from bench.bed import EXISTS, Janus
from bridge.protocol.janus import SUBPROTOCOL

PLUGIN = "janus.plugin.videoroom"


@contextmanager
def bare_socket(janus: Janus) -> Iterator[Callable[[], None]]:
    """A function that asks once and waits for the answer, over a WebSocket without any library."""
    with socket.create_connection(("127.0.0.1", janus.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = (
            "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
        )
        sock.sendall(f"GET /janus HTTP/1.1\r\n{headers}\r\n".encode())
        assert b" 101 " in sock.recv(4096)

        def ask(message: dict[str, Any]) -> Any:
            sock.sendall(_frame(json.dumps({**message, "transaction": "t"}).encode()))
            data = sock.recv(65_536)
            return json.loads(data[4:] if data[1] == 126 else data[2:])

        session = ask({"janus": "create"})["data"]["id"]
        attached = ask({"janus": "attach", "session_id": session, "plugin": PLUGIN})
        frame = _frame(json.dumps(_command(session, attached["data"]["id"])).encode())

        def once() -> None:
            sock.sendall(frame)
            sock.recv(65_536)

        yield once


def _command(session: int, handle: int) -> dict[str, Any]:
    return {"janus": "message", "session_id": session, "handle_id": handle, "body": EXISTS, "transaction": "t"}


def _frame(payload: bytes) -> bytes:
    """A masked text frame; the mask is zero."""
    assert len(payload) < 65_536
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + payload


async def one_after_the_other(janus: Janus, calls: int) -> list[float]:
    """Seconds of each of so many commands over trio-websocket."""
    async with _Session(janus) as (socket_, message):
        times = []
        for _ in range(calls):
            begun = time.perf_counter()
            await socket_.send_message(json.dumps(message))
            json.loads(await socket_.get_message())
            times.append(time.perf_counter() - begun)
        return times


async def pipelined(janus: Janus, seconds: float = 3.0, callers: int = 64) -> float:
    """Commands/s of ``callers`` tasks over trio-websocket, answers read by one task."""
    answered = 0
    async with _Session(janus) as (socket_, message), trio.open_nursery() as nursery:
        slots = trio.Semaphore(callers)
        text = json.dumps(message)

        async def call() -> None:
            while True:
                await slots.acquire()
                await socket_.send_message(text)

        for _ in range(callers):
            nursery.start_soon(call)
        end = trio.current_time() + seconds
        while trio.current_time() < end:
            json.loads(await socket_.get_message())
            answered += 1
            slots.release()
        nursery.cancel_scope.cancel()
    return answered / seconds


class _Session:
    """A WebSocket by trio-websocket, with a session and a handle."""

    def __init__(self, janus: Janus) -> None:
        url = f"ws://127.0.0.1:{janus.port}/janus"
        self._opening = trio_websocket.open_websocket_url(url, subprotocols=[SUBPROTOCOL])

    async def __aenter__(self) -> tuple[Any, dict[str, Any]]:
        socket_ = await self._opening.__aenter__()

        async def ask(message: dict[str, Any]) -> Any:
            await socket_.send_message(json.dumps({**message, "transaction": "t"}))
            return json.loads(await socket_.get_message())

        session = (await ask({"janus": "create"}))["data"]["id"]
        attached = await ask({"janus": "attach", "session_id": session, "plugin": PLUGIN})
        return socket_, _command(session, attached["data"]["id"])

    async def __aexit__(self, *exc: Any) -> None:
        await self._opening.__aexit__(*exc)
