"""The floor: the bare program that the bridge is measured against.

A measuring device, and no bridge: it does what none can leave out (HTTP and JSON parsed, a transaction of its own, ids
made integers again, a frame; the answer matched, its wide integers made strings, rendered) and nothing else. No limits,
checks, errors, keepalives: a frame over 64 KiB or a peer that reads slowly breaks it. It shares no code with the
bridge, so that no change of the bridge moves it.

    python -m bench.floor SHAPE JANUS_PORT    says "listening on http://127.0.0.1:PORT/mi"; SIGTERM ends it

SHAPE is ``inner``: one trio task that waits for one inner epoll and serves all that is ready in one turn; ``trio``: a
task a client; or ``epoll``: without trio, what Python itself costs.
"""

import os
import select
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import httptools
import orjson
import trio

SHAPES = ("inner", "trio", "epoll")
READ = 65_536
INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1

Answered = Callable[[bytes], None]


class Readable(Protocol):
    """What stands in the epoll."""

    def readable(self) -> bool:
        """Serve what can be read; False at its end."""


def frame(payload: bytes, key: bytes) -> bytes:
    """A masked text frame, of up to 64 KiB."""
    length = len(payload)
    head = bytes((0x81, 0x80 | length)) if length < 126 else b"\x81\xfe" + length.to_bytes(2, "big")
    mask = (key * (length // 4 + 1))[:length]
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")
    return head + key + masked.to_bytes(length, "little")


def unframe(data: bytes) -> tuple[list[bytes], bytes]:
    """The payloads of the whole frames, and what is left."""
    payloads, at, end = [], 0, len(data)
    while end - at >= 2:
        length, start = data[at + 1], at + 2
        if length == 126:
            length, start = data[at + 2] << 8 | data[at + 3], at + 4
        if start + length > end:
            break
        payloads.append(data[start : start + length])
        at = start + length
    return payloads, data[at:]


def widen(value: Any) -> Any:
    """Wide integers as strings, in place."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        kind = type(item)
        if kind is int:
            if not INT32_MIN <= item <= INT32_MAX:
                value[key] = str(item)
        elif kind is dict or kind is list:
            widen(item)
    return value


class Janus:
    """The connection to Janus, with one session, and what waits for its answers."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(
            b"GET /janus HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: janus-protocol\r\n\r\n"
        )
        assert b" 101 " in self.sock.recv(4096)
        self.sock.sendall(frame(b'{"janus":"create","transaction":"c"}', b"abcd"))
        self._session: int = orjson.loads(unframe(self.sock.recv(READ))[0][0])["data"]["id"]
        self.sock.setblocking(False)
        self._waiting: dict[str, tuple[Answered, Any, Any]] = {}
        self._count = 0
        self._rest = b""

    def ask(self, body: bytes, answered: Answered) -> None:
        """Send the command of a JSON-RPC request; ``answered`` gets the HTTP response."""
        request = orjson.loads(body)
        command = request["params"][1]
        if isinstance(command, str):
            command = orjson.loads(command)
        caller = command.get("transaction")
        self._count += 1
        transaction = f"jb.{self._count}"
        command["transaction"] = transaction
        command["session_id"] = self._session
        if "handle_id" in command:
            command["handle_id"] = int(command["handle_id"])
        self._waiting[transaction] = answered, request["id"], caller
        self.sock.send(frame(orjson.dumps(command), os.urandom(4)))

    def readable(self) -> bool:
        data = self.sock.recv(READ)
        if not data:
            raise SystemExit("Janus closed the connection")
        payloads, self._rest = unframe(self._rest + data)
        for payload in payloads:
            message = orjson.loads(payload)
            if message["janus"] == "ack":
                continue
            waiting = self._waiting.pop(message.get("transaction"), None)
            if waiting is not None:
                answered, identity, caller = waiting
                answered(_response(message, identity, caller))
        return True


def _response(message: dict[str, Any], identity: Any, caller: Any) -> bytes:
    if caller is None:
        del message["transaction"]
    else:
        message["transaction"] = caller
    body = b'{"jsonrpc":"2.0","result":%b,"id":%b}' % (orjson.dumps(widen(message)), orjson.dumps(identity))
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Requests:
    """The bodies of the requests in a stream of bytes."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._ready: list[bytes] = []

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self._ready.append(self._body)
        self._body = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Those that are whole now."""
        self._parser.feed_data(data)
        ready, self._ready = self._ready, []
        return ready


class Client:
    """A connection of the epoll."""

    def __init__(self, sock: socket.socket, janus: Janus) -> None:
        self.sock = sock
        self._janus = janus
        self._requests = Requests()

    def readable(self) -> bool:
        try:
            data = self.sock.recv(READ)
        except OSError:
            data = b""
        for body in self._requests.feed(data) if data else ():
            self._janus.ask(body, self._send)
        if not data:
            self.sock.close()
        return bool(data)

    def _send(self, response: bytes) -> None:
        with suppress(OSError):  # the client left
            self.sock.send(response)


class Poll:
    """All sockets in one epoll, served by callbacks."""

    def __init__(self, listener: socket.socket, janus: Janus) -> None:
        self.epoll = select.epoll()
        self._listener = listener
        self._janus = janus
        self._served: dict[int, Readable] = {}
        self._add(listener.fileno(), self)
        self._add(janus.sock.fileno(), janus)

    def _add(self, number: int, served: Readable) -> None:
        self._served[number] = served
        self.epoll.register(number, select.EPOLLIN)

    def readable(self) -> bool:
        sock = accept(self._listener)
        self._add(sock.fileno(), Client(sock, self._janus))
        return True

    def serve(self, seconds: float) -> None:
        """All that is ready, after waiting up to so long (-1: for ever)."""
        for number, _ in self.epoll.poll(seconds):
            if not self._served[number].readable():
                del self._served[number]  # closed, and so out of the epoll


def accept(listener: socket.socket) -> socket.socket:
    """A client's socket."""
    sock, _ = listener.accept()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def inner(listener: socket.socket, janus: Janus) -> None:
    """One task for all sockets."""
    poll = Poll(listener, janus)
    while True:
        await trio.lowlevel.wait_readable(poll.epoll.fileno())
        poll.serve(0)


async def tasks(listener: socket.socket, janus: Janus) -> None:
    """A task for each socket."""

    async def read() -> None:
        while True:
            await trio.lowlevel.wait_readable(janus.sock)
            janus.readable()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        while True:
            await trio.lowlevel.wait_readable(listener)
            nursery.start_soon(_converse, accept(listener), janus)


async def _converse(sock: socket.socket, janus: Janus) -> None:
    requests, me = Requests(), trio.lowlevel.current_task()
    response = b""

    def answered(data: bytes) -> None:
        nonlocal response
        response = data
        trio.lowlevel.reschedule(me)

    with sock:
        while True:
            await trio.lowlevel.wait_readable(sock)
            data = sock.recv(READ)
            if not data:
                return
            for body in requests.feed(data):
                janus.ask(body, answered)
                await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)
                sock.send(response)


def main(shape: str, port: int) -> None:
    """Serve until a signal ends the process."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    janus = Janus(port)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/mi", flush=True)
    if shape == "epoll":
        poll = Poll(listener, janus)
        while True:
            poll.serve(-1)
    trio.run(inner if shape == "inner" else tasks, listener, janus)


if __name__ == "__main__":
    _, shape_, port_ = sys.argv
    if shape_ not in SHAPES:
        sys.exit(f"SHAPE is one of {', '.join(SHAPES)}")
    main(shape_, int(port_))
