import json
from typing import Any, NamedTuple

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import MalformedMessage, UnknownJanusId
from bridge.protocol import jsonrpc
from bridge.protocol.jsonrpc import (
    Envelope,
    InvalidRequest,
    RpcError,
    render_error,
    render_request,
    render_result,
)
from bridge.resources import schema

TEXT = st.text(st.characters(), max_size=8)  # lone surrogates too: they can be written as escapes
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | JSON,
        "method": TEXT | JSON,
        "params": st.lists(JSON, max_size=2) | st.dictionaries(TEXT, JSON, max_size=2) | JSON,
        "id": TEXT | JSON,
        "other": JSON,
    },
)


class Request(NamedTuple):
    """What was parsed, by names."""

    method: str
    params: Any
    id: str | int | None
    notification: bool
    clean: bool


def parse(body: bytes) -> Request:
    envelope, params, clean = jsonrpc.parse(body)
    return Request(envelope.method, params, envelope.id, envelope.notification, clean)


def envelope(id: str | int | None) -> Envelope:
    return Envelope("m", id, False)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_request_or_one_of_two_errors(body: bytes) -> None:
    try:
        request = parse(body)
    except (MalformedMessage, InvalidRequest):
        return
    assert isinstance(request.method, str)


KEYS = ["jsonrpc", "method", "params", "id", "Method", "ID", "m\\u0065thod", "other", "body"]
VALUES = [
    '"2.0"',
    '"m"',
    '"n"',
    "[1]",
    '{"id":2}',
    '{"id":3,"a":"\\u00e9"}',
    "[]",
    "7",
    "8",
    "null",
    "18446744073709551616",
]


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=6), st.sampled_from(["", " x", "}"])
)
def test_of_equal_members_the_first_wins_however_it_is_spelled(pairs: list[tuple[str, str]], behind: str) -> None:
    head = [("jsonrpc", '"2.0"'), *pairs, ("method", '"last"'), ("params", "[9]")]
    expected: dict[str, Any] = {}
    for key, value in head:
        expected.setdefault(json.loads(f'"{key}"').lower(), json.loads(value))
    text = "{" + ",".join(f'"{key}":{value}' for key, value in head) + "}" + behind
    try:
        request = parse(text.encode())
    except InvalidRequest:
        id_ = expected.get("id")
        wrong = not isinstance(expected["method"], str) or not isinstance(expected["params"], (list, dict))
        assert wrong or not isinstance(id_, (str, int, type(None)))
        return
    assert (request.method, request.params) == (expected["method"], expected["params"] or None)
    assert request.notification == ("id" not in expected)


INNER = [
    "[]",
    "{}",
    "[1]",
    '{"id":2}',
    '["gw",{"id":1,"params":[2]}]',
    '["\\u0000"]',
    '["\\\\"]',
    "[18446744073709551616]",
]
INNER += [
    '"x"',
    "7",
    "[" * 99 + "]" * 99,
    "[" * 150 + "]" * 150,
    "[1],[2]",
    '[1],"method":"n"',
    "[1",
    "1]",
    "[1]}",
    "{]",
]
HEADS = [
    "",
    '"id":1,',
    '"id":"a",',
    '"id":1,"id":2,',
    '"ID":3,',
    '"x":{',
    '"params" :[3],',
    '"id":"',
    '"method":"\\',
    "[",
    "}{",
]
TAILS = ["}", ',"id":7}', ', "id": "b" }', ',"ID":8}', ',"params":[4]}', "} x", "}}", "", "]}"]


@given(st.sampled_from(HEADS), st.sampled_from(INNER), st.sampled_from(TAILS), st.sampled_from(["m", "params", ""]))
def test_what_stands_in_front_of_parameters_means_the_same_each_time(
    head: str, inside: str, tail: str, method: str
) -> None:
    text = f'{{"jsonrpc":"2.0","method":"{method}",{head}"params":{inside}{tail}'
    anew = text.replace(f'{head}"params":', f'{head}"params" :', 1)  # spelled so, it is never known
    outcomes: list[Any] = []
    for spelled in (anew, text, text, text):  # met, read, known
        try:
            outcomes.append((*members(request := parse(spelled.encode())), request.clean))
        except InvalidRequest as error:
            outcomes.append((error.data, error.id))
        except MalformedMessage:
            outcomes.append(None)
    assert outcomes == outcomes[:1] * 4


def test_not_all_that_was_ever_said_is_known() -> None:
    for number in range(600):
        for _ in range(2):
            parse(b'{"jsonrpc":"2.0","method":"m","id":%d,"params":[]}' % number)
    assert len(jsonrpc._known) <= 512


def test_who_numbers_calls_has_none_read_twice() -> None:
    for number in range(3):
        head = b'{"jsonrpc":"2.0","method":"numbered","id":%d,' % number
        parse(head + b'"params":[]}')
        assert jsonrpc._known[head] is jsonrpc._MET
    parse(head + b'"params":[]}')
    assert jsonrpc._known[head].method == "numbered"


