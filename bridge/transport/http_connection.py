"""One connection of an HTTP client, from its first byte to its last.

Owns the conversation: keep-alive, answers in the order of the requests, ``100 Continue``, who may take how long, and
the close. Must not know routes, other connections or listeners. Authority: RFC 9112 (9.3 persistence, 9.6 close).

One task, no nursery and no timer: the server looks at ``deadline`` now and then, which costs a request nothing
(moving the deadline of a trio cancel scope three times costs it a quarter of its time). One cancel scope for all of it:
a client that is too slow, or has gone, has nothing more to be told.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeAlias

import trio

from bridge.protocol.budget import Holding
from bridge.transport.direct_stream import DirectStream
from bridge.transport.http_hangup import HangupWatch
from bridge.transport.http_messages import CONTINUE, HttpRequest, Reply, refuse, render
from bridge.transport.http_parser import READ_SIZE, Phase, RequestParser
from bridge.transport.ration import Ration

_SMALL: Final = 4096  # bytes of a read that needs no ration
Stream: TypeAlias = DirectStream | trio.SSLStream[trio.SocketStream]


_WAITING = 1024  # bytes that a request takes beside its body while it waits behind another one
_NO_ROOM = refuse(503, "Too many bytes pending", close=True, headers=b"Retry-After: 1\r\n")


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What a client may take. Times in seconds, sizes in bytes."""

    max_body: int = 1 << 20
    max_connections: int = 2048  # of a server, all its listeners together
    max_of_client: int = 1024  # of these: protocol.caller says who is one client
    head: float = 10.0  # for a request's head, a TLS handshake, and the first bytes of a new connection
    body: float = 30.0
    idle: float = 120.0  # between requests
    write: float = 10.0  # for the client to take an answer
    linger: float = 2.0  # for the client to close after us


class HttpHandler(Protocol):
    """What is behind the connections."""

    def admit(self, request: HttpRequest) -> Reply | None:
        """Look at a head before the body is read: None to go on, or a refusal."""

    def refused(self, request: HttpRequest, reply: Reply) -> None:
        """A request gets this without ``respond``: its head or its framing, or ``admit`` said so."""

    async def respond(self, request: HttpRequest) -> Reply:
        """Answer a whole request. May take its time, and is cancelled when the client has gone; must not raise."""


class _Activity(Enum):
    READING = "waiting for the client"
    RESPONDING = "waiting for the answer"
    WRITING = "handing over the answer"


