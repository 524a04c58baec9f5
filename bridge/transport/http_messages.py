"""A request, a reply, and the bytes of a reply.

Owns what an answer looks like on the wire. Must not know sockets, parsing or the MI. Authority: RFC 9110, RFC 9112;
the order and the spelling of the headers are those of OpenSIPS's mi_http, because rest_client finds ``Content-Type``
only where it starts with a capital.
"""

import functools
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

from bridge.protocol.caller import Caller, Role

JSON: Final = b"application/json"
HTML: Final = b"text/html"

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

NOBODY: Final = Caller(Role.NONE, "nobody")
_STATUS: Final = {status.value: f"{status.value} {status.phrase}".encode() for status in HTTPStatus}
_CLOSE: Final = b"Connection: close\r\n"
_KEEP_ALIVE: Final = b"Connection: Keep-Alive\r\n"  # to be said to HTTP/1.0 alone; later versions assume it


class Reply(NamedTuple):
    """An answer. ``headers`` are whole lines, each with its CRLF; ``close`` ends the connection after it."""

    status: int
    content_type: bytes
    body: bytes = b""
    close: bool = False
    headers: bytes = b""
    reason: str = ""  # of a refusal, for the log


ACCEPTED: Final = Reply(202, JSON)
# What ``render`` makes of nearly all answers: JSON, to HTTP/1.1, and the connection goes on. % (date, length, body).
ANSWER: Final = b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class HttpRequest:
    """One request of one connection. Filled in by the parser; ``refusal`` is what it gets without being looked at."""

    __slots__ = (
        "body",
        "caller",
        "headers",
        "keep_alive",
        "length",
        "method",
        "old",
        "path",
        "peer",
        "query",
        "refusal",
    )

    def __init__(self, peer: str) -> None:
        self.peer = peer  # the address of the client, without a port
        self.method = b""
        self.path = b""  # without the query, as it came: nothing is percent-decoded
        self.query = b""  # behind the ?, as it came
        self.headers: dict[bytes, bytes] = {}  # names in lower case, equal ones joined by a comma
        self.length = -1  # of the body, as the head says it; -1 where it does not, or is not to be remembered
        self.body = b""
        self.keep_alive = False
        self.old = False  # HTTP/1.0
        self.refusal: Reply | None = None
        self.caller = NOBODY  # until it was asked who it is


# Heads of requests that were read and admitted, by the address of the client: the same bytes, between two requests and
# with a whole body behind them, mean the same again. Few are different in more than the length of the body. Found by
# a hash that nobody outside can predict, so the time that it takes tells nothing of a token in a head.
KnownHeads: TypeAlias = dict[tuple[str, bytes], HttpRequest]


def refuse(status: int, reason: str, *, close: bool = False, headers: bytes = b"") -> Reply:
    """A refusal with one line for a person, in the shape that OpenSIPS's httpd gives to such lines."""
    return Reply(status, HTML, f"<html><body>{reason}</body></html>".encode(), close, headers, reason)


def render(reply: Reply, request: HttpRequest, keep_alive: bool) -> bytes:
    """The bytes of an answer. It is complete in itself, and never needs the end of the connection."""
    if not keep_alive:
        connection = _CLOSE
    elif request.old:
        connection = _KEEP_ALIVE
    else:
        connection = b""
    return b"HTTP/1.1 %b\r\nDate: %b\r\n%bContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
        _STATUS[reply.status],
        date(int(time.time())),
        connection,
        reply.content_type,
        len(reply.body),
        reply.headers,
        reply.body if request.method != b"HEAD" else b"",
    )


@functools.lru_cache(maxsize=1)
def date(second: int) -> bytes:
    """Of a second since the epoch, as HTTP writes it."""
    return formatdate(second, usegmt=True).encode()
