"""The WebSocket frames that nearly all traffic of a Janus consists of: whole messages in one text frame.

Owns their recognition and their making, and nothing of the rest of RFC 6455: whatever looks otherwise is left to the
protocol engine, judgement included. An engine that knows everything spends five times as long on each of these.
Authority: RFC 6455 sections 5.2 and 5.3; Janus sends unmasked frames of at most 2,800 bytes.
"""

_WHOLE_TEXT = 0x81  # FIN, no reserved bit, opcode text
_MASKED = 0x80
_SHORT, _TWO_BYTES, _EIGHT_BYTES = 125, 126, 127


class TextFrames:
    """The frames of one connection, however its bytes are cut. A read may end anywhere, and the engine, once it had the
    beginning of a frame, would be needed for all that comes until a read ends with one: three quarters of a burst.
    """

    def __init__(self) -> None:
        self._beginning = bytearray()  # of a frame
        self._needed = 0  # bytes that it must have before another look says more: each byte is copied twice at most

    @property
    def unfinished(self) -> bool:
        """Whether the last bytes were the beginning of such a frame; the rest of it has to come here."""
        return self._needed > 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The payloads of the frames that are whole now, and the bytes behind them that are for the engine."""
        if self._needed:
            self._beginning += data
            if len(self._beginning) < self._needed:
                return [], b""
            data = bytes(self._beginning)
            self._beginning.clear()
        payloads, rest, self._needed = text_frames(data)
        if self._needed:
            self._beginning += data[rest:]
            return payloads, b""
        return payloads, data[rest:]


def text_frames(data: bytes) -> tuple[list[bytes], int, int]:
    """The payloads of the text frames that stand whole at the front of ``data``, and where the rest begins.

    A number above 0: the rest is the beginning of another such frame, and should come again once it has so many bytes.
    """
    payloads: list[bytes] = []
    at, end = 0, len(data)
    while at < end and data[at] == _WHOLE_TEXT:
        if end - at < 2:
            return payloads, at, 2
        length, start = data[at + 1], at + 2
        if length == _TWO_BYTES:
            if end - at < 4:
                return payloads, at, 4
            length, start = data[at + 2] << 8 | data[at + 3], at + 4
            if length <= _SHORT:
                break  # not minimal: not for us to judge
        elif length > _SHORT:
            break  # masked, or eight bytes of length
        if start + length > end:
            return payloads, at, start + length - at
        at = start + length
        payloads.append(data[start:at])
    return payloads, at, 0


def text_frame(payload: bytes, key: bytes) -> bytes:
    """A message of a client in one frame. ``key``: four bytes that nobody can predict, new for each frame."""
    size = len(payload)
    if size <= _SHORT:
        head = bytes((_WHOLE_TEXT, _MASKED | size))
    elif size <= 0xFFFF:
        head = bytes((_WHOLE_TEXT, _MASKED | _TWO_BYTES)) + size.to_bytes(2, "big")
    else:
        head = bytes((_WHOLE_TEXT, _MASKED | _EIGHT_BYTES)) + size.to_bytes(8, "big")
    mask = (key * (size // 4 + 1))[:size]
    # As two numbers: the one way in Python to combine all their bytes at once.
    masked = (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little")
    return head + key + masked
