"""Both ends of HTTP for tests of the server: MI served on a free port, and a client that reads answers strictly."""

import re
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import trio

from bridge.protocol.budget import Budget
from bridge.protocol.jsonrpc import Abandon, Dispatch, Refused, TakeAnswer
from bridge.transport.http_access import Access
from bridge.transport.http_ends import HttpLimits
from bridge.transport.http_listener import open_listeners
from bridge.transport.http_server import HttpServer
from bridge.transport.mi_http import Page
from tests.support.batches import serve_http
from tests.support.deadlines import HANG_SECONDS

SECONDS = HANG_SECONDS  # for whatever should happen at once
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z' -]+")
_HEADER = re.compile(rb"((?:[A-Z][a-z]*|WWW)(?:-[A-Z][a-z]*)*): ([ -~]+)")


class Answer(NamedTuple):
    """``headers`` in their order and spelling."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that may be there once."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, self.headers
        return values[0] if values else None


def split_answer(received: bytes, method: str = "POST") -> tuple[Answer, bytes] | None:
    """The first answer and what follows it; None if it is not complete. Fails for what is no well-formed answer."""
    head, blank, rest = received.partition(b"\r\n\r\n")
    if not blank:
        return None
    first, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    assert status, first
    if status[1] == b"100":
        assert not lines, lines
        return Answer(100, [], b""), rest
    headers = []
    for line in lines:
        parts = _HEADER.fullmatch(line)
        assert parts, line
        headers.append((parts[1].decode(), parts[2].decode()))
    answer = Answer(int(status[1]), headers, b"")
    length = answer.header("Content-Length")
    assert length is not None, head
    assert answer.header("Date"), head
    assert answer.header("Content-Type"), head
    size = 0 if method == "HEAD" else int(length)
    return None if len(rest) < size else (answer._replace(body=rest[:size]), rest[size:])


def split_answers(received: bytes, method: str = "POST") -> list[Answer]:
    """All answers of a connection. Fails if the last one is not complete."""
    answers = []
    while received:
        split = split_answer(received, method)
        assert split is not None, received
        answer, received = split
        answers.append(answer)
    return answers


class Client:
    """A connection over which raw bytes go out. ``await client.answer()`` takes the next answer."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._received = b""

    async def send(self, data: bytes) -> None:
        """Send as it is."""
        await self.stream.send_all(data)

    async def answer(self, method: str = "POST") -> Answer:
        """The next answer, which has to come soon and whole."""
        with trio.fail_after(SECONDS):
            while (split := split_answer(self._received, method)) is None:
                data = await self.stream.receive_some()
                assert data, f"closed after {self._received!r}"
                self._received += data
        answer, self._received = split
        return answer

    async def ask(self, data: bytes) -> Answer:
        """Send and take one answer."""
        await self.send(data)
        return await self.answer()

    def reset(self) -> None:
        """Close with a reset."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.stream.socket.close()

    async def rest(self, seconds: float = SECONDS) -> bytes:
        """What comes until the server closes."""
        with trio.fail_after(seconds):
            try:
                while data := await self.stream.receive_some():
                    self._received += data
            except trio.BrokenResourceError:
                pass  # a reset is an end, too
        return self._received

    async def closed(self, seconds: float = SECONDS) -> bool:
        """Whether the server closes without another byte."""
        return await self.rest(seconds) == b""


class Slow:
    """A dispatch that answers when told to. ``asked`` has the bodies in their order, ``left`` the cancelled ones."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.left: list[bytes] = []
        self._waiting: list[Callable[[], None]] | None = []  # None: nothing waits any more
        self._news = trio.Event()

    def dispatch(self, body: bytes, _caller: object, answer: TakeAnswer) -> Abandon | None:
        """As ``jsonrpc.Dispatch``."""
        self.asked.append(body)
        self._tell()
        go = partial(answer, b"late " + body)
        if self._waiting is None:
            go()
            return None
        self._waiting.append(go)
        return partial(self._leave, body, go)

    def _leave(self, body: bytes, go: Callable[[], None]) -> None:
        if self._waiting is not None and go in self._waiting:
            self._waiting.remove(go)
            self.left.append(body)
            self._tell()

    def go(self) -> None:
        """Answer what was asked, and everything from now on at once."""
        waiting, self._waiting = self._waiting or [], None
        for go in waiting:
            go()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something true of ``asked`` or ``left``."""
        with trio.fail_after(SECONDS):
            while not condition():
                await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


def echo(body: bytes, _caller: object, answer: TakeAnswer) -> None:
    """A dispatch that answers at once; a body "notify" is a notification."""
    answer(None if body == b"notify" else b"<" + body + b">")


class Served:
    """``http`` is the server; its clients live as long as it does."""

    def __init__(self, http: HttpServer, nursery: trio.Nursery) -> None:
        self.http = http
        host, _, port = http.addresses[0].rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)
        self._nursery = nursery

    async def connect(self) -> Client:
        """A new connection."""
        return self.keep(await trio.open_tcp_stream(self.host, self.port))

    def connect_and_send(self, data: bytes) -> Client:
        """A new connection with bytes that are there before the server has its turn: no limit of its comes first."""
        sock = socket.create_connection((self.host, self.port))
        sock.sendall(data)
        return self.keep(trio.SocketStream(trio.socket.from_stdlib_socket(sock)))

    async def until(self, connections: int) -> None:
        """Wait until the server has no more connections than that."""
        with trio.fail_after(SECONDS):
            while self.http.connections > connections:  # noqa: ASYNC110 - the server has no event for it
                await trio.sleep(0.005)

    async def has(self, connections: int) -> None:
        """Wait until the server has so many connections."""
        with trio.fail_after(SECONDS):
            while self.http.connections != connections:  # noqa: ASYNC110 - the server has no event for it
                await trio.sleep(0.005)

    def keep_in(self, nursery: trio.Nursery) -> None:
        """Let further clients live as long as another nursery."""
        self._nursery = nursery

    def keep(self, stream: trio.abc.Stream) -> Client:
        """A client on a stream that is closed at the end of the test."""
        self._nursery.start_soon(_close_at_the_end, stream)
        return Client(stream)


async def _close_at_the_end(stream: trio.abc.Stream) -> None:
    try:
        await trio.sleep_forever()
    finally:
        await trio.aclose_forcefully(stream)


async def serve(
    nursery: trio.Nursery,
    dispatch: Dispatch = echo,
    access: Access | None = None,
    *,
    address: str = "127.0.0.1:0",
    root: str = "mi",
    limits: HttpLimits | None = None,
    pages: Mapping[str, Page] | None = None,
    tls: ssl.SSLContext | None = None,
    pending: Budget | None = None,
    refused: Refused = lambda who, reason: None,
) -> Served:
    """Serve MI on a free port until the nursery is cancelled."""
    start = partial(
        serve_http,
        await open_listeners(address, tls),
        dispatch,
        access or Access(),
        root=root,
        limits=limits or HttpLimits(),
        pages=pages,
        pending=pending,
        refused=refused,
    )
    server: HttpServer = await nursery.start(start)
    return Served(server, nursery)


def post(body: bytes = b"{}", *headers: str, path: str = "/mi", version: str = "1.1", host: str = "127.0.0.1") -> bytes:
    """A request as MI wants it, with further header lines."""
    lines = [f"POST {path} HTTP/{version}", f"Host: {host}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
