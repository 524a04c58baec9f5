"""WebSocket frames as bytes, right and wrong ones (RFC 6455, 5.2): what a well-behaved library refuses to send."""

import base64
import hashlib
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode: int, payload: bytes, *, final: bool = True, reserved: int = 0) -> bytes:
    """One unmasked frame, as a server sends it. ``reserved``: the three RSV bits, 0 unless it shall be broken."""
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 1 << 16:
        return head + struct.pack("!BH", 126, len(payload)) + payload
    return head + struct.pack("!BQ", 127, len(payload)) + payload


def masked(opcode: int, payload: bytes) -> bytes:
    """One short frame as a client sends it, masked with zeros, which leave the payload readable."""
    assert len(payload) < 126
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def fragments(text: bytes, size: int = 2800) -> bytes:
    """One text message in frames of ``size`` payload bytes; the default is where Janus cuts."""
    pieces = [text[start : start + size] for start in range(0, len(text), size)] or [b""]
    last = len(pieces) - 1
    return b"".join(
        frame(CONTINUATION if number else TEXT, piece, final=number == last) for number, piece in enumerate(pieces)
    )


def accept_key(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
