"""One connection of an HTTP client, from its first byte to its last, without a socket and without a task.

Owns the conversation: keep-alive, pipelines, answers in the order of the requests, ``100 Continue``, who may take how
long, what is held of the memory, and the close. Bytes come in by ``receive``, answers go out by the wire. Must not know
sockets, routes, other connections or listeners. Authority: RFC 9112 (9.3 persistence, 9.6 close).

No timer: the owner looks at ``deadline`` now and then, which costs a request nothing.
"""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from bridge.protocol.budget import Holding
from bridge.transport.http_ends import Activity, HttpHandler, HttpLimits, Wire
from bridge.transport.http_messages import ACCEPTED, ANSWER, CONTINUE, HttpRequest, Reply, date, refuse, render
from bridge.transport.http_parser import HEAD_END, Phase, RequestParser

if TYPE_CHECKING:
    from bridge.protocol.jsonrpc import Abandon

_WAITING = 1024  # bytes that a request takes beside its body while it waits behind another one
# Whoever has these words may ask another bridge: opensips-examples/janus-bridge.inc does.
_STOPPING = refuse(503, "The bridge is stopping; nothing was done", close=True, headers=b"Retry-After: 1\r\n")
_NO_ROOM = refuse(503, "Too many bytes pending; nothing was done", close=True, headers=b"Retry-After: 1\r\n")
_NOTHING: Final = memoryview(b"")
_READING: Final = Activity.READING
_QUEUED: Final = Activity.QUEUED
_RESPONDING: Final = Activity.RESPONDING
_LINGERING: Final = Activity.LINGERING
_OVER: Final = Activity.OVER
_IDLE: Final = Phase.IDLE


