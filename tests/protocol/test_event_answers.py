"""Answers of subscribers, whole and in pieces."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import MalformedMessage
from bridge.protocol.event_answers import Answer, ObjectSplitter, read_answer, refusal


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b'{"jsonrpc":"2.0","result":"OK","id":"7"}', Answer("7", 0, None)),
        (b'{"jsonrpc":"2.0","id":7,"result":null}', Answer(7, 0, None)),
        (
            b'{"jsonrpc":"2.0","error":{"code":404,"message":"Event not registered"},"id":"7"}',
            Answer("7", 404, "Event not registered"),
        ),
        (
            b'{"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params","data":"Too few"},"id":"7"}',
            Answer("7", -32602, "Invalid params: Too few"),
        ),
        (b'{"error":"no","id":7}', Answer(7, 0, '"no"')),
        (b'{"error":{"code":"x"},"id":7}', Answer(7, 0, "")),
        (b"400 Parse_error", Answer(None, 0, "400 Parse_error")),
        (b"\xff\n", Answer(None, 0, "\ufffd\\n")),
        (b"", Answer(None, 0, "")),
        (b"[]", Answer(None, 0, "[]")),
        (b'{"id":"7"}', Answer("7", 0, '{"id":"7"}')),
        (b'{"result":"OK","id":true}', Answer(None, 0, None)),
        (b'{"result":"OK","id":null}', Answer(None, 0, None)),
    ],
)
def test_read_answer(data: bytes, answer: Answer) -> None:
    assert read_answer(data) == answer


@given(st.binary(max_size=40))
def test_no_bytes_make_reading_fail(data: bytes) -> None:
    answer = read_answer(data)
    assert answer.error is None or answer.error.isprintable()


@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (Answer("7", 404, "Event not registered"), "not_registered", r"event_route\[E_JANUS_EVENT\]"),
        (Answer("7", 480, "Temporarily Unavailable"), "no_subscriber", "knows E_JANUS_EVENT but"),
        (Answer("7", 500, "Cannot Raise Event"), "refused", "answers 500 Cannot Raise Event"),
        (Answer(None, 0, "400 Parse_error"), "refused", "answers 400 Parse_error"),
    ],
)
def test_refusals_are_explained(answer: Answer, reason: str, text: str) -> None:
    refused = refusal("E_JANUS_EVENT", answer)
    assert refused.reason == reason
    with pytest.raises(type(refused), match=text):
        raise refused


objects = st.dictionaries(st.text('ab"\\{}€\n', max_size=5), st.text('ab"\\{}[]€\n', max_size=20), max_size=4)


@given(st.lists(st.tuples(objects, st.sampled_from(["", "\n", " \r\n\t"])), max_size=5), st.data())
def test_any_split_of_the_bytes_gives_the_same_objects(sent: list[tuple[Any, str]], data: st.DataObject) -> None:
    stream = b"".join(json.dumps(value, ensure_ascii=False).encode() + gap.encode() for value, gap in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    splitter = ObjectSplitter()
    got: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += splitter.feed(stream[start:end])
    assert [json.loads(item) for item in got] == [value for value, _ in sent]


@pytest.mark.parametrize("junk", [b"OK", b"[1]", b"}"])
def test_what_is_no_object_is_an_error_once_those_before_it_are_handed_out(junk: bytes) -> None:
    with pytest.raises(MalformedMessage, match="is not a JSON object"):
        ObjectSplitter().feed(junk)
    splitter = ObjectSplitter()
    assert splitter.feed(b'{"id":1}' + junk) == [b'{"id":1}']
    with pytest.raises(MalformedMessage, match="is not a JSON object"):
        splitter.feed(b"{}")


def test_an_object_without_end_is_an_error() -> None:
    splitter = ObjectSplitter()
    assert splitter.feed(b'{"a":"' + b"x" * 65530) == []
    with pytest.raises(MalformedMessage, match="longer than 65536 bytes"):
        splitter.feed(b"x")
