"""Messages put together from their fragments, under limits (contract 5.8).

Owns what is kept of a message that is over a limit: nothing but its head, in which its caller may be named. Must not
know WebSocket frames or what a message means. Authority: RFC 6455 section 5.4; Janus cuts at 2,800 bytes.
"""

from typing import NamedTuple

HEAD = 4096  # characters that are kept of a message that is refused; Janus's first fragment is shorter


class Refused(NamedTuple):
    """A message that was read to its end and not kept. ``head`` is how it began."""

    reason: str
    head: str
    too_large: bool


class Fragments:
    """One message after the other. ``max_size`` in characters; ``max_frames`` a message, None: any number."""

    def __init__(self, max_size: int, max_frames: int | None) -> None:
        self._max_size = max_size
        self._max_frames = max_frames
        self._start()

    def _start(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._frames = 0
        self._refusal: Refused | None = None

    def add(self, data: str | bytes | bytearray, *, frame_over: bool, message_over: bool) -> str | Refused | None:
        """A piece of a frame. Returns the message with its last piece, whole or refused; None before."""
        self._size += len(data)
        self._frames += frame_over
        if self._refusal is None:
            if data and isinstance(data, str):
                self._parts.append(data)
            self._refusal = self._judge(data)
            if self._refusal is not None:
                self._parts.clear()
        if not message_over:
            return None
        message = self._refusal or "".join(self._parts)
        self._start()
        return message

    def _judge(self, data: str | bytes | bytearray) -> Refused | None:
        if not isinstance(data, str):
            return Refused("is binary", "", too_large=False)
        if self._size > self._max_size:
            return self.too_long("".join(self._parts))
        if self._max_frames is not None and self._frames > self._max_frames:
            head = "".join(self._parts)[:HEAD]
            return Refused(f"is over janus_max_msg_chunks ({self._max_frames})", head, too_large=True)
        return None

    def too_long(self, text: str) -> Refused:
        """What is said of a message that begins so and is over ``max_size``."""
        return Refused(f"is over max_message_size ({self._max_size})", text[:HEAD], too_large=True)
