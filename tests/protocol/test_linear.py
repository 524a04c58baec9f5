"""Every parser of outside bytes does work in proportion to what it gets: eight times the bytes, at most ten times the
steps (tests/support/work.py), whatever the bytes are and however they are cut.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bridge.errors import BridgeError
from bridge.protocol import codec, event_answers, framing
from tests.support.work import Bytes, counting

SIZE = 512  # bytes of the smaller input
TIMES, AT_MOST = 8, 10


def steps(parse: Callable[[bytes], Any], data: bytes) -> int:
    modules = (framing, event_answers, codec)
    with counting(*modules) as spent:
        with suppress(BridgeError, ValueError):
            parse(Bytes(data))
        return spent()


def pieces(feed: Callable[[bytes], Any], size: int) -> Callable[[bytes], None]:
    def parse(data: bytes) -> None:
        for at in range(0, len(data), size):
            feed(data[at : at + size])

    return parse


def fifo(data: bytes) -> None:
    list(framing.split_fifo(data))


def splitter(size: int) -> Callable[[bytes], None]:
    def parse(data: bytes) -> None:
        pieces(event_answers.ObjectSplitter().feed, size)(data)

    return parse


def filled(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


FIFO = [b"\n::{", b'\n::{"', b"\n:", b":", b"\n:x:[1,", b"::{}", b"x", b"\n", b'::{"\\', b'"', b"\n::{}x"]
OBJECTS = [b"{}", b"{", b'{"', b'"\\', b'{"id":1}', b" ", b'{"a":"\\"', b"\\", b"{} \n"]


@pytest.mark.parametrize("unit", FIFO)
def test_fifo(unit: bytes) -> None:
    assert steps(fifo, filled(unit, SIZE * TIMES)) <= AT_MOST * steps(fifo, filled(unit, SIZE))


@pytest.mark.parametrize("cut", [1, 2, 1 << 20])
@pytest.mark.parametrize("unit", OBJECTS)
def test_stream_answers(unit: bytes, cut: int) -> None:
    parse = splitter(cut)
    start = b'{"a":"' if not unit.startswith(b"{") else b""
    assert steps(parse, start + filled(unit, SIZE * TIMES)) <= AT_MOST * steps(parse, start + filled(unit, SIZE))
