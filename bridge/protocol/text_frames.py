"""The WebSocket frames that nearly all traffic of a Janus consists of: whole messages in one text frame.

Owns their recognition, and nothing of the rest of RFC 6455: whatever looks otherwise is left to the protocol engine,
judgement included. An engine that knows everything spends five times as long on each of these.
Authority: RFC 6455 section 5.2; Janus sends unmasked frames of at most 2,800 bytes.
"""

_WHOLE_TEXT = 0x81  # FIN, no reserved bit, opcode text
_SHORT, _TWO_BYTES = 125, 126


def text_frames(data: bytes) -> tuple[list[bytes], int]:
    """The payloads of the text frames that stand whole at the front of ``data``, and where the rest begins."""
    payloads: list[bytes] = []
    at, end = 0, len(data)
    while end - at >= 2 and data[at] == _WHOLE_TEXT:
        length, start = data[at + 1], at + 2
        if length == _TWO_BYTES and end - at >= 4:
            length, start = data[at + 2] << 8 | data[at + 3], at + 4
            if length <= _SHORT:
                break  # not minimal: not for us to judge
        elif length > _SHORT:
            break  # masked, or eight bytes of length, or not whole yet
        if start + length > end:
            break
        at = start + length
        payloads.append(data[start:at])
    return payloads, at
