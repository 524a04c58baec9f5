"""Work per byte: whatever is repeated, whatever stands around it, eight times of it cost at most ten times the steps.

tests/protocol/test_linear.py has the inputs that were found by thinking; these are found by chance.
"""

from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.mi import Registry
from bridge.errors import BridgeError
from bridge.protocol import (
    codec,
    command,
    credentials,
    event_answers,
    fragments,
    framing,
    janus_url,
    jsonrpc,
    mi_address,
    reply_socket,
    text_frames,
    transactions,
)
from bridge.transport import http_head, http_parser
from tests.fuzz.targets import fuzz
from tests.support.callers import OPERATOR
from tests.support.work import Bytes, counting

SIZE = 256  # bytes of the smaller input, about
TIMES, AT_MOST = 8, 10
FLOOR = 400  # steps that an input may cost whatever its length: a constant must not pass for a slope

JSON = [*rb'{ } [ ] " \ : , 1 0. e9 - \u d800 {"a": "x",'.split(), b" "]
HTTP = b"POST /mi| HTTP/1.1|\r\n|\n|Host: h|a:| b|2\r\nxx\r\n|0\r\n|%|?|Content-Length: 9|Upgrade: x".split(b"|")
HTTP += [b"Transfer-Encoding: chunked", b"Connection: upgrade", b"Expect: 100-continue"]
FIFO = [*rb': :: :x: { } [ ] " \ x'.split(), b"\n", b" "]
TEXT = b"janusws:// h : / [ ] @ % %41 ? # udp: unix: tcp: mi: . 1 jb. = .. x.1.m.=".split()
FRAMES = [b"\x81", b"\x01a", b"\x7e", b"\x00\x90", b"a", b"\x81\x00", b"\x81\x02ab", b"\x01", b"\x80"]


def http(data: bytes) -> None:
    parser = http_parser.RequestParser(lambda _: None, "192.0.2.1", 1 << 20)
    for at in range(0, len(data), 100):
        if not parser.stopped:
            parser.feed(data[at : at + 100])


def splitter(data: bytes) -> None:
    objects = event_answers.ObjectSplitter()
    for at in range(0, len(data), 7):
        objects.feed(data[at : at + 7])


def in_fragments(data: bytes) -> None:
    message = fragments.Fragments(1 << 20, None)
    for at in range(0, len(data), 3):
        message.add(data[at : at + 3].decode("latin-1"), frame_over=True, message_over=at + 3 >= len(data))


def frames(data: bytes) -> None:
    text_frames.text_frames(data, 0, len(data), len(data))
    text_frames.message_end(data, 0, False, len(data))
    text_frames.message_end(data, 0, True, len(data))


def dispatch(data: bytes) -> None:
    Registry().dispatch(data, OPERATOR, lambda answer: None)


def every_text(data: bytes) -> None:
    text = data.decode("latin-1")
    for parse in (
        janus_url.JanusUrl.parse,
        reply_socket.ReplySocket.parse,
        mi_address.parse_datagram_address,
        transactions.decode,
    ):
        with suppress(ValueError, BridgeError):
            parse(text)


class Target(NamedTuple):
    """A parser, what its inputs are made of, and the modules whose libraries are counted."""

    parse: Callable[[bytes], Any]
    pieces: list[bytes]
    modules: tuple[ModuleType, ...]


TARGETS = {
    "http": Target(http, HTTP, (http_parser, http_head)),
    "fifo": Target(lambda data: list(framing.split_fifo(data)), FIFO, (framing,)),
    "stream answers": Target(splitter, JSON, (event_answers, codec)),
    "json": Target(lambda data: codec.parse(data.decode("latin-1")), JSON, (codec,)),
    "json-rpc": Target(jsonrpc.parse, JSON, (codec, jsonrpc)),
    "dispatch": Target(dispatch, JSON, (codec, jsonrpc)),
    "command": Target(lambda data: command.read_command(data.decode("latin-1")), JSON, (codec, command)),
    "frames": Target(frames, FRAMES, (text_frames,)),
    "fragments": Target(in_fragments, JSON, (fragments,)),
    "texts": Target(every_text, TEXT, (janus_url, reply_socket, mi_address, transactions, credentials)),
}


def steps(target: Target, data: bytes) -> int:
    with counting(*target.modules) as spent:
        with suppress(BridgeError, ValueError):
            target.parse(Bytes(data))
        return spent()


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_costs_more_than_its_length(name: str) -> None:
    target = TARGETS[name]
    some = st.lists(st.sampled_from(target.pieces) | st.binary(min_size=1, max_size=2), max_size=5).map(b"".join)

    @fuzz
    @given(head=some, unit=some.filter(bool), tail=some)
    def check(head: bytes, unit: bytes, tail: bytes) -> None:
        count = max(1, SIZE // len(unit))
        small, large = (steps(target, head + unit * (count * times) + tail) for times in (1, TIMES))
        assert large <= AT_MOST * small + FLOOR, (small, large)

    check()
