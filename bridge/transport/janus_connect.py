"""Opening a connection to a Janus: name, TCP, TLS, upgrade, each with its own deadline; and running it to its end.

Owns what each failure is called, and which shell a connection gets; the link owns what happens after one.
"""

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import trio

from bridge.errors import ConnectFailed
from bridge.transport.batch import Batch
from bridge.transport.fd_store import KeptSocket
from bridge.transport.janus_socket import JanusSocket
from bridge.transport.janus_stream import JanusStream
from bridge.transport.janus_ws import READ_SIZE
from bridge.transport.tls import system_context, tls_text
from bridge.transport.upgrade_request import Upgrade, upgrade_request
from bridge.transport.websocket_options import WebSocketObserver, WebSocketOptions

if TYPE_CHECKING:
    from bridge.protocol.janus_url import JanusUrl

TCP_DEADLINE = 3.0  # seconds, name look-up included
UPGRADE_DEADLINE = 5.0  # TLS and WebSocket handshake

Opened: TypeAlias = Callable[[JanusSocket | JanusStream], None]
KeepSocket: TypeAlias = Callable[[int], KeptSocket]
_Encrypted: TypeAlias = trio.SSLStream[trio.SocketStream]


async def open_and_run(
    url: "JanusUrl",
    options: WebSocketOptions,
    reports: WebSocketObserver,
    opened: Opened,
    batch: Batch,
    keep: KeepSocket | None = None,
    *,
    held: socket.socket | None = None,
) -> str:
    """Open a WebSocket to a Janus, hand it to ``opened``, and run it to its end; returns why it ended.

    ``batch`` serves it, where it is not encrypted. ``keep``: once it is open, its socket, whose descriptor is told, is
    to outlive whoever runs it. Being cancelled or frozen is no end of it then, unless it was to be closed: for Janus it
    stays open. ``held``: a socket that was left open so; its stream goes on.

    Raises ConnectFailed before it was open. Every step has its own deadline: 3 s for TCP, 5 s for TLS and upgrade.
    """
    upgraded = held or await _open(url, options)
    if isinstance(upgraded, socket.socket):
        with upgraded as sock:
            plain = JanusSocket(sock, batch, options, reports, url.netloc, adopted=held is not None)
            return await _run(plain, sock.fileno(), opened, keep)
    stream, unread = upgraded
    try:
        encrypted = JanusStream(stream, unread, options, reports, url.netloc)
        return await _run(encrypted, stream.transport_stream.socket.fileno(), opened, keep)
    finally:
        await trio.aclose_forcefully(stream)


async def _run(websocket: JanusSocket | JanusStream, fd: int, opened: Opened, keep: KeepSocket | None) -> str:
    kept = None if keep is None else keep(fd)
    websocket.number = 0 if kept is None else kept.number
    ended = False
    try:
        opened(websocket)
        reason = await websocket.run()
        ended = not websocket.handed_over
        return reason
    finally:
        if kept is not None and (ended or websocket.closing):
            kept.end()
        elif kept is not None:
            kept.leave(goes_on=websocket.in_step)


async def _open(url: "JanusUrl", options: WebSocketOptions) -> socket.socket | tuple[_Encrypted, bytes]:
    """A WebSocket: its socket, or what is encrypted and what came behind the answer to the upgrade."""
    # Verification is no option: a januswss URL is never opened without.
    stream = await _connect(url, (options.tls or system_context()) if url.tls else None, options.tls_server_name)
    upgraded = False
    try:
        steps = "TLS and the WebSocket upgrade were" if url.tls else "the WebSocket upgrade was"
        with _deadline(UPGRADE_DEADLINE, f"{steps} not answered"):
            if isinstance(stream, trio.SSLStream):
                await _secure(stream)
            unread = await upgrade(stream, url, options)
        upgraded = True
    finally:
        if not upgraded:
            await trio.aclose_forcefully(stream)
    if isinstance(stream, trio.SSLStream):
        return stream, unread
    return socket.socket(fileno=stream.socket.detach())


async def _connect(url: "JanusUrl", tls: ssl.SSLContext | None, tls_name: str | None) -> trio.SocketStream | _Encrypted:
    with _deadline(TCP_DEADLINE, "no answer to the TCP connect"):
        try:
            stream = await trio.open_tcp_stream(url.host, url.port)
        except OSError as exc:
            raise _connect_failure(url, exc) from None
        except UnicodeError as exc:  # IDNA: a label that is empty or too long
            raise ConnectFailed(f"host {url.host!r} is not a valid host name: {exc}") from None
    if tls is None:
        return stream
    # https_compatible: a Janus that dies sends no close_notify; that is an end of the connection like any other.
    return trio.SSLStream(stream, tls, server_hostname=tls_name or url.tls_name, https_compatible=True)


async def _secure(stream: _Encrypted) -> None:
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as exc:
        raise ConnectFailed(tls_text(exc.__cause__)) from None


async def upgrade(stream: trio.abc.Stream, url: "JanusUrl", options: WebSocketOptions) -> bytes:
    """Upgrade to WebSocket; returns what came behind the answer. A plain socket has it still. Raises ConnectFailed."""
    request = upgrade_request(url, options.origin, options.headers)
    handshake = Upgrade(request)
    data = b""
    used = 0
    try:
        await stream.send_all(handshake.request)
    except trio.BrokenResourceError:
        raise ConnectFailed("the peer closed the connection during the upgrade to WebSocket") from None
    while not handshake.done:
        try:
            if isinstance(stream, trio.SocketStream):
                data = await stream.socket.recv(READ_SIZE, socket.MSG_PEEK)
            else:
                data = bytes(await stream.receive_some(READ_SIZE))
            used = handshake.read(data) if data else 0
            if isinstance(stream, trio.SocketStream):
                await stream.socket.recv(used)
        except (OSError, trio.BrokenResourceError) as exc:
            # With TLS 1.3 the server judges a client's certificate after the client's handshake is over.
            if isinstance(exc.__cause__, ssl.SSLError):
                raise ConnectFailed(tls_text(exc.__cause__)) from None
            data = b""
        if not data:
            raise ConnectFailed(request.why_closed)
    return data[used:]


@contextmanager
def _deadline(seconds: float, what: str) -> Iterator[None]:
    """A block that must end in time. Raises ConnectFailed."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise ConnectFailed(f"{what} within {seconds:g} s")


def _connect_failure(url: "JanusUrl", exc: OSError) -> ConnectFailed:
    """All addresses of a host failed: trio hangs the reasons into a group behind the error."""
    causes: list[BaseException] = [exc]
    if isinstance(exc.__cause__, BaseExceptionGroup):
        causes = list(exc.__cause__.exceptions)
    elif exc.__cause__ is not None:
        causes = [exc.__cause__]
    if isinstance(exc, socket.gaierror):
        return ConnectFailed(f"host {url.host!r} is not found: {exc.strerror}")
    errnos = [cause.errno for cause in causes if isinstance(cause, OSError)]
    refused = bool(errnos) and all(number == errno.ECONNREFUSED for number in errnos)
    texts = sorted({os.strerror(number) for number in errnos if number is not None})
    return ConnectFailed(f"connect to {url.netloc}: {', '.join(texts) or exc}".lower(), refused=refused)
