"""The byte stream of one accepted socket, and the sockets that are listened on.

Owns ``HOST:PORT`` of a listener, and reading and writing with as few turns of the event loop as there can be. Must not
know HTTP. Authority: trio's contract for streams.
"""

import errno
import socket
import ssl
from collections.abc import Sequence
from typing import Final, TypeAlias

import trio

from bridge.errors import ConfigError

Listener: TypeAlias = trio.SocketListener | trio.SSLListener[trio.SocketStream]

_DEFAULT_READ: Final = 65536
# A host name may have addresses that this machine has not: "localhost" without IPv6.
_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class DirectStream(trio.abc.HalfCloseableStream):
    """A connected socket without the detours of trio.SocketStream: reading waits before it tries, and writing is no
    checkpoint where the kernel takes the bytes at once.

    That saves a failing ``recv`` and a whole turn of the event loop per request, a fifth of its time. The price:
    who only ever writes would starve others; a server of requests reads between its writes.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Takes over the socket."""
        sock.setblocking(False)
        self._sock = sock

    def fileno(self) -> int:
        """The descriptor, -1 once it is closed."""
        return self._sock.fileno()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, none at the end. Raises trio.BrokenResourceError."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                return self._sock.recv(max_bytes or _DEFAULT_READ)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Hand everything to the kernel. Raises trio.BrokenResourceError."""
        sent = self._send(data)
        if sent == len(data):
            return
        with memoryview(data) as rest:
            while sent < len(rest):
                await self.wait_send_all_might_not_block()
                sent += self._send(rest[sent:])

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for room in the kernel's buffer."""
        await trio.lowlevel.wait_writable(self._sock)

    async def send_eof(self) -> None:
        """Say that nothing more will come. Raises trio.BrokenResourceError."""
        await trio.lowlevel.checkpoint()
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def aclose(self) -> None:
        """Close the socket."""
        if self._sock.fileno() != -1:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        await trio.lowlevel.checkpoint()


def direct(stream: trio.SocketStream) -> DirectStream:
    """The same connection as a DirectStream; the stream given is of no use any more."""
    return DirectStream(socket.socket(fileno=stream.socket.detach()))


async def open_listeners(address: str, ssl_context: ssl.SSLContext | None = None) -> Sequence[Listener]:
    """Listen on ``HOST:PORT`` (IPv6 in brackets; port 0 takes a free one), on each address of a host name.

    Raises ConfigError with one line that names the address.
    """
    host, port = _split(address)
    opened: list[trio.SocketListener] = []
    failed: OSError | None = None
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for numeric in dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found):
            try:
                opened += await trio.open_tcp_listeners(port, host=numeric)
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                failed = error
        if failed is not None and not opened:
            raise failed
    except (OSError, UnicodeError) as error:  # the latter for a host name that IDNA refuses
        for listener in opened:
            listener.socket.close()
        raise ConfigError(f"{address}: {getattr(error, 'strerror', None) or error}") from None
    if ssl_context is None:
        return opened
    return [trio.SSLListener(listener, ssl_context, https_compatible=True) for listener in opened]


def bound_address(listener: Listener) -> str:
    """``HOST:PORT`` as it is bound, with the port that it really got."""
    host, port = listening_socket(listener).getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listening_socket(listener: Listener) -> trio.socket.SocketType:
    """The socket under a listener."""
    inner = listener.transport_listener if isinstance(listener, trio.SSLListener) else listener
    assert isinstance(inner, trio.SocketListener)
    return inner.socket


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError(f"{address}: IPv6 is written in brackets, [::1]:8889")
    if not colon or not host or not host.isprintable():
        raise ConfigError(f"{address}: not HOST:PORT")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        raise ConfigError(f"{address}: port {port!r} is not a number up to 65535")
    return host, int(port)
