"""Datagram sockets that collect events as an OpenSIPS event consumer does, with the buffer OpenSIPS recommends."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

_LARGEST = 65535
_BUFFER = 8 << 20  # so that a burst is lost by whom we test, not here
_SO_RCVBUFFORCE = 33  # of Linux's asm/socket.h


class Receiver:
    """``name`` is the socket to subscribe (udp:HOST:PORT or unix:PATH)."""

    def __init__(self, bound: socket.socket, name: str) -> None:
        self._socket = bound
        self.name = name

    def take(self, seconds: float) -> bytes:
        """The next datagram, blocking. Raises TimeoutError."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(_LARGEST)
        finally:
            self._socket.setblocking(False)

    async def receive(self) -> bytes:
        """The next datagram, in trio."""
        while True:
            try:
                return self._socket.recv(_LARGEST)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)


@contextmanager
def udp_receiver() -> Iterator[Receiver]:
    """On a free port of 127.0.0.1."""
    with _socket(socket.AF_INET) as bound:
        bound.bind(("127.0.0.1", 0))
        yield Receiver(bound, f"udp:127.0.0.1:{bound.getsockname()[1]}")


@contextmanager
def unix_receiver(path: Path) -> Iterator[Receiver]:
    """At this path, which must not exist yet and is removed at the end."""
    with _socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        try:
            yield Receiver(bound, f"unix:{path}")
        finally:
            path.unlink(missing_ok=True)


def _socket(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setblocking(False)
    give_room(made)
    return made


def give_room(sock: socket.socket) -> None:
    """For minutes of events: root has it whatever net.core.rmem_max says, which is 200 KiB in a fresh Debian."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
