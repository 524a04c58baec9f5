"""The MI of another bridge of the cluster, asked over HTTP connections that are kept.

Owns these connections, and whether a request that failed had left: what was not sent may be sent again, what was sent
may have been executed. Must not know any method. Authority: contract 11; RFC 9112; httptools (llhttp) for the answers.
"""

import errno
import json
import os
import select
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import httptools
import trio

from bridge.errors import PeerNotReached, PeerRefused, PeerSilent
from bridge.protocol import codec
from bridge.protocol.host_port import bracketed
from bridge.protocol.jsonrpc import RpcError, render_request
from bridge.protocol.mi_address import HttpAddress, parse_http_address
from bridge.transport.resolver import Resolver
from bridge.transport.tls import tls_text

_READ: Final = 65_536
MOST_BYTES: Final = 64 << 20  # of an answer
MOST_IDLE: Final = 32  # connections to a peer that are kept
IDLE: Final = 60.0  # seconds; the other side keeps them twice as long

_Stream: TypeAlias = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class PeerClient:
    """An AskPeer. ``token`` is shown to every peer; ``tls`` verifies those whose URL is https."""

    def __init__(self, token: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._names = Resolver()
        self._heads: dict[str, tuple[HttpAddress, bytes]] = {}  # by URL
        self.show(token)
        self._idle: dict[HttpAddress, list[_Connection]] = {}

    def show(self, token: str | None) -> None:
        """The token to show from now on."""
        # Of a text that hides itself wherever it is shown, itself.
        self._authorization = "" if token is None else f"Authorization: Bearer {str.__str__(token)}\r\n"
        self._heads.clear()

    async def __call__(self, url: str, method: str, params: Sequence[Any], patience: float) -> Any:
        """The result. ``patience`` in seconds for everything; to be cancelled is to leave, and the peer sees it.

        Raises PeerNotReached (nothing was sent; PeerRefused: the peer lives), PeerSilent (the outcome is unknown),
        RpcError (the peer's answer).
        """
        address, head = self._heads.get(url) or self._know(url)
        body = render_request(method, list(params), "1")
        connection: _Connection | None = None
        sent = False
        try:
            with trio.fail_after(max(patience, 0.0)):
                connection = self._kept(address) or _Connection(await self._open(address))
                sent = True
                answer = await connection.ask(head % len(body) + body)
        except trio.TooSlowError:
            raise _failure(url, f"no answer within {patience:g} s", sent=sent) from None
        except (OSError, UnicodeError, trio.BrokenResourceError, httptools.HttpParserError) as exc:
            raise _failure(url, _words(exc), sent=sent) from None
        finally:
            if connection is not None and not self._keep(address, connection):
                connection.close()
        return _result(url, answer)

    def close(self) -> None:
        """Let go of what is kept; within trio."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _know(self, url: str) -> tuple[HttpAddress, bytes]:
        try:
            address = parse_http_address(url)
        except ValueError as exc:
            raise PeerNotReached(f"its URL {exc}") from None
        head = (
            f"POST {address.path} HTTP/1.1\r\nHost: {bracketed(address.host)}:{address.port}\r\n"
            f"Content-Type: application/json\r\n{self._authorization}Content-Length: "
        )
        known = self._heads[url] = address, head.replace("%", "%%").encode() + b"%d\r\n\r\n"
        return known

    async def _open(self, address: HttpAddress) -> _Stream:
        tcp = await self._connect(address.host, address.port)
        if not address.tls:
            return tcp
        context = self._tls or ssl.create_default_context()
        stream = trio.SSLStream(tcp, context, server_hostname=address.host, https_compatible=True)
        try:
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream

    async def _connect(self, host: str, port: int) -> trio.SocketStream:
        """To the first of its addresses that takes it, each in its share of the time that is left."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:  # a name
            found = await self._names.look_up(host, port, type=socket.SOCK_STREAM)
        fault: OSError = OSError(0, "its name has no address")
        for number, (*_, place) in enumerate(found):
            left = max(trio.current_effective_deadline() - trio.current_time(), 0.0)
            try:
                with trio.move_on_after(left / (len(found) - number)):
                    return await trio.open_tcp_stream(str(place[0]), port)
                fault = OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            except OSError as exc:
                fault = exc
        raise fault

    def _kept(self, address: HttpAddress) -> "_Connection | None":
        connections = self._idle.get(address, [])
        while connections:
            connection = connections.pop()
            if connection.fresh:
                return connection
            connection.close()
        return None

    def _keep(self, address: HttpAddress, connection: "_Connection") -> bool:
        idle = self._idle.setdefault(address, [])
        if not connection.between or len(idle) >= MOST_IDLE:
            return False
        connection.used_at = trio.current_time()
        idle.append(connection)
        return True


class _Connection:
    """One at a time. ``between``: the last answer is whole, and another request may follow. The methods ``on_...`` are
    httptools's.
    """

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._socket = (stream.transport_stream if isinstance(stream, trio.SSLStream) else stream).socket
        self.between = False
        self.used_at = 0.0
        self._reason = b""
        self._body = bytearray()
        self._whole = False
        self._parser: httptools.HttpResponseParser

    async def ask(self, request: bytes) -> tuple[int, str, bytes]:
        """Status, its words and the body. Raises OSError, BrokenResourceError, HttpParserError."""
        self.between = self._whole = False
        self._reason = b""
        self._body.clear()
        parser = self._parser = httptools.HttpResponseParser(self)
        await self._stream.send_all(request)
        while not self._whole:
            data = await self._stream.receive_some(_READ)
            if not data:
                raise OSError(0, "it closed the connection")
            parser.feed_data(data)
            if len(self._body) > MOST_BYTES:
                raise OSError(0, f"its answer has more than {MOST_BYTES} bytes")
        return parser.get_status_code(), self._reason.decode("latin-1"), bytes(self._body)

    @property
    def fresh(self) -> bool:
        """Whether the peer has not closed it meanwhile. What it closes right now is found out by the request."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return trio.current_time() - self.used_at < IDLE and not poll.poll(0)

    def close(self) -> None:
        self._socket.close()

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._whole, self.between = True, self._parser.should_keep_alive()


def _failure(url: str, words: str, *, sent: bool) -> PeerNotReached | PeerSilent:
    return (PeerSilent if sent else PeerNotReached)(f"{url}: {words}")


def _words(exc: Exception) -> str:
    if isinstance(exc, trio.BrokenResourceError):
        return tls_text(exc.__cause__) if isinstance(exc.__cause__, ssl.SSLError) else "the connection broke"
    if isinstance(exc, OSError):
        cause = exc.__cause__  # of a connect: what became of its attempts
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[-1]
        return (cause.strerror if isinstance(cause, OSError) else exc.strerror) or str(exc)
    return f"no HTTP answer: {exc}"


def _result(url: str, answer: tuple[int, str, bytes]) -> Any:
    """Raises RpcError, PeerNotReached, PeerSilent."""
    status, reason, body = answer
    if 400 <= status < 500 or status == 503:  # no room, or it stops: it has done nothing
        raise PeerRefused(f"{url}: its answer is {status} {reason}")
    if status != 200:
        raise _failure(url, f"its answer is {status} {reason}", sent=True)
    value = _value(body)
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict) and type(code := error.get("code")) is int:
        data = error.get("data")
        raise RpcError(code, str(error.get("message")), None if data is None else str(data))
    if not isinstance(value, dict) or "result" not in value:
        raise PeerSilent(f"{url}: its answer is not that of an MI")
    return value["result"]


def _value(body: bytes) -> Any:
    try:
        return codec.parse_plain(body)[0]
    except ValueError:
        pass
    try:
        return json.loads(body)  # an answer of Janus may be as deep as any, and its integers as long
    except (ValueError, RecursionError):
        return None
