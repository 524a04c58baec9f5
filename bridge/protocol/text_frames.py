"""The WebSocket frames that nearly all traffic of a Janus consists of: whole messages in one text frame.

Owns their recognition and their making, and nothing of the rest of RFC 6455: whatever looks otherwise is left to the
protocol engine, judgement included. An engine that knows everything spends five times as long on each of these.
Authority: RFC 6455 sections 5.2 and 5.3; Janus sends unmasked frames of at most 2,800 bytes.
"""

_WHOLE_TEXT = 0x81  # FIN, no reserved bit, opcode text
_MASKED = 0x80
_SHORT, _TWO_BYTES, _EIGHT_BYTES = 125, 126, 127


def text_frames(data: bytes) -> tuple[list[bytes], int, bool]:
    """The payloads of the text frames that stand whole at the front of ``data``, and where the rest begins.

    True: the rest is the beginning of another such frame, and should come again with what follows it. A read may end
    anywhere, and the engine, once it has the beginning, would be needed for all that comes until a read ends with a
    frame: three quarters of a burst.
    """
    payloads: list[bytes] = []
    at, end = 0, len(data)
    while at < end and data[at] == _WHOLE_TEXT:
        if end - at < 2:
            return payloads, at, True
        length, start = data[at + 1], at + 2
        if length == _TWO_BYTES:
            if end - at < 4:
                return payloads, at, True
            length, start = data[at + 2] << 8 | data[at + 3], at + 4
            if length <= _SHORT:
                break  # not minimal: not for us to judge
        elif length > _SHORT:
            break  # masked, or eight bytes of length
        if start + length > end:
            return payloads, at, True
        at = start + length
        payloads.append(data[start:at])
    return payloads, at, False


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