@given(MEMBERS | JSON)
def test_validation_is_that_of_the_schema(value: Any) -> None:
    try:
        parse(json.dumps(value).encode())
        accepted = True
    except InvalidRequest:
        accepted = False
    assert accepted == jsonschema.Draft202012Validator(schema("mi-request")).is_valid(value)


def members(request: Request) -> tuple[Any, ...]:
    return request.method, request.params, request.id, request.notification


@given(
    TEXT,
    st.none() | st.lists(JSON, min_size=1, max_size=3) | st.dictionaries(TEXT, JSON, min_size=1, max_size=3),
    st.none() | TEXT | st.integers(-(2**63), 2**63 - 1),
)
def test_a_rendered_request_is_parsed_back(method: str, params: Any, id: str | int | None) -> None:
    assert members(parse(render_request(method, params, id))) == (method, params, id, False)


@given(JSON, TEXT | st.integers() | st.none())
def test_a_rendered_result_is_json_in_utf8(value: Any, id: str | int | None) -> None:
    answer = json.loads(render_result(value, envelope(id)).decode("utf-8"))
    assert answer == {"jsonrpc": "2.0", "result": value, "id": id}
    assert list(answer) == ["jsonrpc", "result", "id"]


def test_a_rendered_error_has_data_only_with_a_reason() -> None:
    assert render_error(UnknownJanusId(), "1") == (
        b'{"jsonrpc":"2.0","error":{"code":404,"message":"Unknown Janus ID"},"id":"1"}'
    )
    assert render_error(RpcError(503, "No", 'say "so"'), None) == (
        b'{"jsonrpc":"2.0","error":{"code":503,"message":"No","data":"say \\"so\\""},"id":null}'
    )


@pytest.mark.parametrize(
    ("text", "id"),
    [
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", 2**63 - 1),
        (b"-1e30", -(2**63)),
        (b"-1.9", -1),
        (rb'"\ud800 \u0000"', "\ud800 \0"),
    ],
)
def test_ids_beyond_the_common(text: bytes, id: str | int) -> None:
    request = parse(b'{"jsonrpc":"2.0","method":"m","id":%b}' % text)
    assert request.id == id
    assert json.loads(render_result(1, envelope(request.id)))["id"] == id


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"1e400", b"false"])
def test_an_id_that_cannot_be_echoed_is_invalid(text: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(b'{"jsonrpc":"2.0","method":"m","id":%b}' % text)
    assert caught.value.id is None


def test_parameters_that_only_their_command_can_judge_are_let_through() -> None:
    deep = b"[" * 150 + b"]" * 150
    request = parse(b'{"jsonrpc":"2.0","method":"m","params":{"a":NaN,"b":"\\ud800\\u0000","c":%b}}' % deep)
    assert isinstance(request.params, dict)
    assert request.params["a"] != request.params["a"]
    assert request.params["b"] == "\ud800\0"


def test_nesting_has_an_end() -> None:
    def nested(depth: int) -> bytes:
        return b'{"jsonrpc":"2.0","method":"m","params":' + b"[" * depth + b"]" * depth + b"}"

    assert parse(nested(jsonrpc.MAX_DEPTH - 1)).method == "m"
    for depth in (jsonrpc.MAX_DEPTH, 4_000):  # far deeper ones have too many elements
        with pytest.raises(MalformedMessage, match="nested deeper than 400"):
            parse(nested(depth))


def test_brackets_are_not_nesting() -> None:
    wide = "[" + ",".join(["[]"] * 1000) + "]"
    assert parse(f'{{"jsonrpc":"2.0","method":"m","params":{wide}}}'.encode()).params == [[]] * 1000


@pytest.mark.parametrize("inside", ['{"id":"7"}', '{"id":1,"method":"id","params":"\\"id"}', '{"a":["id","jsonrpc"]}'])
def test_names_of_the_envelope_inside_of_parameters_cost_nothing(inside: str) -> None:
    text = f'{{"jsonrpc":"2.0","id":"1","method":"m","params":["gw",{inside}]}}'
    assert parse(text.encode()).clean  # no closer look was taken
    assert parse(text.replace('"id":"1"', '"id":"1","id":"2"').encode()).id == "1"


def test_of_duplicates_the_first_wins_outside_and_the_last_inside() -> None:
    request = parse(b'{"jsonrpc":"2.0","method":"a","METHOD":"b","method":"c","params":{"x":1,"x":2},"params":[]}')
    assert members(request) == ("a", {"x": 2}, None, True)


def test_a_number_of_too_many_digits_is_no_json() -> None:
    with pytest.raises(MalformedMessage):
        parse(b'{"jsonrpc":"2.0","method":"m","params":[' + b"9" * 5000 + b"]}")
