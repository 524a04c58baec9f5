"""A scripted Janus for faults that the real one cannot be made to show: silence, lies, garbage, impossible answers.

Without a script it answers as Janus does (create, claim, keepalive, attach, message ...), so that a test writes down
only what is wrong. Where the real Janus can show it, use the real one (janus.py).
"""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from enum import Enum
from itertools import count
from typing import Any, TypeAlias

import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, TextMessage

from tests.support.frames import CLOSE, TEXT, accept_key, frame
from tests.support.groups import unwrapped

Message: TypeAlias = dict[str, Any]
Reply: TypeAlias = Message | bytes  # a message of Janus, or raw bytes for the wire (see frames.py)
Script: TypeAlias = Callable[[Message], Iterable[Reply]]
Stream: TypeAlias = trio.SocketStream | trio.SSLStream[trio.SocketStream]

SILENCE: tuple[Reply, ...] = ()


class Greeting(Enum):
    """What a client meets that connects."""

    UPGRADE = "101, as Janus answers"
    SILENCE = "accepted, and not a byte"
    CLOSE = "accepted and closed at once"
    CLOSE_AFTER_REQUEST = "closed without an answer to the upgrade, as Janus does for a wrong sub-protocol"
    HTTP_ERROR = "HTTP 503 with a body"
    REDIRECT = "HTTP 302"
    HALF = "the first half of a 101, then silence"
    NO_SUBPROTOCOL = "101 without Sec-WebSocket-Protocol"
    WRONG_SUBPROTOCOL = "101 with one that was not offered"
    WRONG_KEY = "101 with a wrong Sec-WebSocket-Accept"
    GARBAGE = "bytes that are no HTTP"
    UPGRADE_THEN_CLOSE = "101 and closed at once"


