"""The sockets that HTTP is listened for on.

Owns ``HOST:PORT`` of a listener, and what every connection has from it. Must not know HTTP.
"""

import errno
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import trio

from bridge.errors import ConfigError
from bridge.protocol.host_port import bracketed, read_host_port
from bridge.transport.port_holder import Endpoint, Sockaddr, bind_fault, endpoint
from bridge.transport.trial import Once

# A host name may have addresses that this machine has not: "localhost" without IPv6.
_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_BACKLOG: Final = 65_535  # callers that wait to be served; the kernel has its own limit, net.core.somaxconn
# Accepted sockets inherit them: an answer goes out at once, and one that is not taken waits here, where it is counted,
# rather than in megabytes of the kernel's; an urgent byte is one of the stream, so that no read ends in front of it.
_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 16_384),
    (socket.SOL_SOCKET, socket.SO_OOBINLINE, 1),
)
_SO_BINDTOIFINDEX: Final = getattr(socket, "SO_BINDTOIFINDEX", 62)  # of Linux; Python names it from 3.14 on
_NO_INTERFACE: Final = 2**31 - 1
_HANDSHAKES: Final = {  # proc(5); this process's own, which systemd's ProcSubset=pid leaves
    socket.AF_INET: Path("/proc/self/net/tcp"),
    socket.AF_INET6: Path("/proc/self/net/tcp6"),
}
_SYN_RECV: Final = b"03"


class Listener(NamedTuple):
    """A listening TCP socket; ``tls`` where it is one of HTTPS. Callers wait in its backlog until it is served."""

    sock: socket.socket
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return bound_address(self)


async def open_listeners(address: str, tls: ssl.SSLContext | None = None) -> Sequence[Listener]:
    """Listen on ``HOST:PORT`` (IPv6 in brackets; port 0 takes a free one), on each address of a host name.

    Raises ConfigError with one line that names the address.
    """
    opened: list[Listener] = []

    def listen(_wanted: Endpoint, bind: Callable[[], socket.socket]) -> None:
        sock = bind()
        opened.append(Listener(sock, tls))
        sock.listen(_BACKLOG)
        listening(sock)

    try:
        await _at_each(address, listen)
    except BaseException:
        for one in opened:
            close_listener(one)
        raise
    return opened


async def try_listeners(address: str, trial: Once) -> None:
    """Raise ConfigError where a start could not listen there."""
    await _at_each(address, trial.port)


async def _at_each(address: str, use: Callable[[Endpoint, Callable[[], socket.socket]], None]) -> None:
    """``use(wanted, bind)`` for each address of ``HOST:PORT`` that this machine has. Raises ConfigError."""
    try:
        host, port = read_host_port(address, least=0)
    except ValueError as error:
        raise ConfigError(f"{address}: {error}") from None
    failed: OSError | None = None
    wanted: Endpoint | None = None
    used = False
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, sockaddr in dict.fromkeys((family, sockaddr) for family, *_, sockaddr in found):
            wanted = endpoint("tcp", sockaddr)
            try:
                use(wanted, partial(_bound, family, sockaddr))
                used = True
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                failed = error
        if failed is not None and not used:
            raise failed
    except (OSError, UnicodeError) as error:  # the latter for a host name that IDNA refuses
        raise ConfigError(f"{address}: {bind_fault(error, wanted)}") from None


def _bound(family: socket.AddressFamily, sockaddr: Sockaddr) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # whatever connections of before are still ending
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a listener of its own
        sock.bind(sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def found_listeners(fds: Iterable[int], tls: ssl.SSLContext | None) -> list[Listener]:
    """The listeners among sockets of another process, which are taken over."""
    found = []
    for fd in fds:
        sock = socket.socket(fileno=fd)
        if sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.append(listening(sock, tls))
        else:
            sock.close()
    return found


def listening(sock: socket.socket, tls: ssl.SSLContext | None = None) -> Listener:
    """A listener of a socket that listens already."""
    sock.setblocking(False)
    for level, option, value in _OPTIONS:
        sock.setsockopt(level, option, value)
    return Listener(sock, tls)


def bound_address(listener: Listener) -> str:
    """``HOST:PORT`` as it is bound, with the port that it really got."""
    host, port = listener.sock.getsockname()[:2]
    return f"{bracketed(host)}:{port}"


def hide_listener(listener: Listener) -> bool:
    """Have the kernel refuse who comes from now on, while who has connected can be accepted, and a handshake that has
    begun comes to its end. False where that cannot be done: before Linux 5.7, without privileges.

    A SYN finds no listener that is bound to an interface that is not there (observed on Linux 6). To shut it down, or
    to close it, resets whoever waits.
    """
    try:
        listener.sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NO_INTERFACE)
    except OSError:
        return False
    return True


def shakes_hands(listener: Listener) -> bool:
    """Whether somebody has begun to connect and the last packet of his handshake is still to come: ``accept`` does not
    see him yet, and to close the listener resets him. False where it is closed, or nothing can be known.
    """
    if listener.sock.fileno() == -1:
        return False
    port = b":%04X" % listener.sock.getsockname()[1]
    try:
        table = _HANDSHAKES[listener.sock.family].read_bytes()
    except OSError:
        return False
    # "  sl  local_address rem_address   st ..."
    return any(line[3] == _SYN_RECV and line[1].endswith(port) for line in map(bytes.split, table.splitlines()[1:]))


def close_listener(listener: Listener) -> None:
    """Close it, whether it is served or not; twice is the same as once."""
    listener.sock.close()