class HttpConnection:
    """``deadline`` (of ``clock``) is when the client's time is up, infinite while it waits for us; then its owner calls
    ``end``. ``activity`` says what the wire may do: ``receive`` while READING or LINGERING, ``go_on`` while QUEUED,
    write ``unsent`` while WRITING.
    """

    __slots__ = (
        "_abandon", "_clock", "_gone", "_handler", "_keep", "_known", "_last", "_limits", "_linger", "_owed", "_parser",
        "_peer", "_phase", "_queue", "_request", "_wire", "activity", "deadline", "held", "unsent",
    )  # fmt: skip

    def __init__(
        self,
        wire: Wire,
        peer: str,
        handler: HttpHandler,
        limits: HttpLimits,
        held: Holding,
        *,
        secure: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``peer`` is the client's address without a port; ``secure``: over TLS. ``held`` is for what waits
        here: for the rest of a body, behind another request, or for the client to take it. What is being answered holds
        for itself.
        """
        self.held = held
        self.activity = _READING
        self.deadline = clock() + limits.head
        self.unsent = _NOTHING
        self._wire = wire
        self._peer = peer
        self._handler = handler
        self._limits = limits
        self._clock = clock
        self._known = handler.known
        self._parser = RequestParser(handler.admit, peer, limits.max_body, secure=secure, known=handler.known)
        self._phase = _IDLE
        self._queue: list[HttpRequest] = []  # the next one is last
        self._request = HttpRequest(peer)  # the one that is being answered
        self._abandon: Abandon | None = None
        self._keep = True  # the connection, after what is being written
        self._owed = 0  # bytes held for what is unsent
        self._gone = False
        self._last = False
        self._linger = limits.linger

    # What comes in. Each returns the work that it was, in bytes.

    def receive(self, data: bytes) -> int:
        """At most READ_SIZE bytes of the client; none: it has shut its side, and everything before was received."""
        if not data:
            self.end()
            return 0
        if self.activity is _LINGERING:
            if self._wire.unread:
                self._wire.again()
            return 0
        parser = self._parser
        if parser.phase is _IDLE:
            # What nearly all requests of a client begin with was there before, byte for byte: its meaning, too.
            end = data.find(HEAD_END) + len(HEAD_END)
            request = self._known.get((self._peer, data[:end]))
            if request is not None and request.length == len(data) - end:
                return self._ask(request, data[end:])
        parser.feed(data)
        requests, parser.ready = parser.ready, []
        if parser.partial or len(requests) > 1 or self.held.size:
            requests = self._account(requests)
        if not requests:
            self._go_on(False)
            return len(data)
        self._queue = requests[::-1]
        return len(data) + self.go_on()

    def go_on(self) -> int:
        """Answer the next request that waits here."""
        request = self._queue.pop()
        body, request.body = request.body, b""
        if request.refusal is None:
            return self._ask(request, body)
        self._request = request
        self._handler.refused(request, request.refusal)
        self.reply(request.refusal)
        return 0

    def taken(self, count: int) -> None:
        """So many bytes of ``unsent`` were written; -1: there is nobody any more."""
        if count < 0:
            self.end()
            return
        self.unsent = self.unsent[count:]
        if not self.unsent:
            self.held.resize(self.held.size - self._owed)
            self._go_on(True)

    def hung_up(self) -> None:
        """The client has shut down its side: stop waiting for an answer that nobody wants any more.

        A client that half-closes and still reads (``nc -N``) cannot be told from one that is gone, as in Go's
        net/http and nginx; it gets those answers that need no waiting.
        """
        self._gone = True
        if self.activity is _RESPONDING:
            self.end()

    # What ends it.

    def end(self) -> None:
        """Drop it, whatever it is doing. Twice is the same as once."""
        if self.activity is _OVER:
            return
        self.activity = _OVER
        self.deadline = math.inf
        abandon, self._abandon = self._abandon, None
        if abandon is not None:
            abandon()
        self._queue, self.unsent = [], _NOTHING
        self.held.release()
        self._wire.close()

    def shed(self) -> None:
        """Drop what it holds: others need it, and it is slow."""
        told = self.activity is _READING and self._wire.send(render(_NO_ROOM, HttpRequest(""), False)) > 0
        self._parser.give_up(_NO_ROOM)
        if told:
            self.held.release()
            self._close()
        else:
            self.end()

    def finish(self) -> None:
        """Answer what was asked and what is being asked, then close; ``part`` says when that is."""
        self._last = True

    def asks(self) -> bool:
        """Whether the client is about to ask: a request has begun, or it has connected a moment ago."""
        if self.activity is not _READING:
            return False
        limits = self._limits
        new = not self._request.method and self._clock() < self.deadline - limits.head + limits.last
        return new or self._parser.phase is not _IDLE or self._wire.unread

    def part(self) -> None:
        """Wait for no further request. One that is on its way finds its answer, that nothing was done; who has asked
        nothing discards it (RFC 9112 9.2).
        """
        if self.activity is not _READING:
            return
        if self._parser.phase is _IDLE:
            self._linger = self._limits.crossing
        else:
            self._handler.refused(self._request, _STOPPING)
        self._parser.give_up(_STOPPING)
        self.held.release()
        self._hand_over(render(_STOPPING, HttpRequest(self._peer), False), False)

    # What is answered.

    def answer(self, body: bytes | None) -> None:
        """The request that is being answered gets JSON; None: no more than that it was accepted."""
        request = self._request
        if body is None or request.old or not request.keep_alive or (self._last and self._is_last()):
            self.reply(ACCEPTED if body is None else ACCEPTED._replace(status=200, body=body))
        else:
            self._hand_over(ANSWER % (date(int(time.time())), len(body), body), True)

    def reply(self, reply: Reply) -> None:
        """The request that is being answered gets this."""
        keep = self._request.keep_alive and not reply.close and not (self._last and self._is_last())
        self._hand_over(render(reply, self._request, keep), keep)

    def _is_last(self) -> bool:
        """Whether no further request is known to be there."""
        return not (self._queue or self._parser.phase is not _IDLE or self._wire.unread)

    def fault(self) -> None:
        """To be called in an ``except Exception``: answering failed, and the connection ends."""
        self._wire.fault()

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

    def _ask(self, request: HttpRequest, body: bytes) -> int:
        self._request = request
        self.activity = _RESPONDING
        self.deadline = math.inf
        size = len(body)
        abandon = self._handler.respond(request, body, self)
        if abandon is not None:
            self._abandon = abandon
            if self._gone:
                self.end()
        return size

    def _hand_over(self, data: bytes, keep: bool) -> None:
        """As soon as it is there: an answer never waits for the next one of a pipeline. What the client does not take
        at once is held; where there is no room for that, the connection ends.
        """
        self._abandon = None
        self._keep = keep
        try:
            sent = self._wire.send(data)
            if sent == len(data):
                self._go_on(True)
            elif sent < 0:
                self.end()
            else:
                self._owe(memoryview(data)[sent:])
        except Exception:  # noqa: BLE001 - the wire logs it; whoever brings the answer has nothing to do with it
            self.fault()

    def _owe(self, rest: memoryview) -> None:
        if self.held.resize(self.held.size + len(rest)):
            self._owed = len(rest)
            self.unsent = rest
            self.activity = Activity.WRITING
            self.deadline = self._clock() + self._limits.write
        else:
            self._close()

    def _go_on(self, answered: bool) -> None:
        """Nothing is being answered or written: what is next. ``answered``: after an answer."""
        parser = self._parser
        if not self._keep:
            self._close()
        elif self._queue:  # who pipelines gets one turn a request, as everybody
            self.activity = _QUEUED
            self._wire.again()
        elif parser.continue_due:
            parser.continue_due = False
            self._hand_over(CONTINUE, True)
        else:
            self.activity = _READING
            if self.held.size:
                self.held.resize(parser.partial)
            phase, limits = parser.phase, self._limits
            if answered or phase is not self._phase:
                self._phase = phase
                patience = limits.idle if phase is _IDLE else limits.head if phase is Phase.HEAD else limits.body
                self.deadline = self._clock() + patience
            if self._wire.unread:
                self._wire.again()

    def _close(self) -> None:
        """Close so that the client gets all of the last answer: not while bytes of its own are unread, which would
        make the kernel send a reset (RFC 9112 9.6).
        """
        self._queue = []
        self.deadline = self._clock() + self._linger
        self.activity = _LINGERING
        self._wire.send_eof()
        if self._wire.unread:
            self._wire.again()
