"""The sockets that HTTP is listened for on.

Owns ``HOST:PORT`` of a listener. Must not know HTTP.
"""

import errno
import socket
import ssl
from collections.abc import Sequence
from typing import Final, TypeAlias

import trio

from bridge.errors import ConfigError
from bridge.protocol.host_port import bracketed, read_host_port
from bridge.transport.port_holder import bind_fault

Listener: TypeAlias = trio.SocketListener | trio.SSLListener[trio.SocketStream]

# A host name may have addresses that this machine has not: "localhost" without IPv6.
_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


async def open_listeners(address: str, ssl_context: ssl.SSLContext | None = None) -> Sequence[Listener]:
    """Listen on ``HOST:PORT`` (IPv6 in brackets; port 0 takes a free one), on each address of a host name.

    Raises ConfigError with one line that names the address.
    """
    try:
        host, port = read_host_port(address, least=0)
    except ValueError as error:
        raise ConfigError(f"{address}: {error}") from None
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
        raise ConfigError(f"{address}: {bind_fault(error, 'tcp', port)}") from None
    if ssl_context is None:
        return opened
    return [trio.SSLListener(listener, ssl_context, https_compatible=True) for listener in opened]


def bound_address(listener: Listener) -> str:
    """``HOST:PORT`` as it is bound, with the port that it really got."""
    host, port = listening_socket(listener).getsockname()[:2]
    return f"{bracketed(host)}:{port}"


def close_listener(listener: Listener) -> None:
    """Close it, whether it is served or not; twice is the same as once."""
    listening_socket(listener).close()


def listening_socket(listener: Listener) -> trio.socket.SocketType:
    """The socket under a listener."""
    inner = listener.transport_listener if isinstance(listener, trio.SSLListener) else listener
    assert isinstance(inner, trio.SocketListener)
    return inner.socket
