"""Messages put together from their fragments, under limits (contract 5.8).

Owns what is kept of a message that is over a limit: nothing but its head, in which its caller may be named. Must not
know WebSocket frames or what a message means. Authority: RFC 6455 section 5.4; Janus cuts at 2,800 bytes.
"""

import io
from typing import NamedTuple

from bridge.protocol.budget import Holding

HEAD = 4096  # characters that are kept of a message that is refused; Janus's first fragment is shorter


class DiscardedMessage(NamedTuple):
    """A message that was read to its end and not kept. ``head`` is how it began."""

    reason: str
    head: str
    too_large: bool


class Fragments:
    """One message after the other. ``max_size`` in characters; ``max_frames`` a message, None: any number; ``held`` is
    what the unfinished one holds of a budget, None: nothing.
    """

    def __init__(self, max_size: int, max_frames: int | None, held: Holding | None = None) -> None:
        self._max_size = max_size
        self._max_frames = max_frames
        self._held = held
        self._start()

    def _start(self) -> None:
        self._text = io.StringIO()  # one buffer: as a list, pieces of two characters would take 30 times as much
        self._size = 0
        self._frames = 0
        self._refusal: DiscardedMessage | None = None

    def add(
        self, data: str | bytes | bytearray, *, frame_over: bool, message_over: bool
    ) -> str | DiscardedMessage | None:
        """A piece of a frame. Returns the message with its last piece, whole or refused; None before."""
        self._size += len(data)
        self._frames += frame_over
        if self._refusal is None:
            if isinstance(data, str):
                self._text.write(data)
            self._refusal = self._judge(data, message_over)
            if self._refusal is not None:
                self._text = io.StringIO()
                self.let_go()
        if not message_over:
            return None
        message = self._refusal or self._text.getvalue()
        self.let_go()
        self._start()
        return message

    def let_go(self) -> None:
        """Let go of the budget: the message is over, or the connection."""
        if self._held is not None:
            self._held.release()

    def _judge(self, data: str | bytes | bytearray, message_over: bool) -> DiscardedMessage | None:
        if not isinstance(data, str):
            return DiscardedMessage("is binary", "", too_large=False)
        if self._size > self._max_size:
            return self.too_long(self._text.getvalue())
        if self._max_frames is not None and self._frames > self._max_frames:
            return self._refused(f"is over janus_max_msg_chunks ({self._max_frames})")
        if self._held is not None and not message_over:
            # A character may take four bytes; of a text that has one such, all do.
            more = len(data) if data.isascii() else 4 * len(data)
            if not self._held.resize(self._held.size + more):
                return self._refused("finds no room beside the unfinished messages of other gateways")
        return None

    def _refused(self, reason: str) -> DiscardedMessage:
        return DiscardedMessage(reason, self._text.getvalue()[:HEAD], too_large=True)

    def too_long(self, text: str) -> DiscardedMessage:
        """What is said of a message that begins so and is over ``max_size``."""
        return DiscardedMessage(f"is over max_message_size ({self._max_size})", text[:HEAD], too_large=True)
