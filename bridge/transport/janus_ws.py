"""The WebSocket to a Janus, without input and output: bytes in, what they say out; what is to be said in, bytes out.

Owns where messages begin and end, the engine, and the limits of contract 5.8. Two shells read and write for it:
``janus_socket.py`` where nothing is encrypted, ``janus_stream.py`` elsewhere. Must not know what a message means.
Authority: RFC 6455; Janus as observed.

The engine is wsproto. What is nearly all of the traffic, text in one frame or in a few, passes beside it, both ways
(``protocol/text_frames.py``); so it must be known when the engine stands between two messages. It does, because whole
messages are what it is given: what is left unread begins with a message. That is what another process needs to go on
with the stream. An exception is a message that is too long to be left unread: the engine gets it as it comes.

Not trio-websocket, which has the same engine: a lock for writing, a second task for each message, and a limit of size
that closes the connection, are in the way of a link. It is the tests' witness and the bench's yardstick.
"""

import os
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Final, NamedTuple, TypeAlias

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from bridge.protocol.budget import Holding
from bridge.protocol.fragments import DiscardedMessage, Fragments
from bridge.protocol.text_frames import (
    ILLEGAL,
    MaskKey,
    mask_keys,
    message_end,
    only_frame,
    text_fragments,
    text_frames,
)
from bridge.transport.websocket_options import WebSocketOptions

READ_SIZE: Final = 65_536
BATCH: Final = 64  # frames that are handled in one turn of the event loop: a read may hold thousands of tiny ones
BATCH_BYTES: Final = 16_384  # and what they hold: every byte may be an element of JSON
LONG: Final = 16_384  # characters of a message from which it is given to ``on_long_text``
MAX_UNSENT_PONGS: Final = 65_536  # bytes that wait to be written, beyond which no ping is answered

# How one ends, in words, where it is no End
CLOSED_BY_JANUS: Final = "Janus closed the connection"
CLOSED_BY_US: Final = "the bridge closed it"
HANDED_OVER: Final = "the bridge handed it over"

_DRAWN: Final = 4096  # bytes of randomness at a time


class End(NamedTuple):
    """There is nothing behind it. ``broken``: what came is no WebSocket, or no text; else the peer closed.

    ``answer``: the bytes that the peer should get.
    """

    reason: str
    broken: bool
    answer: bytes


# A message; one that was not kept; answers to pings; the end.
Heard: TypeAlias = str | DiscardedMessage | bytes | End


# For the frames of all connections.
MASK_KEYS: Final[Iterator[MaskKey]] = chain.from_iterable(map(mask_keys, map(os.urandom, repeat(_DRAWN))))


def _is_last(item: Heard) -> bool:
    """Whether nothing may be heard with it that came behind it."""
    return len(item) > LONG if isinstance(item, str) else isinstance(item, End)