class HttpConnection:
    """``deadline`` (trio clock) is when the client's time is up, infinite while it waits for us; then its owner calls
    ``end``. ``run`` may be called once.
    """

    def __init__(
        self,
        stream: Stream,
        peer: str,
        service: HttpHandler,
        limits: HttpLimits,
        hangups: HangupWatch,
        held: Holding,
        ration: Ration,
    ) -> None:
        """``peer`` is the client's address without a port. The stream stays the caller's to close by force.

        ``held`` is for what waits here: for the rest of a body, behind another request, or for the client to take it.
        What is being answered holds for itself. ``ration`` is what all connections share of a turn of the event loop.
        """
        self.held = held
        self.deadline = trio.current_time() + limits.head
        self._stream = stream
        self._service = service
        self._limits = limits
        self._hangups = hangups
        self._ration = ration
        self._patience = {
            Phase.IDLE: limits.idle,
            Phase.HEAD: limits.head,
            Phase.BODY: limits.body,
        }
        secure = isinstance(stream, trio.SSLStream)
        self._parser = RequestParser(service.admit, peer, limits.max_body, secure=secure)
        self._phase = Phase.IDLE
        self._state = _Activity.READING
        self._scope = trio.CancelScope()
        self._gone = False
        self._last = False
        self._refused = False

    async def run(self) -> None:
        """Serve until one side ends it. Nothing that the client does makes it raise."""
        try:
            with self._scope:
                if isinstance(self._stream, trio.SSLStream):
                    await self._stream.do_handshake()
                with self._hangups.watching(_fileno(self._stream), self._on_hangup):
                    await self._converse()
                await self._close()
        except trio.BrokenResourceError:
            pass  # reset, or no TLS: there is nobody to be told
        finally:
            self.held.release()

    def end(self) -> None:
        """Drop it, whatever it is doing."""
        self.deadline = math.inf
        self._scope.cancel()

    def shed(self) -> None:
        """Drop it for the bytes that it holds: others need them, and it is slow."""
        if self._state is _Activity.READING and isinstance(self._stream, DirectStream):
            with suppress(trio.BrokenResourceError):
                self._stream.try_send(render(_NO_ROOM, HttpRequest(""), keep_alive=False))
        self._parser.give_up(_NO_ROOM)
        self.held.release()
        self.end()

    def finish(self) -> None:
        """Answer what was asked, then close. A request that was not read to its end was not asked."""
        self._last = True
        if self._state is _Activity.READING:
            self._scope.cancel()

    def _on_hangup(self) -> None:
        """The client has shut down its side: stop waiting for an answer that nobody wants any more.

        A client that half-closes and still reads (``nc -N``) cannot be told from one that is gone, as in Go's
        net/http and nginx; it gets those answers that need no waiting.
        """
        self._gone = True
        if self._state is _Activity.RESPONDING:
            self._scope.cancel()

    async def _converse(self) -> None:
        parser = self._parser
        while not parser.stopped:
            data = await self._stream.receive_some(READ_SIZE)
            if not data:
                return
            if len(data) > _SMALL:
                await self._ration.draw(len(data))
            parser.feed(data)
            requests, parser.ready = parser.ready, []
            if parser.partial or len(requests) > 1 or self.held.size:
                requests = self._account(requests)
            for request in requests:
                if not await self._answer(request):
                    return
                if request is not requests[-1]:  # who pipelines gets one turn a request, as everybody
                    await trio.lowlevel.checkpoint()
            if self.held.size:
                self.held.resize(parser.partial)
            if parser.continue_due:
                parser.continue_due = False
                await self._stream.send_all(CONTINUE)
            if requests or parser.phase is not self._phase:
                self._phase = parser.phase
                self.deadline = trio.current_time() + self._patience[self._phase]

    def _account(self, requests: list[HttpRequest]) -> list[HttpRequest]:
        """Hold what waits here; what finds no room is refused."""
        size = 0
        self.held.resize(min(self.held.size, self._parser.partial))
        for request in requests[1:]:
            if request.refusal is None and not self.held.resize(size + len(request.body) + _WAITING):
                request.refusal, request.body = _NO_ROOM, b""
            size = self.held.size
        if not self.held.resize(size + self._parser.partial):
            self._parser.give_up(_NO_ROOM)
            self.held.resize(size)
            requests, self._parser.ready = requests + self._parser.ready, []
        return requests

    async def _answer(self, request: HttpRequest) -> bool:
        """Answer one request; whether another one may follow."""
        reply = request.refusal or await self._respond(request)
        if reply is None:
            return False
        request.body = b""  # not to be kept while the connection is idle
        keep_alive = request.keep_alive and not reply.close and not self._last
        self._refused = request.refusal is not None
        if self._refused:
            self._service.refused(request, reply)
        self._state = _Activity.WRITING
        self.deadline = trio.current_time() + self._limits.write
        # As soon as it is there: an answer never waits for the next one of a pipeline.
        taken = await self._write(render(reply, request, keep_alive))
        self._state = _Activity.READING
        return keep_alive and taken

    async def _write(self, data: bytes) -> bool:
        """Hand over an answer; what the client does not take at once is held. False where there is no room for that."""
        if isinstance(self._stream, DirectStream):
            sent = self._stream.try_send(data)
            if sent == len(data):
                return True
            data = data[sent:]
        before = self.held.size
        if not self.held.resize(before + len(data)):
            return False
        await self._stream.send_all(data)
        self.held.resize(before)
        return True

    async def _respond(self, request: HttpRequest) -> Reply | None:
        self._state = _Activity.RESPONDING
        self.deadline = math.inf
        if len(request.body) > READ_SIZE:
            await self._ration.draw(len(request.body))
        if not self._gone:
            return await self._service.respond(request)
        with trio.CancelScope() as impatience:
            impatience.cancel()
            return await self._service.respond(request)
        return None

    async def _close(self) -> None:
        """Close so that the client gets all of the last answer: not while bytes of its own are unread, which would
        make the kernel send a reset (RFC 9112 9.6). TLS cannot be half-closed: there, whoever sent a whole request is
        not waited for.
        """
        self.deadline = trio.current_time() + self._limits.linger
        linger = self._refused
        if isinstance(self._stream, DirectStream):
            await self._stream.send_eof()
            linger = True
        while linger and await self._stream.receive_some(READ_SIZE):
            pass
        await self._stream.aclose()


def _fileno(stream: Stream) -> int:
    return stream.fileno() if isinstance(stream, DirectStream) else stream.transport_stream.socket.fileno()
