"""The WebSocket to a Janus: trio-websocket, with its hot path taken over.

Owns reading and writing one connection, and the limits of contract 5.8 and 5.9. The only file that knows the WebSocket
library; must not know what a message means, nor how the stream was opened. Authority: RFC 6455; Janus as observed.

trio-websocket keeps the handshake and the protocol engine (wsproto). Two of its habits are replaced, because they halve
the speed: its send lock lets one writer go per turn of the event loop (here the first write after a read goes at once,
and what follows into an outbox that one task flushes in a single ``send_all``), and it hands every message to a second
task (here the reader reports it where it decodes it). A third is replaced because it would kill calls: a message over
its limit closes the connection. Whole text frames, both ways, are not made or read by the engine. What this relies on
inside the library is guarded by tests/transport/test_janus_ws.py.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, RejectConnection, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from bridge.auto_reset_event import AutoResetEvent
from bridge.errors import ConnectFailed
from bridge.protocol.budget import Holding
from bridge.protocol.fragments import DiscardedMessage, Fragments
from bridge.protocol.janus import SUBPROTOCOL
from bridge.protocol.text_frames import TextFrames, text_frame
from bridge.protocol.upgrade import refusal
from bridge.transport.direct_stream import DirectStream
from bridge.transport.tls import tls_text
from bridge.transport.upgrade_request import upgrade_request
from bridge.transport.websocket_options import Ended, WebSocketObserver, WebSocketOptions

if TYPE_CHECKING:
    from bridge.protocol.janus_url import JanusUrl

READ_SIZE = 65_536
WRITE_SIZE = 262_144  # a longer outbox is written in portions, each with its own deadline
MAX_UNSENT_PONGS = 65_536  # bytes in the outbox from which pings of a peer that does not read are not answered
_OPEN = ConnectionState.OPEN
BATCH = 64  # frames that are handled in one turn of the event loop: a read may hold thousands of tiny ones
BATCH_BYTES = 16_384  # and what they hold: every byte may be an element of JSON
LONG = 16_384  # characters of a message from which it is given to ``on_long_text``
# trio-websocket closes a connection for a longer message; ours are read to their end (contract 5.8).
OUT_OF_REACH = 2**62


class JanusWebSocket(WebSocketConnection):
    """One connection. ``last_received`` is trio's clock when the last frame of any kind came."""

    def __init__(
        self, stream: trio.abc.Stream, url: "JanusUrl", options: WebSocketOptions, reports: WebSocketObserver
    ) -> None:
        self._upgrade = upgrade = upgrade_request(url, options.origin, options.headers)
        super().__init__(
            stream,
            WSConnection(ConnectionType.CLIENT),
            host=upgrade.host,
            path=upgrade.target,
            client_subprotocols=[SUBPROTOCOL],
            client_extra_headers=upgrade.headers,
            max_message_size=OUT_OF_REACH,
        )
        self._reports = reports
        self._options = options
        self._outbox = bytearray()
        self._outbox_filled = AutoResetEvent()
        self._flushing = False
        self._direct = stream if isinstance(stream, DirectStream) else None
        self._wrote = False  # since the last read
        self._stalled = False
        self.closing = trio.Event()
        held = Holding(options.unfinished, url.netloc)
        self._fragments = Fragments(options.max_message_size, options.max_frames, held)
        self._between_messages = False  # then whole text frames need no engine
        self._whole_frames = TextFrames()
        self._last_received = trio.current_time()
        self._busy = False  # with what was read
        self._short = min(LONG, options.max_message_size)

    @property
    def last_received(self) -> float:
        return trio.current_time() if self._busy else self._last_received

    # Writing

    def send_text(self, text: str) -> None:
        """Append a message to the outbox. Does nothing on a connection that ended: that is reported by itself."""
        if self._wsproto.state is _OPEN:
            self._append_bytes(text_frame(text.encode(), os.urandom(4)))

    def send_ping(self) -> None:
        """Ask for a sign of life."""
        self._append(Ping(payload=b""))

    adopted = False

    async def freeze(self) -> str | None:
        """It ends when its task is cancelled, and is held then."""
        return "it can be held, but not adopted"

    def close(self) -> None:
        """Close politely, soon."""
        self._append(CloseConnection(code=1000))
        self.closing.set()

    def _append(self, event: Ping | Pong | CloseConnection) -> None:
        if isinstance(event, Pong) and len(self._outbox) > MAX_UNSENT_PONGS:
            return
        try:
            self._append_bytes(self._wsproto.send(event))
        except LocalProtocolError:  # closing or closed
            return

    def _append_bytes(self, data: bytes) -> None:
        if self._stalled:
            return
        if not self._wrote and self._direct is not None and not self._outbox and not self._flushing:
            # A lone caller should not wait for a turn of the event loop; of many, the others' writes go together.
            self._wrote = True
            try:
                data = data[self._direct.try_send(data) :]
            except trio.BrokenResourceError:
                return  # the reader sees the end, too
            if not data:
                return
        self._outbox += data
        self._outbox_filled.set()

    async def flush_forever(self) -> None:
        """Write what stands in the outbox, everything that came in one turn of the event loop at once."""
        while True:
            await self._outbox_filled.wait()
            outbox, self._outbox = self._outbox, bytearray()
            self._flushing = True
            with memoryview(outbox) as view:
                for start in range(0, len(outbox), WRITE_SIZE):
                    if not await self._write(view[start : start + WRITE_SIZE]):
                        return
            self._flushing = False

    async def _write(self, data: memoryview) -> bool:
        with trio.move_on_after(self._options.send_timeout) as scope:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return False  # the reader sees the end, too
        if scope.cancelled_caught:
            # Part of a frame may have left: whatever was written behind it would be read as its rest.
            self._stalled = True
            self._outbox.clear()
            self._reports.on_stalled()
            return False
        return True

    # Reading

    async def handshake(self) -> None:
        """Upgrade to WebSocket. Raises ConnectFailed."""
        try:
            assert self._initial_request is not None
            await self._send(self._initial_request)
            while not self._open_handshake.is_set():
                self._wsproto.receive_data(await self._receive())
                for event in self._wsproto.events():
                    if isinstance(event, AcceptConnection):
                        await self._handle_accept_connection_event(event)
                        break  # frames may stand behind it
                    if isinstance(event, RejectConnection):
                        raise ConnectFailed(refusal(event.status_code))
        except RemoteProtocolError as exc:
            raise ConnectFailed(f"the peer answered the WebSocket upgrade with something else: {exc}") from None
        except Ended as exc:
            # With TLS 1.3 the server judges a client's certificate after the client's handshake is over.
            raise ConnectFailed(str(exc) if exc.tls else self._upgrade.why_closed) from None
        except ConnectionClosed:
            raise ConnectFailed("the peer closed the connection during the upgrade to WebSocket") from None
        if self.subprotocol != SUBPROTOCOL:
            raise ConnectFailed(f"the peer did not accept the sub-protocol {SUBPROTOCOL}: is this a Janus?")

    async def read_forever(self) -> str:
        """Report messages until the connection ends; returns why it ended."""
        try:
            await self._handle_events()  # frames that came with the handshake's answer
            self._between_messages = self._engine_is_idle()
            while True:
                data = await self._receive()  # always a checkpoint: a flood does not starve others
                self._wrote = False
                if self._between_messages:
                    data = await self._handle_whole_frames(data)
                if data:
                    self._wsproto.receive_data(data)
                    await self._handle_events()
                    self._between_messages = self._engine_is_idle()
        except (Ended, RemoteProtocolError) as exc:
            return str(exc)
        finally:
            self._fragments.let_go()

    async def _receive(self) -> bytes:
        try:
            data = await self._stream.receive_some(READ_SIZE)
        except trio.BrokenResourceError as exc:
            cause = exc.__cause__
            if isinstance(cause, ssl.SSLError):
                raise Ended(tls_text(cause), tls=True) from None
            raise Ended(f"connection lost: {cause or 'reset'}") from None
        if not data:
            raise Ended("Janus closed the connection")
        return bytes(data)  # bytes already; the type of a stream is wider

    async def _handle_whole_frames(self, data: bytes) -> bytes:
        """Report the messages that need no engine; returns the rest."""
        payloads, data = self._whole_frames.feed(data)
        if not payloads and not self._whole_frames.unfinished:
            return data
        # A part of a frame is a sign of life, too: no pong can come inside it.
        self._last_received = trio.current_time()
        number = size = 0
        for payload in payloads:
            number += 1
            size += len(payload)
            try:
                text = payload.decode()
            except UnicodeDecodeError:
                raise Ended("Janus sent invalid UTF-8") from None
            if len(text) <= self._short:
                self._reports.on_text(text)
            else:
                await self._report(
                    text if len(text) <= self._options.max_message_size else self._fragments.too_long(text)
                )
            if number == BATCH or size > BATCH_BYTES:
                number = size = 0
                with self._handling():
                    await trio.lowlevel.checkpoint()
        self._reports.on_frames()
        return data

    def _engine_is_idle(self) -> bool:
        """Whether wsproto stands between two messages, with nothing of a frame in its buffer."""
        connection = self._wsproto.connection
        assert connection is not None
        frames = connection._proto
        decoder = frames._frame_decoder
        return frames._message_decoder.opcode is None and decoder.header is None and not len(decoder.buffer)

    async def _handle_events(self) -> None:
        number = handled = size = 0
        for number, event in enumerate(self._wsproto.events(), 1):
            if number == 1:
                self._last_received = trio.current_time()
            if isinstance(event, TextMessage | BytesMessage):
                size += len(event.data)
                await self._handle_message(event)
            elif isinstance(event, Ping):
                self._append(event.response())
            elif isinstance(event, CloseConnection):
                raise Ended(self._why_closed(event))
            handled += 1
            if handled == BATCH or size > BATCH_BYTES:
                handled = size = 0
                with self._handling():
                    await trio.lowlevel.checkpoint()
        if number:
            self._reports.on_frames()

    def _why_closed(self, event: CloseConnection) -> str:
        """wsproto has one event for a close frame and for what it cannot read (RFC 6455, 7.1.7)."""
        broken = self._wsproto.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING)
        self._append(event.response())
        if not broken:
            return f"Janus closed the WebSocket with code {event.code}"
        if event.code == CloseReason.INVALID_FRAME_PAYLOAD_DATA:
            return "Janus sent invalid UTF-8"
        return f"Janus broke the WebSocket protocol: {event.reason}"

    async def _handle_message(self, event: TextMessage | BytesMessage) -> None:
        ends = {"frame_over": event.frame_finished, "message_over": event.message_finished}
        await self._report(self._fragments.add(event.data, **ends))

    async def _report(self, message: str | DiscardedMessage | None) -> None:
        if isinstance(message, str):
            if len(message) <= LONG:
                self._reports.on_text(message)
            else:
                with self._handling():
                    await self._reports.on_long_text(message)
        elif message is not None:
            self._reports.on_refused(message.reason, message.head, too_large=message.too_large)

    @contextmanager
    def _handling(self) -> Iterator[None]:
        """While what came is being handled, nobody can say that nothing came."""
        self._busy = True
        yield
        self._busy = False
        self._last_received = trio.current_time()