class Peer:
    """One connection of a client."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._writing = trio.Lock()
        self.closed = trio.Event()

    async def send(self, *replies: Reply) -> None:
        """Send messages as text frames and bytes as they are; to a client that has gone: nothing."""
        wire = b"".join(
            reply if isinstance(reply, bytes) else frame(TEXT, json.dumps(reply).encode()) for reply in replies
        )
        try:
            async with self._writing:
                await self._stream.send_all(wire)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.closed.set()

    async def close(self, code: int = 1000) -> None:
        """Start a WebSocket close handshake."""
        await self.send(frame(CLOSE, code.to_bytes(2, "big")))

    async def drop(self) -> None:
        """Close the socket without a close frame, as Janus does when it ends."""
        await trio.aclose_forcefully(self._stream)


class FakeJanus:
    """Made by open_fake_janus(). Change ``greeting``, ``script`` and ``answer_pings`` at any time."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self.greeting = Greeting.UPGRADE
        self.script: dict[str, Script] = {}  # by verb; what stands here replaces the default answer
        self.answer_pings = True  # WebSocket pings
        self.sessions: set[int] = set()
        self.received: list[Message] = []
        self.pings = 0
        self.peers: list[Peer] = []  # upgraded connections, open and ended, oldest first
        self.connects = 0  # TCP connections accepted
        self._ids = count(1_000_001)
        self._changed = trio.Condition()
        self._nursery = nursery

    def __repr__(self) -> str:
        return f"<FakeJanus {self.url} {self.greeting.name}>"

    @property
    def url(self) -> str:
        return f"{'januswss' if self.tls else 'janusws'}://127.0.0.1:{self.port}/janus"

    @property
    def peer(self) -> Peer:
        """The newest upgraded connection that is open; where none is, the newest."""
        return next((peer for peer in reversed(self.peers) if not peer.closed.is_set()), self.peers[-1])

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until this is true; it is looked at whenever a connection or a message has arrived."""
        async with self._changed:
            while not holds():
                await self._changed.wait()

    async def wait_request(self, verb: str, number: int = 1) -> Message:
        """The number-th request with this verb since the start."""
        matching: list[Message] = []

        def arrived() -> bool:
            matching[:] = [message for message in self.received if message.get("janus") == verb]
            return len(matching) >= number

        await self.wait_until(arrived)
        return matching[number - 1]

    def hold(self, verb: str) -> list[Message]:
        """Answer requests with this verb by nothing from now on; the list has those that came."""
        held: list[Message] = []

        def keep(request: Message) -> Iterable[Reply]:
            held.append(request)
            return SILENCE

        self.script[verb] = keep
        return held

    async def push(self, *replies: Reply) -> None:
        """Send unasked, over ``peer``."""
        await self.peer.send(*replies)

    def answer(self, request: Message) -> Iterable[Reply]:
        """What Janus answers: the default for scripts that want to differ only sometimes."""
        verb, session = request.get("janus"), request.get("session_id")
        if verb == "ping":
            return [reply(request, "pong")]
        if verb == "info":
            return [reply(request, "server_info", name="fake", **{"session-timeout": 60, "reclaim-session-timeout": 0})]
        if verb == "create":
            session = request.get("id") or next(self._ids)
            self.sessions.add(session)
            return [reply(request, "success", data={"id": session})]
        if session not in self.sessions:
            return [error(request, 458, f"No such session {session}")]
        if verb in ("keepalive", "trickle"):
            return [reply(request, "ack")]
        if verb in ("claim", "destroy", "detach", "hangup"):
            if verb == "destroy":
                self.sessions.discard(session)
            return [reply(request, "success")]
        if verb == "attach":
            return [reply(request, "success", data={"id": next(self._ids)})]
        if verb == "message":
            echo = {"plugin": "janus.plugin.fake", "data": {"echo": request.get("body")}}
            return [reply(request, "success", sender=request.get("handle_id"), plugindata=echo)]
        return [error(request, 453, f"Unknown request '{verb}'")]

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, tcp: trio.SocketStream) -> None:
        self.connects += 1
        await self._notify()
        stream: Stream = trio.SSLStream(tcp, self.tls, server_side=True) if self.tls else tcp
        try:
            if await self._greet(stream):
                await self._talk(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _greet(self, stream: Stream) -> bool:
        """Whether a conversation may follow."""
        greeting = self.greeting
        if greeting is Greeting.CLOSE:
            return False
        if greeting is Greeting.SILENCE:
            return await _read_for_ever(stream)
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = await stream.receive_some()
            if not chunk:
                return False
            head += chunk
        if greeting is Greeting.CLOSE_AFTER_REQUEST:
            return False
        await stream.send_all(_response(greeting, head))
        if greeting is Greeting.HALF:
            return await _read_for_ever(stream)
        return greeting in (Greeting.UPGRADE, Greeting.NO_SUBPROTOCOL, Greeting.WRONG_SUBPROTOCOL, Greeting.WRONG_KEY)

    async def _talk(self, stream: Stream) -> None:
        peer = Peer(stream)
        self.peers.append(peer)
        await self._notify()
        decoder = Connection(ConnectionType.SERVER)
        text = ""
        try:
            while True:
                chunk = await stream.receive_some()
                decoder.receive_data(bytes(chunk) or None)
                for event in decoder.events():
                    if isinstance(event, TextMessage):
                        text += event.data
                        if event.message_finished:
                            await self._react(peer, json.loads(text))
                            text = ""
                    elif isinstance(event, Ping):
                        self.pings += 1
                        if self.answer_pings:
                            await peer.send(decoder.send(event.response()))
                    elif isinstance(event, CloseConnection):
                        if chunk:
                            await peer.send(decoder.send(event.response()))
                        return
        finally:
            peer.closed.set()

    async def _react(self, peer: Peer, request: Message) -> None:
        self.received.append(request)
        script = self.script.get(str(request.get("janus")), self.answer)
        await peer.send(*script(request))
        await self._notify()


def reply(request: Message, janus: str, **members: Any) -> Message:
    """A message of Janus with the transaction and the session of this request."""
    session = {"session_id": request["session_id"]} if "session_id" in request else {}
    return {"janus": janus, **session, "transaction": request.get("transaction"), **members}


def error(request: Message, code: int, reason: str) -> Message:
    return reply(request, "error", error={"code": code, "reason": reason})


async def _read_for_ever(stream: Stream) -> bool:
    while await stream.receive_some():
        pass
    return False


def _response(greeting: Greeting, request: bytes) -> bytes:
    if greeting is Greeting.HTTP_ERROR:
        return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nbusy\n"
    if greeting is Greeting.REDIRECT:
        return b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    if greeting is Greeting.GARBAGE:
        return b"\x00\xffSSH-2.0-nothing of that kind\r\n\r\n"
    headers = dict(line.split(": ", 1) for line in request.decode("latin-1").split("\r\n")[1:] if line)
    key = next(value for name, value in headers.items() if name.lower() == "sec-websocket-key")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: WebSocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key('wrong' if greeting is Greeting.WRONG_KEY else key)}",
    ]
    if greeting is Greeting.WRONG_SUBPROTOCOL:
        lines.append("Sec-WebSocket-Protocol: janus-admin-protocol")
    elif greeting is not Greeting.NO_SUBPROTOCOL:
        lines.append("Sec-WebSocket-Protocol: janus-protocol")
    whole = ("\r\n".join(lines) + "\r\n\r\n").encode()
    return whole[: len(whole) // 2] if greeting is Greeting.HALF else whole


@asynccontextmanager
async def open_fake_janus(*, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[FakeJanus]:
    """A FakeJanus that listens when the block is entered and is gone, with all connections, after it."""
    with unwrapped():
        async with trio.open_nursery() as nursery:
            fake = FakeJanus(nursery)
            fake.tls = tls
            listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
            fake.port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, fake._serve, listeners)
            yield fake
            nursery.cancel_scope.cancel()
