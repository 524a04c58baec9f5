"""A WebSocket to a Janus on a plain socket, served by the batch.

Owns when is read and written, and in which state another process finds it. Must not know what a message means, nor how
the socket was opened. Authority: contract 5.8, 5.9 and 10; recv(2) and tcp(7) for MSG_PEEK and MSG_TRUNC; epoll(7).

Each read looks first, and takes just what it hands on, right before that. So what stands in the kernel begins with a
message, whenever this process dies, but for one that is too long to wait there. A process that has the same socket can
go on with it: such a connection is *adopted*. Whatever arrives makes an edge, so the beginning of a message waits for
the next one without noise: no low-water mark is needed, and one that another owner left would keep us asleep.

Its one task sleeps: it reads long messages. A clock runs only beside a write that waits, a message that does, a close.
"""

import socket
import sys
from typing import Final

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.protocol.fragments import DiscardedMessage
from bridge.protocol.text_frames import text_frame
from bridge.transport.batch import HUNG_UP, PIECE, WRITABLE, Batch, Member
from bridge.transport.janus_ws import (
    CLOSED_BY_JANUS,
    CLOSED_BY_US,
    HANDED_OVER,
    LONG,
    MASK_KEYS,
    MAX_UNSENT_PONGS,
    READ_SIZE,
    Heard,
    JanusWebSocket,
)
from bridge.transport.outbox import Outbox
from bridge.transport.receive_room import make_room
from bridge.transport.websocket_options import WebSocketObserver, WebSocketOptions

PATIENCE = 0.5  # seconds that the beginning of a message is left unread though nothing comes
_TAKEN: Final = memoryview(bytearray(READ_SIZE))  # where that goes which was looked at already


