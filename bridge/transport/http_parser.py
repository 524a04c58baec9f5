"""Bytes of one connection -> its requests, in order.

Owns the grammar of HTTP/1.x and the limits of a request's size; of the server, the only file that knows httptools
(llhttp). No I/O. Must not know what is asked. Authority: RFC 9112; llhttp in its strict mode, which refuses what
smuggles requests (both lengths, two lengths, bare line feeds).

httptools and not h11: measured in a bare trio server with 64 callers, 30 against 120 microseconds a request.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

import httptools

from bridge.transport.http_head import NO_VERSION, head_fault
from bridge.transport.http_messages import HttpRequest, KnownHeads, Reply, refuse

# What one read may bring, and what a head may have beyond the read that it began in. So a head of this size always
# passes and one of twice this size never does, without any counting while it is parsed.
READ_SIZE: Final = 16384
# The longest coding of an allowed body: chunks of one byte each, "1\r\nX\r\n". What is longer is endless trailers or
# extensions, of which httptools would keep some.
_FRAMING: Final = 6
_MAX_HEADERS: Final = 128
# In llhttp's words: what is HTTP, but none of ours. (A PRI is the beginning of HTTP/2.)
_OTHER_VERSION: Final = ("Invalid HTTP version", "Pause on PRI/Upgrade")

HEAD_END: Final = b"\r\n\r\n"
_HEADS: Final = 512  # that are known at once; then all are forgotten, which costs each its parsing once more
_HEAD_SIZE: Final = 1024

# Called when a head is complete, before the body is read: a refusal, or None to go on. A refusal with ``close`` is
# sent at once; another one waits until the body has been read (and not kept), so that the connection stays in step.
AdmitRequest: TypeAlias = Callable[[HttpRequest], Reply | None]

_NO_METHOD = refuse(406, "Unsupported HTTP request!", close=True)
_LONG_HEAD = refuse(431, "Request head too large", close=True)
_MANY_HEADERS = refuse(431, f"More than {_MAX_HEADERS} headers", close=True)
_LONG_BODY = refuse(413, "Request body too large", close=True)


class Phase(Enum):
    """Where in a request the next byte belongs."""

    IDLE = "between requests"
    HEAD = "in a head"
    BODY = "in a body"


class _Stopped(Exception):
    """Raised in a callback: llhttp is to stop there."""


class RequestParser:
    """Feed it what was read; take the requests from ``ready``.

    What is wrong with a request becomes its ``refusal``. ``stopped`` is set where nothing that follows can be
    understood, or is wanted: the connection has to end. The methods ``on_...`` are httptools's.
    """

    def __init__(
        self, admit: AdmitRequest, peer: str, max_body: int, *, secure: bool = False, known: KnownHeads | None = None
    ) -> None:
        """``peer`` goes into each request; ``max_body`` is in bytes; ``secure``: over TLS. ``known`` is added to."""
        self.ready: list[HttpRequest] = []
        self.phase = Phase.IDLE
        self.stopped = False
        self.continue_due = False  # the client waits for "100 Continue" before it sends the body
        self._admit = admit
        self._peer = peer
        self._max_body = max_body
        self._secure = secure
        self._known = known
        self._fed = 0  # bytes of the reads that the present request is spread over
        self._request = HttpRequest(peer)
        self._target = bytearray()
        self._headers = 0
        self._body: bytes | bytearray = b""  # one buffer: in pieces of two bytes it would take 40 times as much
        self._size = 0
        self._upgrading = False
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Parse what was read (at most READ_SIZE bytes). Not to be called once ``stopped``."""
        between = self.phase is Phase.IDLE
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            if not self.stopped:  # else it is our own _Stopped, or what follows the last request
                self._stop(_refusal(error))
        if self.phase is Phase.IDLE or self.stopped:
            if between and not self.stopped and len(self.ready) == 1 and self._known is not None:
                self._remember(self._known, data, self.ready[0])
            return
        self._fed += len(data)
        if self.phase is Phase.HEAD and self._fed >= 2 * READ_SIZE:
            self._stop(_LONG_HEAD)
        elif self._fed > 4 * READ_SIZE + _FRAMING * self._max_body:
            self._stop(_LONG_BODY)

    def _remember(self, known: KnownHeads, data: bytes, request: HttpRequest) -> None:
        end = data.find(HEAD_END) + len(HEAD_END)
        if end <= _HEAD_SIZE and request.length == len(data) - end:  # -1 where it was refused
            if len(known) >= _HEADS:
                known.clear()
            known[self._peer, data[:end]] = request

    def _parse(self, data: bytes | memoryview) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # RFC 9110 7.8: an Upgrade may be ignored, and then the request is one like any other. llhttp only
                # knows how to follow it, taking the body for the new protocol. (Java's HttpClient asks for h2c in
                # its first request.) So the head goes through once more, without that header.
                head = self._head_without_upgrade()
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(head)
                data = memoryview(data)[upgrade.args[0] :]  # no copy: a read may bring hundreds of them
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        version = b"HTTP/1.0" if self._request.old else b"HTTP/1.1"
        lines = [b" ".join((self._request.method, bytes(self._target), version))]
        lines += [name + b": " + value for name, value in self._request.headers.items() if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @property
    def partial(self) -> int:
        """Bytes that are kept of a body that is not whole yet."""
        return len(self._body)

    def give_up(self, refusal: Reply) -> None:
        """Refuse the request that is not whole yet."""
        self._stop(refusal)

    def _stop(self, refusal: Reply) -> None:
        self._body = b""
        request = self._request if self.phase is not Phase.IDLE else HttpRequest(self._peer)
        request.refusal = refusal
        request.keep_alive = False
        self.ready.append(request)
        self.stopped = True
        self.continue_due = False

    def on_message_begin(self) -> None:
        self.phase = Phase.HEAD
        self._fed = 0
        self._request = HttpRequest(self._peer)
        self._target = bytearray()
        self._headers = 0
        self._upgrading = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is Phase.BODY:  # a trailer; none has a meaning here
            return
        self._headers += 1
        if self._headers > _MAX_HEADERS:
            self._stop(_MANY_HEADERS)
            raise _Stopped
        headers = self._request.headers
        name = name.lower()
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        request, headers = self._request, self._request.headers
        request.method = self._parser.get_method()
        version = self._parser.get_http_version()
        request.old = version == "1.0"
        self._upgrading = self._parser.should_upgrade() and request.method != b"CONNECT" and version in ("1.1", "1.0")
        if self._upgrading:
            return
        request.keep_alive = self._parser.should_keep_alive()
        refusal = head_fault(request, bytes(self._target), version, secure=self._secure) or self._admit(request)
        if refusal is None:
            length = int(headers.get(b"content-length", b"0")[-20:])  # llhttp has seen that it fits in 64 bits
            if length > self._max_body:
                refusal = _LONG_BODY
            elif b"transfer-encoding" not in headers and self._target.startswith(b"/"):  # "http://..." is no TLS's
                request.length = length
        waits = b"expect" in headers and not request.old and headers[b"expect"].lower() == b"100-continue"
        if refusal is not None and (refusal.close or waits):
            self._stop(refusal)
            raise _Stopped
        request.refusal = refusal
        self.phase = Phase.BODY
        self.continue_due = waits
        self._size = 0

    def on_body(self, data: bytes) -> None:
        self.continue_due = False
        self._size += len(data)
        if self._size > self._max_body:
            self._stop(_LONG_BODY)
            raise _Stopped
        if self._request.refusal is None:
            if not self._body:
                self._body = data
                return
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        self.phase = Phase.IDLE
        self.continue_due = False
        self.stopped = not self._request.keep_alive
        self._request.body, self._body = bytes(self._body), b""
        self.ready.append(self._request)


def _refusal(error: httptools.HttpParserError) -> Reply:
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return _NO_METHOD
    return NO_VERSION if str(error) in _OTHER_VERSION else refuse(400, f"{error}", close=True)
