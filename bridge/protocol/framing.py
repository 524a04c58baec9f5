"""How MI requests are marked off from each other where the transport does not do it: the FIFO, and datagrams' ceiling.

Owns the FIFO's line ``:REPLYNAME:JSON``, the rules for REPLYNAME, and what a datagram can hold.
Must not know JSON-RPC, files or sockets. Authority: OpenSIPS modules mi_fifo, mi_datagram, as observed on 3.2 .. 4.1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# mi_datagram's buffer: requests and answers alike. A UDP packet could hold 50 bytes more.
DATAGRAM_CEILING: Final = 65457

# mi_fifo's MAX_MI_FILENAME: reply_dir, name and the closing NUL.
MAX_REPLY_PATH: Final = 128

_BLANKS: Final = re.compile(rb"[\x01-\x20]*")  # what cJSON skips
# What can open or close a JSON value, and strings as a whole, so that brackets in them do not count. A string that
# never ends is one too: then the rest is the value's, and no JSON.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class FifoRequest:
    """``reply`` is the name of the FIFO that gets the answer, empty where none is wanted."""

    reply: str
    body: bytes


def split_fifo(chunk: bytes) -> Iterator[FifoRequest | bytes]:
    """The requests in what one read of the FIFO gave, and as bytes whatever in it is none, in order.

    Writes of up to PIPE_BUF bytes arrive whole; several of them may arrive in one read. Blanks around a request do
    not count. Behind something that is no request, the next line that begins with a colon is taken for one. An
    iterator, because one read may hold twenty thousand: whoever takes them can pause.
    """
    unclosed = False
    at = _skip_blanks(chunk, 0)
    while at < len(chunk):
        colon = chunk.find(b":", at + 1) if chunk.startswith(b":", at) else -1
        if colon < 0 or chunk.find(b"\n", at, colon) >= 0:  # the name ends with its line
            end = _next_request(chunk, at)
            yield chunk[at:end]
        else:
            start = _skip_blanks(chunk, colon + 1)
            # Once a value was looked at to the end of the read without closing, no other one gets a look beyond the
            # next line that may be a request: each byte is looked at twice at most.
            found = _value_end(chunk, start, _next_request(chunk, start) if unclosed else len(chunk))
            unclosed = unclosed or found is None
            end = _next_request(chunk, start) if found is None else found
            yield FifoRequest(chunk[at + 1 : colon].decode("utf-8", "surrogateescape"), chunk[start:end])
        at = _skip_blanks(chunk, end)


def _skip_blanks(chunk: bytes, at: int) -> int:
    blanks = _BLANKS.match(chunk, at)
    return at if blanks is None else blanks.end()


def _next_request(chunk: bytes, at: int) -> int:
    found = chunk.find(b"\n:", at)
    return len(chunk) if found < 0 else found


def _value_end(chunk: bytes, start: int, limit: int) -> int | None:
    """Where the JSON text ends that begins at ``start``: at its last bracket, or with the line if it has none. None
    where its brackets do not close before ``limit``.
    """
    if chunk[start : start + 1] not in (b"{", b"["):
        newline = chunk.find(b"\n", start)
        return len(chunk) if newline < 0 else newline
    depth = 0
    for token in _TOKEN.finditer(chunk, start, limit):
        if token[0] in b"{[":
            depth += 1
        elif token[0] in b"}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def reply_name_fault(name: str, reply_dir: str) -> str | None:
    """Why ``name`` may not be a reply FIFO in ``reply_dir``, in words; None if it may."""
    if any(character in name for character in "./\\\0"):
        return "has a '.', '/', '\\' or NUL"
    if len((reply_dir + name).encode("utf-8", "surrogateescape")) >= MAX_REPLY_PATH:
        return f"is too long: with {reply_dir} at most {MAX_REPLY_PATH - 1} bytes"
    return None