class JanusWebSocket:
    """An open WebSocket. ``owner`` is who holds the bytes of unfinished messages; one of more than ``window`` bytes is
    not left unread.
    """

    def __init__(self, options: WebSocketOptions, owner: str, window: int) -> None:
        self._engine = Connection(ConnectionType.CLIENT)
        self._max_size = options.max_message_size
        self._max_frames = options.max_frames
        self._fragments = Fragments(options.max_message_size, options.max_frames, Holding(options.unfinished, owner))
        self._window = window
        self._broken = False
        self.between = True  # two messages: the engine has nothing of the one that is unread
        self.frames = 0  # that were read last
        # What is known of the message at the front, so that no frame is looked at twice:
        self._next = 0  # where its next frame begins, maybe beyond all that came
        self._goes_on = False  # it has one
        self._frames = 0  # that it had

    # Reading

    def read(self, data: bytes, *, patient: bool = True) -> tuple[list[Heard], int, bool]:
        """What the front of the stream says: a message, or a part of a long one, and what follows up to BATCH frames or
        BATCH_BYTES. ``data``: all that came and was not read. Not ``patient``: no message is left unread.

        Returns it, how many bytes that was, and whether there is more to say. With 0 bytes, more have to come first. A
        message longer than LONG, and an End, are the last.
        """
        only = only_frame(data) if self.between else None
        if only is not None:
            try:
                whole_text = only.decode()
            except UnicodeDecodeError:
                whole_text = None  # judged below
            if whole_text is not None and len(whole_text) <= self._max_size:
                self.frames = 1
                return [whole_text], len(data), False
        heard: list[Heard] = []
        at, left, needed, more = 0, BATCH, 0, True
        while more and left > 0 and at <= BATCH_BYTES:
            if self.between:
                payloads, at, needed = text_frames(data, at, left, BATCH_BYTES)
                left -= len(payloads)
                for payload in payloads:
                    try:
                        text = payload.decode()
                    except UnicodeDecodeError:
                        heard.append(self._invalid())
                        return heard, at, False
                    heard.append(text if len(text) <= self._max_size else self._fragments.too_long(text))
            if at == len(data) or (patient and 0 < needed < self._window):
                more = False
            elif left > 0 and at <= BATCH_BYTES:
                whole = self.between
                end = self._portion(data, at, patient)
                whole = whole and self.between
                left -= max(self._frames, 1)
                more = at < end < len(data)
                if end > at:
                    self._frames = 0
                    if not (whole and self._join(data, at, end, heard)):
                        self._feed(data[at:end], heard)
                    at = end
                    if heard and _is_last(heard[-1]):
                        break
        self.frames = BATCH - left
        return heard, at, more

    def finish(self, data: bytes) -> list[Heard]:
        """What the unread rest says, where nothing will come behind it."""
        heard: list[Heard] = []
        self._feed(data, heard)
        return heard

    def _portion(self, data: bytes, start: int, patient: bool) -> int:
        """The end of what the engine gets of ``data`` from ``start`` on."""
        size = len(data) - start
        if not self._broken and (self._goes_on or not self._next):
            at, self._goes_on, frames = message_end(data, start + self._next, self._goes_on, BATCH - self._frames)
            self._frames += frames
            self._next = at - start
            self._broken = at == ILLEGAL
        if self._broken:  # the engine says what is wrong
            self.between = False
            return len(data)
        whole = not self._goes_on and 0 < self._next <= size
        fits = self.between and self._frames < BATCH and max(size, self._next) < self._window
        if not whole and (not self._next or (patient and fits)):
            return start
        used = min(self._next, size)
        self._next -= used
        self.between = whole
        return start + used

    def _join(self, data: bytes, start: int, end: int, heard: list[Heard]) -> bool:
        """Hear a whole message in fragments. False: the engine has to, because something is the matter with it."""
        payloads = text_fragments(data, start, end)
        if not payloads or (self._max_frames is not None and len(payloads) > self._max_frames):
            return False
        try:
            text = b"".join(payloads).decode()
        except UnicodeDecodeError:
            return False
        if len(text) > self._max_size:
            return False
        heard.append(text)
        return True

    def _feed(self, data: bytes, heard: list[Heard]) -> None:
        """Let the engine read."""
        self._engine.receive_data(data)
        for event in self._engine.events():
            if isinstance(event, TextMessage | BytesMessage):
                message = self._fragments.add(
                    event.data, frame_over=event.frame_finished, message_over=event.message_finished
                )
                if message is not None:
                    heard.append(message)
            elif isinstance(event, Ping):
                before = heard[-1] if heard else ""
                if isinstance(before, bytes):  # a flood of them gets one write
                    heard[-1] = before + self._said(event.response())
                else:
                    heard.append(self._said(event.response()))
            elif isinstance(event, CloseConnection):
                heard.append(self._end(event))
                return

    def _end(self, event: CloseConnection) -> End:
        """wsproto has one event for a close frame and for what it cannot read (RFC 6455, 7.1.7)."""
        broken = self._engine.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING)
        answer = self._said(event.response())
        if not broken:
            return End(f"Janus closed the WebSocket with code {event.code}", broken, answer)
        if event.code == CloseReason.INVALID_FRAME_PAYLOAD_DATA:
            return End("Janus sent invalid UTF-8", broken, answer)
        return End(f"Janus broke the WebSocket protocol: {event.reason}", broken, answer)

    def _invalid(self) -> End:
        close = CloseConnection(code=CloseReason.INVALID_FRAME_PAYLOAD_DATA)
        return End("Janus sent invalid UTF-8", True, self._said(close))

    # Writing

    def ping(self) -> bytes:
        """Ask for a sign of life."""
        return self._said(Ping(payload=b""))

    def close(self) -> bytes:
        """Take leave: nothing may be said behind it."""
        return self._said(CloseConnection(code=CloseReason.NORMAL_CLOSURE))

    def _said(self, event: Event) -> bytes:
        try:
            return bytes(self._engine.send(event))
        except LocalProtocolError:  # closing or closed
            return b""

    # The end

    def let_go(self) -> None:
        """Hold nothing of what is for all connections."""
        self._fragments.let_go()
