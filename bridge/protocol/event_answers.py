"""What subscribers answer: an OpenSIPS to MI ``raise_event``, a listener to event_stream's reliable mode.

Owns the reading of these answers. Must not know sockets. Authority: OpenSIPS mi_datagram (whose error texts without
JSON are "400 Parse_error" and "500 Internal error"), evi/event_interface.c (404, 480), event_stream/stream_send.c.
"""

import re
from typing import Any, NamedTuple

from bridge.errors import MalformedMessage
from bridge.protocol import codec
from bridge.protocol.event_delivery import EventRefused
from bridge.protocol.printable import printable

_MAX_BUFFER = 64 * 1024  # bytes of an unfinished answer; none has a reason to be longer
_MARK = re.compile(rb'["{}]')  # what counts outside of a string
_STRING = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)  # the rest of a string, but for an escape that is cut
_BLANK = re.compile(rb"[ \t\r\n\v\f]*")


class Answer(NamedTuple):
    """``id`` is None where the answer carries none; ``error`` is None for success."""

    id: str | int | None
    code: int
    error: str | None


def read_answer(data: bytes) -> Answer:
    """One answer. Never fails: what is no JSON-RPC answer is an error without an id."""
    try:
        value = codec.parse(data.decode(), codec.REQUEST_ELEMENTS)
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


def refusal(event: str, answer: Answer) -> EventRefused:
    """The outcome of a raise that an OpenSIPS answered with an error, explained for the one who has to mend it."""
    if answer.code == 404:
        return EventRefused(
            "not_registered",
            f"answers 404 {answer.error}: its script has no event_route[{event}] (OpenSIPS 3.1 to 3.5 need "
            "event_route.so too; before 3.4 the event must also be published, e.g. by a raise_event() in any route)",
        )
    if answer.code == 480:
        return EventRefused(
            "no_subscriber", f"answers 480 {answer.error}: it knows {event} but has neither event_route nor subscriber"
        )
    return EventRefused("refused", f"answers {answer.code or ''} {answer.error}".replace("  ", " "))


class ObjectSplitter:
    """Cuts a byte stream of concatenated JSON objects, delimited or not, into objects. Looks at each byte once."""

    def __init__(self) -> None:
        self._buffer = bytearray()  # the unfinished object
        self._seen = 0  # bytes of it that were looked at
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that are complete now. Raises MalformedMessage for anything else, once they are handed out."""
        buffer = self._buffer
        buffer += data
        objects: list[bytes] = []
        start = 0
        while True:
            if not self._depth:
                start = _BLANK.match(buffer, start).end()  # type: ignore[union-attr]  # it matches everywhere
                self._seen = start
                if not buffer.startswith(b"{", start):
                    break
            end = self._end()
            if end is None:
                break
            objects.append(bytes(buffer[start:end]))
            start = end
        del buffer[:start]
        self._seen -= start
        if self._depth:
            if len(buffer) > _MAX_BUFFER:
                raise MalformedMessage(f"an object is longer than {_MAX_BUFFER} bytes")
        elif buffer and not objects:
            raise MalformedMessage(f"{_printable(bytes(buffer[:200]))} is not a JSON object")
        return objects

    def _end(self) -> int | None:
        """Where the first object ends, None if that is yet to come."""
        buffer = self._buffer
        while self._seen < len(buffer):
            if self._in_string:
                self._seen = _STRING.match(buffer, self._seen).end()  # type: ignore[union-attr]  # as above
                if not buffer.startswith(b'"', self._seen):
                    return None
                self._seen += 1
                self._in_string = False
            mark = _MARK.search(buffer, self._seen)
            self._seen = len(buffer) if mark is None else mark.end()
            if mark is None:
                return None
            if mark[0] == b'"':
                self._in_string = True
                continue
            self._depth += 1 if mark[0] == b"{" else -1
            if not self._depth:
                return self._seen
        return None


def _error(error: Any) -> tuple[int, str]:
    if not isinstance(error, dict):
        return 0, _printable(codec.render(error).encode("utf-8", "replace"))
    code = error.get("code")
    texts = [str(error[key]) for key in ("message", "data") if key in error]
    text = _printable(": ".join(texts).encode("utf-8", "replace"))
    return (code if isinstance(code, int) else 0), text


def _printable(data: bytes) -> str:
    return printable(data[:200].decode("utf-8", "replace"))
