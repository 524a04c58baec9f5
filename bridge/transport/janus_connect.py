"""Opening a connection to a Janus: name, TCP, TLS, upgrade, each with its own deadline; and running it to its end.

Owns what each failure is called; the link owns what happens after one. trio-websocket's own connect
waits without limit for a peer that accepts and stays silent, so every step here has a deadline.
"""

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from bridge.errors import ConnectFailed
from bridge.transport.direct_stream import DirectStream, direct
from bridge.transport.fd_store import KeptSocket
from bridge.transport.janus_ws import JanusWebSocket
from bridge.transport.tls import system_context, tls_text
from bridge.transport.websocket_options import WebSocketObserver, WebSocketOptions

if TYPE_CHECKING:
    from bridge.protocol.janus_url import JanusUrl

TCP_DEADLINE = 3.0  # seconds, name look-up included
UPGRADE_DEADLINE = 5.0  # TLS and WebSocket handshake
CLOSE_DEADLINE = 1.0  # how long a polite close waits for the peer


async def open_and_run(
    url: "JanusUrl",
    options: WebSocketOptions,
    reports: WebSocketObserver,
    opened: Callable[[JanusWebSocket], None],
    keep: Callable[[int], KeptSocket] | None = None,
) -> str:
    """Open a WebSocket to a Janus, hand it to ``opened``, and run it to its end; returns why it ended.

    Raises ConnectFailed before it was open. Every step has its own deadline: 3 s for TCP, 5 s for TLS and upgrade.
    ``keep``: once it is open, its socket is to outlive whoever runs it. Being cancelled is no end of it then, unless it
    was to be closed: for Janus it stays open.
    """
    # Verification is no option: a januswss URL is never opened without.
    stream = await _open_stream(url, (options.tls or system_context()) if url.tls else None, options.tls_server_name)
    try:
        websocket = JanusWebSocket(stream, url, options, reports)
        steps = "TLS and the WebSocket upgrade were" if url.tls else "the WebSocket upgrade was"
        with _deadline(UPGRADE_DEADLINE, f"{steps} not answered"):
            await _secure(stream)
            await websocket.handshake()
        kept = None if keep is None else keep(_descriptor(stream))
        ended = False
        try:
            opened(websocket)
            reason = await _run(websocket)
            ended = True
            return reason
        finally:
            if kept is not None:
                (kept.end if ended or websocket.closing.is_set() else kept.leave)()
    finally:
        await trio.aclose_forcefully(stream)


def _descriptor(stream: DirectStream | trio.SSLStream[trio.SocketStream]) -> int:
    return stream.fileno() if isinstance(stream, DirectStream) else stream.transport_stream.socket.fileno()


async def _run(websocket: JanusWebSocket) -> str:
    reason = "the bridge closed it"
    async with trio.open_nursery() as nursery:

        async def close_in_time() -> None:
            await websocket.closing.wait()
            await trio.sleep(CLOSE_DEADLINE)
            nursery.cancel_scope.cancel()

        nursery.start_soon(websocket.flush_forever)
        nursery.start_soon(close_in_time)
        reason = await websocket.read_forever()
        nursery.cancel_scope.cancel()
    return reason


async def _open_stream(
    url: "JanusUrl", tls: ssl.SSLContext | None, tls_name: str | None
) -> DirectStream | trio.SSLStream[trio.SocketStream]:
    with _deadline(TCP_DEADLINE, "no answer to the TCP connect"):
        try:
            stream = await trio.open_tcp_stream(url.host, url.port)
        except OSError as exc:
            raise _connect_failure(url, exc) from None
        except UnicodeError as exc:  # IDNA: a label that is empty or too long
            raise ConnectFailed(f"host {url.host!r} is not a valid host name: {exc}") from None
    if tls is None:
        return direct(stream)
    # https_compatible: a Janus that dies sends no close_notify; that is an end of the connection like any other.
    return trio.SSLStream(stream, tls, server_hostname=tls_name or url.tls_name, https_compatible=True)


async def _secure(stream: trio.abc.Stream) -> None:
    if not isinstance(stream, trio.SSLStream):
        return
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as exc:
        raise ConnectFailed(tls_text(exc.__cause__)) from None


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
