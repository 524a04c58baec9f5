"""What subscribers answer: an OpenSIPS to MI ``raise_event``, a listener to event_stream's reliable mode.

Owns the reading of these answers. Must not know sockets. Authority: OpenSIPS mi_datagram (whose error texts without
JSON are "400 Parse_error" and "500 Internal error"), evi/event_interface.c (404, 480), event_stream/stream_send.c.
"""

import re
from typing import Any, NamedTuple

from bridge.errors import MalformedMessage
from bridge.protocol import codec
from bridge.protocol.event_delivery import Refused

_MAX_BUFFER = 64 * 1024  # bytes of an unfinished answer; none has a reason to be longer
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|["{}]', re.DOTALL)  # a string; one without an end; a brace


class Answer(NamedTuple):
    """``id`` is None where the answer carries none; ``error`` is None for success."""

    id: str | int | None
    code: int
    error: str | None


def read_answer(data: bytes) -> Answer:
    """One answer. Never fails: what is no JSON-RPC answer is an error without an id."""
    try:
        value = codec.parse(data.decode())
    except (MalformedMessage, UnicodeDecodeError):
        value = None
    if not isinstance(value, dict):
        return Answer(None, 0, _printable(data))
    id = value.get("id")
    if isinstance(id, bool) or not isinstance(id, (str, int)):
        id = None
    if "error" not in value:
        return Answer(id, 0, None if "result" in value else _printable(data))
    code, text = _error(value["error"])
    return Answer(id, code, text)


def refusal(event: str, answer: Answer) -> Refused:
    """The outcome of a raise that an OpenSIPS answered with an error, explained for the one who has to mend it."""
    if answer.code == 404:
        return Refused(
            "not_registered",
            f"answers 404 {answer.error}: its script has no event_route[{event}] (OpenSIPS 3.1 to 3.5 need "
            "event_route.so too; before 3.4 the event must also be published, e.g. by a raise_event() in any route)",
        )
    if answer.code == 480:
        return Refused(
            "no_subscriber", f"answers 480 {answer.error}: it knows {event} but has neither event_route nor subscriber"
        )
    return Refused("refused", f"answers {answer.code or ''} {answer.error}".replace("  ", " "))


class ObjectSplitter:
    """Cuts a byte stream of concatenated JSON objects, delimited or not, into objects."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that are complete now. Raises MalformedMessage for anything else, once they are handed out."""
        self._buffer = (self._buffer + data).lstrip()
        objects: list[bytes] = []
        while self._buffer:
            if not self._buffer.startswith(b"{"):
                if objects:
                    break
                raise MalformedMessage(f"{_printable(self._buffer)} is no JSON object")
            end = _end(self._buffer)
            if end is None:
                if len(self._buffer) > _MAX_BUFFER:
                    raise MalformedMessage(f"an object is longer than {_MAX_BUFFER} bytes")
                break
            objects.append(self._buffer[:end])
            self._buffer = self._buffer[end:].lstrip()
        return objects


def _end(buffer: bytes) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(buffer):
        if token[0] == b'"':
            return None
        if token[0] == b"{":
            depth += 1
        elif token[0] == b"}":
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def _error(error: Any) -> tuple[int, str]:
    if not isinstance(error, dict):
        return 0, _printable(codec.render(error).encode("utf-8", "replace"))
    code = error.get("code")
    texts = [str(error[key]) for key in ("message", "data") if key in error]
    text = _printable(": ".join(texts).encode("utf-8", "replace"))
    return (code if isinstance(code, int) else 0), text


def _printable(data: bytes) -> str:
    text = data[:200].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)
