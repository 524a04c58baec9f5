"""A plain TCP socket under an HTTP connection, served in the batch.

Owns reading, writing and closing. Must not know HTTP: that is ``http_connection``'s.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from bridge.transport.batch import HUNG_UP, READABLE, Batch, Member
from bridge.transport.http_connection import HttpConnection
from bridge.transport.http_ends import Activity, Wire
from bridge.transport.http_parser import READ_SIZE

# Makes the connection that is served over a wire.
MakeConnection: TypeAlias = Callable[[Wire], HttpConnection]
_READING: Final = Activity.READING
_QUEUED: Final = Activity.QUEUED
_LINGERING: Final = Activity.LINGERING


class PlainWire(Member):
    """A TCP socket; an ``http_connection.Wire``. ``closed`` is called once, with the connection."""

    __slots__ = ("_batch", "_closed", "_hung_up", "_sock", "connection", "unread")

    def __init__(
        self, sock: socket.socket, batch: Batch, make: MakeConnection, closed: Callable[[HttpConnection], None]
    ) -> None:
        """Takes over the socket."""
        super().__init__()
        sock.setblocking(False)
        self.unread = False
        self._hung_up = False
        self._sock = sock
        self._batch = batch
        self._closed = closed
        self.connection = make(self)
        batch.add(self, sock.fileno())

    def __repr__(self) -> str:
        return f"the HTTP connection of {self.connection.held.owner}"

    def serve(self, events: int) -> int:
        """One read, one request, or one more write."""
        connection = self.connection
        if events & READABLE:
            self.unread = True
        if events & HUNG_UP:
            self.unread = self._hung_up = True  # there is an end to be read
            connection.hung_up()
        if connection.unsent:
            connection.taken(self.send(connection.unsent))
            if connection.unsent:
                return 0
        activity = connection.activity
        if activity is _QUEUED:
            return connection.go_on()
        if not self.unread or (activity is not _READING and activity is not _LINGERING):
            return 0
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            self.unread = False
            return 0
        except OSError:  # reset
            connection.end()
            return 0
        self.unread = self._hung_up or len(data) == READ_SIZE
        return connection.receive(data)

    def send(self, data: bytes | memoryview) -> int:
        """As Wire has it."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def send_eof(self) -> None:
        """As Wire has it."""
        with suppress(OSError):  # reset: reading says so
            self._sock.shutdown(socket.SHUT_WR)

    def again(self) -> None:
        """As Wire has it."""
        self._batch.again(self)

    def close(self) -> None:
        """As Wire has it."""
        self._batch.remove(self)
        self._sock.close()
        self._closed(self.connection)

    def fault(self) -> None:
        """As Wire has it."""
        self._batch.end(self)

    def fail(self) -> None:
        """As Member has it."""
        self.connection.end()
