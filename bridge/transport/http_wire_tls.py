"""A TLS stream under an HTTP connection: a task that moves its bytes.

Owns reading, writing and closing. Must not know HTTP: that is ``http_connection``'s, which is fed in the batch, so that
fairness, and what a fault costs, are the same as for plain sockets.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.transport.batch import HUNG_UP, Batch, Member
from bridge.transport.http_connection import HttpConnection
from bridge.transport.http_ends import Activity
from bridge.transport.http_parser import READ_SIZE
from bridge.transport.http_wire import MakeConnection

_READING, _QUEUED, _LINGERING = Activity.READING, Activity.QUEUED, Activity.LINGERING


class TlsWire(Member):
    """A TLS stream whose task is ``run``; an ``http_connection.Wire``. ``closed`` is called once, with the connection.

    What its task has read or written is handed to the batch, and it goes on when that was served.
    """

    __slots__ = (
        "_batch",
        "_closed",
        "_handed",
        "_reading",
        "_receives",
        "_scope",
        "_served",
        "_stream",
        "connection",
        "unread",
    )

    def __init__(
        self,
        sock: socket.socket,
        tls: ssl.SSLContext,
        batch: Batch,
        make: MakeConnection,
        closed: Callable[[HttpConnection], None],
    ) -> None:
        """Takes over the socket."""
        super().__init__()
        self.unread = False  # its task reads by itself
        below = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._stream = trio.SSLStream(below, tls, server_side=True, https_compatible=True)
        self._batch = batch
        self._closed = closed
        self._scope = trio.CancelScope()
        self._reading = trio.CancelScope()  # ended by what is to be written meanwhile
        self._receives = False
        self._served = AutoResetEvent()
        self._handed: bytes | int | None = None  # what was read, or how much was written
        self.connection = make(self)

    def __repr__(self) -> str:
        return f"the HTTPS connection of {self.connection.held.owner}"

    async def run(self) -> None:
        """Until either side ends it. Nothing that the client does makes it raise."""
        stream, connection = self._stream, self.connection
        try:
            with self._scope:
                await stream.do_handshake()
                self._batch.add(self, stream.transport_stream.socket.fileno(), 0)
                while True:
                    with trio.CancelScope() as self._reading:
                        while True:
                            await self._move()
                    self._receives = False
                    await self._have_it_served()
        except (trio.BrokenResourceError, OSError):
            pass  # reset, no TLS, or one more than the kernel can watch: there is nobody to be told
        finally:
            connection.end()
            self._batch.remove(self)  # where it had ended before it was added
            await trio.aclose_forcefully(stream)

    async def _move(self) -> None:
        """Write, or read, and have that served; or wait until there is something to do."""
        connection = self.connection
        if unsent := connection.unsent:
            await self._stream.send_all(unsent)
            self._handed = len(unsent)
        elif connection.activity is _READING:
            self._receives = True
            self._handed = bytes(await self._stream.receive_some(READ_SIZE))
            self._receives = False
        elif connection.activity is _LINGERING:  # nothing can be written any more, as TLS may want to while it reads
            self._handed = bytes(await self._stream.transport_stream.receive_some(READ_SIZE))
        else:
            await self._served.wait()
            return
        self._batch.again(self)
        await self._have_it_served()

    async def _have_it_served(self) -> None:
        while self._unserved():
            await self._served.wait()

    def _unserved(self) -> bool:
        """Whether the batch has yet to take what was handed over.

        A function, because the answer changes within ``await``: mypy takes an attribute for what was assigned to it
        before, and mypyc raises TypeError where it is something else by now.
        """
        return self._handed is not None

    def serve(self, events: int) -> int:
        """What its task has handed over, or the next request."""
        connection, work = self.connection, 0
        handed, self._handed = self._handed, None
        if events & HUNG_UP:
            connection.hung_up()
        if isinstance(handed, int):
            connection.taken(handed)
        elif handed is not None:
            if connection.activity is _READING or connection.activity is _LINGERING:
                work = connection.receive(handed)
        elif connection.activity is _QUEUED:
            work = connection.go_on()
        self._served.set()
        return work

    def send(self, _data: bytes) -> int:
        """As Wire has it: its task writes."""
        self._served.set()
        if self._receives:
            self._reading.cancel()
        return 0

    def send_eof(self) -> None:
        """As Wire has it: TCP's end, as TLS has none that all clients understand."""
        with suppress(OSError):
            self._stream.transport_stream.socket.shutdown(socket.SHUT_WR)

    def again(self) -> None:
        """As Wire has it."""
        self._batch.again(self)

    def close(self) -> None:
        """As Wire has it; its task does so. As HTTPS has it, without a close_notify: every answer has its length."""
        self._batch.remove(self)
        self._scope.cancel()
        self._closed(self.connection)

    def fault(self) -> None:
        """As Wire has it."""
        self._batch.end(self)

    def fail(self) -> None:
        """As Member has it."""
        self.connection.end()
