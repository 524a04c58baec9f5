"""The WebSocket frames that nearly all traffic of a Janus consists of: text, in one frame or in a few.

Owns their recognition and their making, and where a message of any kind ends. Nothing else of RFC 6455: the rest is
left to the protocol engine, judgement included. An engine that knows everything spends ten times as long on each of
these. Authority: RFC 6455 sections 5.2 to 5.5; Janus sends unmasked frames of at most 2,800 bytes.
"""

import struct
from typing import Final, TypeAlias

_WHOLE_TEXT: Final = 0x81  # FIN, no reserved bit, opcode text
_FIRST_TEXT: Final = 0x01  # of a message in fragments
_MIDDLE: Final = 0x00
_LAST: Final = 0x80
_FIN: Final = 0x80
_MASKED: Final = 0x80
_SHORT: Final = 125
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
_BEGINNING: Final = frozenset({0x01, 0x02, 0x81, 0x82})  # of a message: text and binary
_CONTINUED: Final = frozenset({_MIDDLE, _LAST})
_CONTROL: Final = frozenset({0x88, 0x89, 0x8A})  # close, ping, pong: never in fragments, but between those of a message

ILLEGAL: Final = -1

# Four bytes that nobody can predict, new for each frame; and they as a number.
MaskKey: TypeAlias = tuple[bytes, int]

_HEAD: Final = (_WHOLE_TEXT << 8 | _MASKED | _TWO_BYTES) << 16  # of a client's message, for two bytes of length
_KEPT: Final = 1024  # words of a pattern that is kept: 2 MiB, once there was a message of each length
_patterns: Final[dict[int, int]] = {}  # a 1 in each word, by their number: times a key, it is the mask


def only_frame(data: bytes) -> bytes | None:
    """The payload of ``data``, where that is one text frame and nothing else: nearly always, after each answer."""
    size = len(data)
    if size < 2 or data[0] != _WHOLE_TEXT:
        return None
    length = data[1]
    if length <= _SHORT:
        return data[2:] if length == size - 2 else None
    if length == _TWO_BYTES and size > _SHORT + 4 and data[2] << 8 | data[3] == size - 4:
        return data[4:]
    return None


def text_frames(data: bytes, at: int, most: int, size: int) -> tuple[list[bytes], int, int]:
    """The payloads of the text frames that stand whole in ``data`` from ``at`` on, and where the rest begins.

    They are ``most`` at most, and the one that makes the position more than ``size`` is the last. A number above 0: the
    rest is the beginning of another such frame, which has so many bytes, as far as they say.
    """
    payloads: list[bytes] = []
    end = len(data)
    while at < end and data[at] == _WHOLE_TEXT:
        if end - at < 2:
            return payloads, at, 2
        length = data[at + 1]
        start = at + 2
        if length == _TWO_BYTES:
            if end - at < 4:
                return payloads, at, 4
            length = data[at + 2] << 8 | data[at + 3]
            start = at + 4
            if length <= _SHORT:
                break  # not minimal: not for us to judge
        elif length > _SHORT:
            break  # masked, or eight bytes of length
        if start + length > end:
            return payloads, at, start + length - at
        at = start + length
        payloads.append(data[start:at])
        if len(payloads) == most or at > size:
            break
    return payloads, at, 0


def message_end(data: bytes, at: int, fragmented: bool, most: int) -> tuple[int, bool, int]:
    """Go from frame to frame through ``data``, from ``at`` on, to the end of a message, of a control frame outside of
    one, or to where not even a frame's length is known; over ``most`` frames at most.

    ``fragmented``: a message has begun before ``at``. Returns where the next frame begins (beyond ``data``, where the
    last one is not whole), whether a message has begun before that, and the number of frames. ILLEGAL for the position:
    what stands there is no frame that a server may send. At a position that moved and is in ``data``, without a message
    that has begun, one has ended.
    """
    end, number = len(data), 0
    while at < end and number < most:
        head = data[at]
        if head not in _CONTROL and head not in (_CONTINUED if fragmented else _BEGINNING):
            return ILLEGAL, fragmented, number
        if end - at < 2:
            break
        length = data[at + 1]
        start = at + 2
        if length > _SHORT:
            size = {_TWO_BYTES: 2, _EIGHT_BYTES: 8}.get(length)
            if size is None or head in _CONTROL:
                return ILLEGAL, fragmented, number
            if end - start < size:
                break
            length = int.from_bytes(data[start : start + size], "big")
            start += size
            if length <= (_SHORT if size == 2 else 0xFFFF) or length >> 63:
                return ILLEGAL, fragmented, number
        at = start + length
        number += 1
        if head not in _CONTROL:
            fragmented = not head & _FIN
        if not fragmented:
            break
    return at, fragmented, number


def text_fragments(data: bytes, at: int, end: int) -> list[bytes]:
    """The payloads of the frames from ``at`` to ``end``, which are a whole message by ``message_end``. None, if it is
    not text, or if control frames stand between them.
    """
    payloads: list[bytes] = []
    legal = _FIRST_TEXT
    while at < end:
        head, length = data[at], data[at + 1]
        if head != legal and head != _LAST:
            return []
        legal = _MIDDLE
        start = at + 2
        if length > _SHORT:
            size = 2 if length == _TWO_BYTES else 8
            length = int.from_bytes(data[start : start + size], "big")
            start += size
        at = start + length
        payloads.append(data[start:at])
    return payloads


def mask_keys(pool: bytes) -> list[MaskKey]:
    """The keys that these random bytes are, a multiple of four."""
    count = len(pool) // 4
    return list(zip(struct.unpack("4s" * count, pool), struct.unpack(f"<{count}I", pool), strict=True))


def text_frame(payload: bytes, mask_key: MaskKey) -> bytes:
    """A message of a client in one frame."""
    size = len(payload)
    if size <= _SHORT:
        head = bytes((_WHOLE_TEXT, _MASKED | size))
    elif size <= 0xFFFF:
        head = (_HEAD | size).to_bytes(4, "big")
    else:
        head = bytes((_WHOLE_TEXT, _MASKED | _EIGHT_BYTES)) + size.to_bytes(8, "big")
    key, number = mask_key
    words = size + 3 >> 2
    mask = (_patterns.get(words) or _pattern(words)) * number
    # As two numbers: the one way in Python to combine all their bytes at once.
    masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(words * 4, "little")
    return head + key + masked[:size]


def _pattern(words: int) -> int:
    pattern = int.from_bytes(b"\1\0\0\0" * words, "little")
    if words <= _KEPT:
        _patterns[words] = pattern
    return pattern