class JanusSocket(Member):
    """An open WebSocket. ``adopted``: another process opened it, and left it where a message begins. ``number`` of its
    socket, for the next process; ``closing``: it was told to; ``handed_over``: its socket is another process's now.
    """

    def __init__(
        self,
        sock: socket.socket,
        batch: Batch,
        options: WebSocketOptions,
        reports: WebSocketObserver,
        owner: str,
        *,
        adopted: bool = False,
    ) -> None:
        """``sock`` stays its owner's, who closes it after ``run``; ``owner``: see JanusWebSocket."""
        super().__init__()
        sock.setblocking(False)
        room = make_room(sock)
        self.adopted = adopted
        self.number, self.closing, self.handed_over = 0, False, False
        self._sock = sock
        self._batch = batch
        self._owner = owner
        self._reports = reports
        self._options = options
        self._websocket = JanusWebSocket(options, owner, min(room, READ_SIZE))
        self._nursery: trio.Nursery | None = None
        self._end: str | None = None  # why it is over
        self._failure: BaseException | None = None  # of what reads the messages
        self._fault: str | None = None  # why nothing can be made of it any more, though it is open
        self._freezing: trio.Event | None = None  # nothing is under way any more
        # Reading
        self._reading = True
        self._long: str | None = None  # a message that is being parsed
        self._long_came = AutoResetEvent()
        self._more = False  # of what came is to be handled
        self._hung_up = False
        self._seen, self._taken = 0, 0  # bytes that were looked at and not taken; that were taken
        self._patient = True  # with a message that is not whole
        self._waiting = False  # for the rest of one
        self._now = trio.lowlevel.current_clock().current_time  # bound once: trio.current_time() asks its way there
        self._last_received = self._now()
        # Writing
        self._writable = True
        self._outbox = Outbox(sock, options.send_timeout, options.may_write)
        self._watched = False  # it

    def __repr__(self) -> str:
        return f"<connection to {self._owner}>"

    @property
    def last_received(self) -> float:
        """trio's clock when bytes came last; now, while what came is being handled."""
        return trio.current_time() if self._more or self._long is not None else self._last_received

    async def run(self) -> str:
        """Report messages until the connection ends; returns why it ended."""
        self._batch.add(self, self._sock.fileno())
        try:
            async with trio.open_nursery() as self._nursery:
                self._watch_outbox()
                if self.closing:
                    self._nursery.start_soon(self._close_in_time)
                if self._end is not None:
                    self._nursery.cancel_scope.cancel()
                await self._read_long()
            if self._failure is not None:
                raise self._failure
            return self._end or CLOSED_BY_US
        finally:
            self._nursery = None
            self._batch.remove(self)
            self._websocket.let_go()

    # Reading

    def serve(self, events: int) -> int:
        """Member.serve: write what fits of the outbox, and read one portion."""
        if events & WRITABLE and self._outbox.waits:
            self._outbox.flush()
        if events & HUNG_UP:
            self._hung_up = True
        self._more = False
        if self._long is not None:
            return 0
        if not self._reading:
            if self._hung_up and self._fault is not None:
                self._over(CLOSED_BY_JANUS)
            return 0
        try:
            data = self._sock.recv(READ_SIZE, socket.MSG_PEEK)
        except BlockingIOError:
            return 0
        except OSError as exc:
            self._over(f"connection lost: {exc}")
            return 0
        size = len(data)
        if not size:
            self._over(CLOSED_BY_JANUS)
            return 0
        heard, used, more = self._websocket.read(data, patient=self._patient)
        self._patient = True
        if not used and self._hung_up:  # it will not be whole
            heard, used = self._websocket.finish(data), size
        if not used and size == self._seen:
            return 0
        self._last_received = self._now()
        self._seen = size - used
        if used:
            self._taken += self._sock.recv_into(_TAKEN, used, socket.MSG_TRUNC)
        for item in heard:
            if type(item) is str and len(item) <= LONG:
                self._reports.on_text(item)
            else:
                self._handle(item)
        self._reports.on_frames()
        if used and (more or size == READ_SIZE or self._hung_up):
            self._more = True
            self._batch.again(self)
        elif self._seen and not self._waiting and self._nursery is not None:
            self._waiting = True
            self._nursery.start_soon(self._wait_for_rest)
        if self._freezing is not None:
            self._settle()
        return max(self._websocket.frames * PIECE, used)

    async def _read_long(self) -> None:
        while True:
            await self._long_came.wait()
            assert self._long is not None
            await self._reports.on_long_text(self._long)
            self._long, self._last_received = None, trio.current_time()
            self._batch.again(self)
            self._settle()

    async def _wait_for_rest(self) -> None:
        """What is left unread takes room. Should that be why the rest does not come, only reading helps."""
        while self._seen:
            before = self._seen, self._taken
            await trio.sleep(PATIENCE)
            if before == (self._seen, self._taken):
                self._patient = False
                self._batch.again(self)
        self._waiting = False

    def _handle(self, item: Heard) -> None:
        """Nearly all that is heard is short messages; this is the rest."""
        if isinstance(item, str):
            self._long = item
            self._long_came.set()
        elif isinstance(item, DiscardedMessage):
            self._reports.on_refused(item.reason, item.head, too_large=item.too_large)
        elif isinstance(item, bytes):
            if len(self._outbox.waits) <= MAX_UNSENT_PONGS:
                self._write(item)
        elif item.broken and self.adopted:
            # Whatever was written now might be read as the rest of something, and a close frame end all calls.
            self._reading = self._writable = False
            self._outbox.waits.clear()
            self._fault = item.reason
            self._reports.on_out_of_step(item.reason)
        else:
            self._write(item.answer)
            self._over(item.reason)

    def fail(self) -> None:
        """Member.fail: whoever runs it gets the error."""
        self._failure = sys.exception()
        self._over(CLOSED_BY_US)

    def _over(self, reason: str) -> None:
        self._reading = self._writable = False
        self._end = self._end or reason
        self._settle()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # Writing

    def send_text(self, text: bytes) -> None:
        """Send a message. Does nothing on a connection that ended: that is reported by itself."""
        if self._writable and self._outbox.write(text_frame(text, next(MASK_KEYS))):
            self._watch_outbox()

    def send_ping(self) -> None:
        """Ask for a sign of life."""
        self._write(self._websocket.ping())

    def _write(self, data: bytes) -> None:
        if self._writable and self._outbox.write(data):
            self._watch_outbox()

    def _watch_outbox(self) -> None:
        if self._outbox.waits and not self._watched and self._nursery is not None:
            self._watched = True
            self._nursery.start_soon(self._watch)

    async def _watch(self) -> None:
        in_time = await self._outbox.watch()
        self._watched = False
        if not in_time:
            self._writable = False
            self._fault = "a write did not complete in janus_send_timeout"
            self._reports.on_stalled()
        self._settle()

    # The end

    def close(self) -> None:
        """Close politely, soon."""
        if self.closing:
            return
        self.closing = True
        self._write(self._websocket.close())
        self._writable = False
        if not self._reading and self._long is None:
            self._over(CLOSED_BY_US)
        elif self._nursery is not None:
            self._nursery.start_soon(self._close_in_time)

    async def _close_in_time(self) -> None:
        await trio.sleep(self._options.close_timeout)
        self._over(CLOSED_BY_US)

    async def freeze(self) -> str | None:
        """Leave the socket to another process: finish what is under way, 1 s at most, and read no more. Then ``run``
        ends, and whoever owns the socket keeps it open.

        None: it can be adopted. Else why not: it is in no state to be read or written by anybody but this process.
        """
        self._writable = False
        self._freezing = trio.Event()
        self._settle()
        with trio.move_on_after(self._options.close_timeout):
            await self._freezing.wait()
        why_not = self._end or self._fault or self._under_way()
        if self._end is None:
            self.handed_over = True
            self._over(HANDED_OVER)
        return why_not

    @property
    def in_step(self) -> bool:
        """Whether another process can go on with it: what is unread begins a message, what was written ended one."""
        return self._fault is None and self._under_way() is None

    def _under_way(self) -> str | None:
        if self._outbox.waits:
            return "a write did not complete"
        if self._long is not None:
            return "a long message is being read"
        return None if self._websocket.between else "half of a message was read"

    def _settle(self) -> None:
        if self._freezing is not None and (self._end or self._fault or not self._under_way()):
            self._reading = False
            self._freezing.set()
