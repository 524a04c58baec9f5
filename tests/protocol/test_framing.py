import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.framing import MAX_REPLY_PATH, FifoRequest, reply_name_fault, split_fifo

NAME = st.text(st.characters(codec="utf-8", exclude_characters=":\n"), max_size=5)
TEXT = st.text(st.sampled_from('ab":{}[]\\\n🎉'), max_size=8)
BLANK = st.text(st.sampled_from(" \t\r\n"), max_size=3)
VALUE = st.recursive(
    st.integers() | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
CONTAINER = VALUE.filter(lambda value: isinstance(value, (list, dict)))


def split(chunk: bytes) -> tuple[list[FifoRequest], bytes]:
    """Requests, and what is none."""
    parts = list(split_fifo(chunk))
    requests = [part for part in parts if isinstance(part, FifoRequest)]
    return requests, b"".join(part for part in parts if isinstance(part, bytes))


@given(st.lists(st.tuples(BLANK, NAME, BLANK, CONTAINER, BLANK)), st.sampled_from([None, 1]))
def test_requests_written_one_behind_the_other_are_split(written: list[tuple[Any, ...]], indent: int | None) -> None:
    texts = [(name, json.dumps(value, indent=indent)) for _, name, _, value, _ in written]
    chunk = "".join(f"{a}:{name}:{b}{json.dumps(value, indent=indent)}{c}" for a, name, b, value, c in written)
    requests, garbage = split(chunk.encode())
    assert [(request.reply, request.body.decode()) for request in requests] == texts
    assert garbage == b""


@given(st.binary() | st.text(st.sampled_from(':"{}[]\\\n a')).map(str.encode))
def test_any_bytes_are_split_without_losing_any(chunk: bytes) -> None:
    requests, garbage = split(chunk)
    parts = b"".join(b":" + r.reply.encode("utf-8", "surrogateescape") + b":" + r.body for r in requests) + garbage
    blanks = bytes(range(1, 33))
    assert sorted(parts.translate(None, blanks)) == sorted(chunk.translate(None, blanks))


@pytest.mark.parametrize(
    ("chunk", "requests", "garbage"),
    [
        (b":r:5\n::{}", [FifoRequest("r", b"5"), FifoRequest("", b"{}")], b""),
        (b":r:{}garbage", [FifoRequest("r", b"{}")], b"garbage"),
        (b"{}", [], b"{}"),
        (b":r", [], b":r"),
        (b"\n:\n:r:{}", [FifoRequest("r", b"{}")], b":"),
        (b":r:", [FifoRequest("r", b"")], b""),
        (b':r:{"a":"}', [FifoRequest("r", b'{"a":"}')], b""),
        (b"which\n:r:[]\nwhat\n\n::{}", [FifoRequest("r", b"[]"), FifoRequest("", b"{}")], b"whichwhat\n"),
        (b":r:[[]\n::{}", [FifoRequest("r", b"[[]"), FifoRequest("", b"{}")], b""),
        (b":r:{]}::{}", [FifoRequest("r", b"{]")], b"}::{}"),
        (b':a:{"x"\n:1}\n::{}', [FifoRequest("a", b'{"x"\n:1}'), FifoRequest("", b"{}")], b""),
        (b":a:{\n:b:{\n:c:[]", [FifoRequest("a", b"{"), FifoRequest("b", b"{"), FifoRequest("c", b"[]")], b""),
        (b":\xff:[]", [FifoRequest("\udcff", b"[]")], b""),
    ],
)  # fmt: skip
def test_odd_chunks(chunk: bytes, requests: list[FifoRequest], garbage: bytes) -> None:
    assert split(chunk) == (requests, garbage)


@pytest.mark.parametrize("name", ["../x", "a.b", "a/b", "a\\b", "a\0b"])
def test_a_reply_name_stays_in_its_directory(name: str) -> None:
    assert reply_name_fault(name, "/tmp/") == "has a '.', '/', '\\' or NUL"


def test_a_reply_path_has_a_length() -> None:
    longest = "n" * (MAX_REPLY_PATH - len("/tmp/") - 1)
    assert reply_name_fault(longest, "/tmp/") is None
    assert reply_name_fault(longest + "n", "/tmp/") == "is too long: with /tmp/ at most 127 bytes"
    assert reply_name_fault("opensips_fifo_reply_1_2", "/tmp/") is None
