"""Events over TCP: ``tcp:HOST:PORT[/METHOD]``, as OpenSIPS's event_stream sends them.

Owns the connection: kept open, made anew when it has ended; objects follow each other without a delimiter. Must not
know queues. Authority: OpenSIPS modules/event_stream, its ``reliable_mode`` included.

An event is written whole or its connection is closed: half an object would spoil all that follow.
"""

import socket as sockets
from collections.abc import Awaitable, Callable

import trio

from bridge.errors import MalformedMessage
from bridge.protocol.event_answers import ObjectSplitter, read_answer
from bridge.protocol.event_delivery import EventRefused, NotSent, Parcel
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses

CONNECT_TIMEOUT = 3.0  # seconds
STALL_TIMEOUT = 30.0  # seconds without a byte taken, in the middle of an event: as long as one may wait
ANSWER_TIMEOUT = 5.0  # seconds, in reliable mode; OpenSIPS gives up after 1
_BUFFER = 65536
_ANSWERS = 4096  # bytes of answers that are read in one turn of the event loop: a thousand tiny ones take some ms
_MAX_READS = 16  # of what a listener talks back, for one event


class StreamSender:
    """Delivered is what the kernel took; in reliable mode, what was answered. One event at a time awaits its answer."""

    def __init__(self, socket: ReplySocket, addresses: Addresses) -> None:
        self._socket = socket
        self._addresses = addresses
        self._sock: sockets.socket | None = None
        self._turn = 0  # whose it is, of the addresses that the host has
        self._written = 0  # bytes of an event that is written in part
        self._splitter = ObjectSplitter()

    def try_send(self, parcel: Parcel) -> bool:
        """Write, if the connection is open and takes the whole event."""
        if self._socket.reliable or self._sock is None:
            return False
        try:
            self._read(self._sock)
            return self._write(self._sock, parcel.payload)
        except OSError:
            self.close()  # send() will connect anew
            return False

    async def send(self, parcel: Parcel, patience: float) -> None:
        """Connect, write, in reliable mode await the answer. Raises NotSent, Refused."""
        try:
            sock = await self._open()
            await self._write_all(sock, parcel.payload, patience)
            if self._socket.reliable:
                parcel.sent = True
                await self._answered(sock, parcel.event.reliable_id)
        except OSError as exc:
            self.close()
            raise NotSent(f"cannot be reached: {exc.strerror or exc}") from None
        except MalformedMessage as exc:
            self.close()
            raise NotSent(f"answered with something that is not an answer: {exc}") from None

    def close(self) -> None:
        """Close the connection, forget what came over it."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._written = 0
        self._splitter = ObjectSplitter()

    async def _open(self) -> sockets.socket:
        if self._sock is not None:
            try:
                self._read(self._sock)
                return self._sock
            except (OSError, MalformedMessage):
                self.close()  # the listener has restarted, perhaps; so at once to the new one
        family, address = await self._addresses.resolve(self._socket, self._turn)
        self._turn += 1  # where this comes to nothing
        sock = trio.socket.socket(family, sockets.SOCK_STREAM)
        with sock, trio.move_on_after(CONNECT_TIMEOUT):
            await sock.connect(address)
            sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
            # From here without trio's wrapping, whose send() has a checkpoint for each event.
            self._sock = sockets.socket(fileno=sock.detach())
            self._turn -= 1
            return self._sock
        raise NotSent(f"cannot be reached: no connection within {CONNECT_TIMEOUT:g} s")

    async def _write_all(self, sock: sockets.socket, payload: bytes, patience: float) -> None:
        written = -1
        while not self._write(sock, payload):
            if self._written > written:
                written = self._written
                deadline = trio.current_time() + (STALL_TIMEOUT if written else patience)
            with trio.move_on_at(deadline) as stalled:
                await _readable_or_writable(sock)
            if stalled.cancelled_caught:
                if written:
                    self.close()
                raise NotSent("is too slow: it does not read")
            self._read(sock)

    def _write(self, sock: sockets.socket, payload: bytes) -> bool:
        """Write on. Whether all of it is written now."""
        try:
            self._written += sock.send(memoryview(payload)[self._written :])
        except BlockingIOError:
            return False
        if self._written < len(payload):
            return False
        self._written = 0
        return True

    def _read(self, sock: sockets.socket) -> list[bytes]:
        """What came back: answers in reliable mode, else nothing of interest. Raises OSError when it has ended."""
        for _ in range(_MAX_READS):
            try:
                data = sock.recv(_ANSWERS if self._socket.reliable else _BUFFER)
            except BlockingIOError:
                break
            if not data:
                raise ConnectionResetError("it closed the connection")
            if self._socket.reliable:  # at once: an end that comes with an answer does not make it undone
                return self._splitter.feed(data)
        return []

    async def _answered(self, sock: sockets.socket, id: int) -> None:
        with trio.move_on_after(ANSWER_TIMEOUT):
            while True:
                await trio.lowlevel.wait_readable(sock)
                for answer in map(read_answer, self._read(sock)):
                    if not isinstance(answer.id, int):
                        raise MalformedMessage("there is no numeric id")
                    if answer.id == id:
                        if answer.error is not None:
                            raise EventRefused("refused", f"answers {answer.error}")
                        return
        self.close()
        raise NotSent(f"did not answer within {ANSWER_TIMEOUT:g} s")


async def _readable_or_writable(sock: sockets.socket) -> None:
    """Both: a listener that talks back may not read on before it was read, and one that has left says so at once."""

    async def one(wait: Callable[[sockets.socket], Awaitable[None]]) -> None:
        await wait(sock)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, trio.lowlevel.wait_readable)
        nursery.start_soon(one, trio.lowlevel.wait_writable)
