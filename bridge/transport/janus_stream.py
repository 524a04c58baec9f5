"""A WebSocket to a Janus on a stream of trio: what is encrypted, and streams in memory.

Owns when is read and written. Must not know what a message means, nor how the stream was opened. Authority: contract
5.8 and 5.9. Such a connection can be held for another process, and not adopted: nothing exports the state of TLS.
"""

import ssl
from typing import Final

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.protocol.fragments import DiscardedMessage
from bridge.protocol.text_frames import text_frame
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
from bridge.transport.outbox import WRITE_SIZE
from bridge.transport.tls import tls_text
from bridge.transport.websocket_options import WebSocketObserver, WebSocketOptions

# Bytes that wait here for their message to be whole: a frame of Janus has 2,800. What is longer is read as it comes,
# and counts as unfinished then.
_WINDOW: Final = 8192


class JanusStream:
    """An open WebSocket. ``number`` of its socket, for the next process; ``closing``: it was told to; ``handed_over``:
    another process has its socket, too.
    """

    adopted = False
    in_step = False  # nobody else has what TLS knows of it

    def __init__(
        self,
        stream: trio.abc.Stream,
        unread: bytes,
        options: WebSocketOptions,
        reports: WebSocketObserver,
        owner: str,
    ) -> None:
        """``stream`` stays its owner's, who closes it after ``run``; ``unread`` came with the answer to the upgrade;
        ``owner``: see JanusWebSocket.
        """
        self.number = 0
        self.closing = False
        self.handed_over = False
        self._stream = stream
        self._reports = reports
        self._options = options
        self._websocket = JanusWebSocket(options, owner, _WINDOW)
        self._unread = unread
        self._end = CLOSED_BY_US
        self._ending = trio.CancelScope()
        self._closed = trio.Event()
        self._busy = False  # with what was read
        self._last_received = trio.current_time()
        self._writable = True
        self._outbox = bytearray()
        self._texts = False  # are in it
        self._outbox_filled = AutoResetEvent()
        self._sending = False
        self._written = AutoResetEvent()

    @property
    def last_received(self) -> float:
        """trio's clock when bytes came last; now, while what came is being handled."""
        return trio.current_time() if self._busy else self._last_received

    async def run(self) -> str:
        """Report messages until the connection ends; returns why it ended."""
        try:
            with self._ending:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write_forever)
                    nursery.start_soon(self._close_in_time)
                    await self._read_forever()
        finally:
            self._writable = False
            self._websocket.let_go()
        return self._end

    def _over(self, reason: str) -> None:
        if not self._ending.cancel_called:
            self._end = reason
        self._writable = False
        self._ending.cancel()

    # Reading

    async def _read_forever(self) -> None:
        while True:
            if self._unread:
                await self._handle_unread()
            try:
                data = await self._stream.receive_some(READ_SIZE)  # a checkpoint: a flood does not starve others
            except trio.BrokenResourceError as exc:
                cause = exc.__cause__
                self._over(
                    tls_text(cause) if isinstance(cause, ssl.SSLError) else f"connection lost: {cause or 'reset'}"
                )
                return
            if not data:
                await self._handle(self._websocket.finish(self._unread))
                self._over(CLOSED_BY_JANUS)
                return
            self._unread += data

    async def _handle_unread(self) -> None:
        more = True
        while more:
            heard, used, more = self._websocket.read(self._unread)
            self._unread = self._unread[used:]
            self._busy = True
            await self._handle(heard)
            if more:
                await trio.lowlevel.checkpoint()
            self._busy = False
        self._last_received = trio.current_time()
        self._reports.on_frames()

    async def _handle(self, heard: list[Heard]) -> None:
        for item in heard:
            if isinstance(item, str):
                if len(item) <= LONG:
                    self._reports.on_text(item)
                else:
                    await self._reports.on_long_text(item)
            elif isinstance(item, DiscardedMessage):
                self._reports.on_refused(item.reason, item.head, too_large=item.too_large)
            elif isinstance(item, bytes):
                if len(self._outbox) <= MAX_UNSENT_PONGS:
                    self._write(item)
            else:
                self._write(item.answer)
                self._over(item.reason)

    # Writing

    def send_text(self, text: bytes) -> None:
        """Send a message. Does nothing on a connection that ended: that is reported by itself."""
        self._texts = True
        self._write(text_frame(text, next(MASK_KEYS)))

    def send_ping(self) -> None:
        """Ask for a sign of life."""
        self._write(self._websocket.ping())

    def _write(self, data: bytes) -> None:
        if self._writable and data:
            self._outbox += data
            self._outbox_filled.set()

    async def _write_forever(self) -> None:
        """Everything that came in one turn of the event loop at once; each portion has its time."""
        while True:
            await self._outbox_filled.wait()
            while self._outbox:
                portion = bytes(self._outbox[:WRITE_SIZE])
                del self._outbox[:WRITE_SIZE]
                self._sending = True
                await self._send(portion)
                self._sending = False
            self._texts = False
            self._written.set()

    async def _send(self, data: bytes) -> None:
        if self._texts and self._options.may_write is not None and not self._options.may_write():
            self._stall()  # this process was stopped since it was to be written
            return
        with trio.move_on_after(self._options.send_timeout) as scope:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._outbox.clear()  # the reader sees the end, too
        if scope.cancelled_caught:
            self._stall()  # part of a frame may have left: whatever was written behind it would be read as its rest

    def _stall(self) -> None:
        self._writable = False
        self._outbox.clear()
        self._reports.on_stalled()

    # The end

    def close(self) -> None:
        """Close politely, soon."""
        self._write(self._websocket.close())
        self._writable = False
        self.closing = True
        self._closed.set()

    async def _close_in_time(self) -> None:
        await self._closed.wait()
        await trio.sleep(self._options.close_timeout)
        self._over(CLOSED_BY_US)

    async def freeze(self) -> str | None:
        """Leave it to another process, which can hold the socket and no more: write what waits, 1 s at most; then
        ``run`` ends. Returns why no more.
        """
        self._writable = False
        with trio.move_on_after(self._options.close_timeout):
            while self._outbox or self._sending:
                await self._written.wait()
        self.handed_over = not self._ending.cancel_called
        self._over(HANDED_OVER)
        return "it is encrypted"
