"""Payloads, byte for byte as they were seen on OpenSIPS's wires, and the rule for large ones."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.protocol import codec, event_payload
from bridge.protocol.event_payload import (
    E_JANUS_EVENT,
    E_JANUS_STATUS,
    MAX_DATAGRAM,
    Encoding,
    Event,
    Params,
    TooLarge,
    encoding_of,
    janus_event,
    janus_status,
    status_fits,
)
from bridge.protocol.reply_socket import ReplySocket
from bridge.resources import schema
from tests.support.examples import examples
from tests.support.work import counting

DATAGRAM, STREAM, RELIABLE, MI = (
    Encoding("datagram"),
    Encoding("stream"),
    Encoding("reliable"),
    Encoding("mi", "", True),
)
URL = "janusws://h:8188/janus"

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
params = st.dictionaries(texts.filter(bool), texts | st.integers(-(2**31), 2**31 - 1), max_size=5)


def event(params: Params, name: str = E_JANUS_EVENT, **more: Any) -> Event:
    return Event(name, params, **{"id": "7", "number": 7, **more})


def janus(body: str, **more: Any) -> Event:
    return event(janus_event("g1", URL, body), origin="g1", seq="1800000000-3", **more)


def test_named_parameters_with_an_integer() -> None:
    payload = event([("janus_id", "g1"), ("n", 5)]).encoded(DATAGRAM)
    assert payload == b'{"jsonrpc":"2.0","method":"E_JANUS_EVENT","params":{"janus_id":"g1","n":5}}'


def test_no_parameters() -> None:
    assert event([]).encoded(DATAGRAM) == b'{"jsonrpc":"2.0","method":"E_JANUS_EVENT"}'


def test_unnamed_parameters() -> None:
    payload = event([("", "a"), ("", "b")]).encoded(DATAGRAM)
    assert payload == b'{"jsonrpc":"2.0","method":"E_JANUS_EVENT","params":["a","b"]}'


def test_characters_as_cjson_prints_them() -> None:
    payload = event([("t", 'ü/"\\\b\f\n\r\t\x01\x1f\x7f😀')]).encoded(DATAGRAM)
    assert (
        payload
        == (
            '{"jsonrpc":"2.0","method":"E_JANUS_EVENT","params":{"t":"ü/\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f😀"}}'
        ).encode()
    )


def test_a_lone_surrogate_is_no_reason_to_fail() -> None:
    """A hostile Janus can send one; its JSON escape would make OpenSIPS refuse the whole event."""
    assert event([("t", "a\ud83db")]).encoded(DATAGRAM).endswith(b'{"t":"a?b"}}')


def test_event_stream_is_the_same_but_for_method_and_id() -> None:
    raised = event([("n", 5)])
    assert raised.encoded(STREAM) == raised.encoded(DATAGRAM)
    assert raised.encoded(Encoding("stream", "E_M")) == b'{"jsonrpc":"2.0","method":"E_M","params":{"n":5}}'
    assert raised.encoded(RELIABLE) == b'{"id":7,"jsonrpc":"2.0","method":"E_JANUS_EVENT","params":{"n":5}}'


def test_a_reliable_id_is_a_positive_c_int() -> None:
    assert [event([], number=number).reliable_id for number in (1, 2**31 - 1, 2**31)] == [1, 2**31 - 1, 1]


def test_an_event_inside_opensips_is_three_encodings_deep() -> None:
    assert janus('{"janus":"hangup"}').encoded(MI) == (
        rb'{"jsonrpc":"2.0","id":"7","method":"raise_event","params":["E_JANUS_EVENT",'
        rb'"{\"janus_id\":\"g1\",\"janus_url\":\"janusws://h:8188/janus\",'
        rb'\"janus_body\":\"{\\\"janus\\\":\\\"hangup\\\"}\",\"janus_seq\":\"1800000000-3\"}"]}'
    )


def test_janus_seq_goes_to_an_mi_alone() -> None:
    assert b"janus_seq" not in janus("{}").encoded(DATAGRAM) + janus("{}").encoded(STREAM) + janus("{}").encoded(
        RELIABLE
    )


def test_an_mi_gets_strings_alone() -> None:
    outer = json.loads(event([("n", 5363881119604597)]).encoded(MI))
    assert json.loads(outer["params"][1]) == {"n": "5363881119604597"}


@pytest.mark.parametrize(
    ("text", "reliable", "encoding"),
    [
        ("udp:h:1", False, DATAGRAM),
        ("unix:/s", False, DATAGRAM),
        ("tcp:h:1", False, STREAM),
        ("tcp:h:1/M", False, Encoding("stream", "M")),
        ("tcp:h:1/M", True, Encoding("reliable", "M")),
        ("mi:udp:h:1", False, MI),
        ("mi:unix:/s", False, MI),
    ],
)
def test_encoding_of_a_socket(text: str, reliable: bool, encoding: Encoding) -> None:
    assert encoding_of(ReplySocket.parse(text, reliable=reliable)) == encoding


def test_bytes_are_made_once_and_shared() -> None:
    raised = janus("{}")
    assert raised.encoded(encoding_of(ReplySocket("udp", "h", 1))) is raised.encoded(encoding_of(ReplySocket("unix")))


@given(params)
def test_every_encoding_gives_the_parameters_back(values: dict[str, str | int]) -> None:
    raised = event(list(values.items()))
    for encoding in (DATAGRAM, STREAM, RELIABLE):
        assert json.loads(raised.encoded(encoding)).get("params", {}) == values
    name, inner = json.loads(raised.encoded(MI))["params"]
    assert (name, json.loads(inner)) == (E_JANUS_EVENT, {key: str(value) for key, value in values.items()})


@pytest.mark.parametrize("encoding", [DATAGRAM, STREAM, RELIABLE])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("event", janus_event("g1", URL, '{"janus":"hangup"}')),
        ("status", janus_status("g1", URL, "events_lost", "full", '{"lost":3}')),
    ],
)
def test_events_of_the_bridge_are_what_the_schemas_say(encoding: Encoding, name: str, values: Params) -> None:
    payload = json.loads(event(values, E_JANUS_EVENT if name == "event" else E_JANUS_STATUS).encoded(encoding))
    jsonschema.validate(payload, schema(f"event-janus-{name}"), jsonschema.Draft202012Validator)


# Contract 7.5


def body_of(payload: bytes) -> Any:
    message = json.loads(payload)
    values = message["params"]
    return json.loads((json.loads(values[1]) if isinstance(values, list) else values)["janus_body"])


def padded(encoding: Encoding, size: int) -> str:
    """A body with which an event has exactly this size."""
    rest = len(janus('{"pad":""}').encoded(encoding))
    return json.dumps({"pad": "x" * (size - rest)}, separators=(",", ":"))


@pytest.mark.parametrize("encoding", [DATAGRAM, MI])
def test_the_largest_datagram_and_one_byte_more(encoding: Encoding) -> None:
    body = padded(encoding, MAX_DATAGRAM)
    payload = janus(body).encoded(encoding)
    assert len(payload) == 65457
    assert body_of(payload) == json.loads(body)
    body = padded(encoding, MAX_DATAGRAM + 1)
    assert body_of(janus(body).encoded(encoding)) == {"truncated": len(body)}


@pytest.mark.parametrize("encoding", [STREAM, RELIABLE])
def test_a_stream_knows_no_limit(encoding: Encoding) -> None:
    body = padded(encoding, 1_000_000)
    assert body_of(janus(body).encoded(encoding)) == json.loads(body)


def test_too_large_is_what_each_socket_gets_too_much_of() -> None:
    """Quotes take two bytes in a datagram and four inside OpenSIPS."""
    body = json.dumps({"janus": "event", "list": ["", ""] * 4000}, separators=(",", ":"))
    raised = janus(body)
    assert body_of(raised.encoded(DATAGRAM)) == json.loads(body)
    assert body_of(raised.encoded(MI)) == {"janus": "event", "truncated": len(body)}


def test_the_scalars_of_at_most_1024_bytes_stay_in_order() -> None:
    members: dict[str, Any] = {
        "janus": "event",
        "session_id": "5363881119604597",
        "n": 1,
        "real": 1.5,
        "yes": True,
        "nothing": None,
        "fits": "x" * (1024 - len('"fits":""')),
        "long": "x" * (1025 - len('"long":""')),
        "wide": "ü" * 510,
        "jsep": {"sdp": "v=0"},
        "list": [1],
        "truncated": "no",
        "pad": "x" * 70_000,
        "last": "€",
    }
    body = codec.render(members)
    short = body_of(janus(body).encoded(DATAGRAM))
    assert list(short) == ["janus", "session_id", "n", "real", "yes", "nothing", "fits", "last", "truncated"]
    assert short == {key: members[key] for key in short} | {"truncated": len(body.encode())}


def test_scalars_without_end_are_cut_where_the_datagram_is_full() -> None:
    """Each of them is short, and made of what three encodings blow up most."""
    body = json.dumps({f"m{n}": '"' * 400 for n in range(400)}, separators=(",", ":"))
    for encoding in (DATAGRAM, MI):
        payload = janus(body).encoded(encoding)
        short = body_of(payload)
        assert len(payload) <= MAX_DATAGRAM
        assert list(short)[:2] == ["m0", "m1"]
        assert short["truncated"] == len(body)


@pytest.mark.parametrize("body", ["x" * 70_000, "[" * 70_000, json.dumps(["x" * 70_000]), '"' + "x" * 70_000 + '"'])
def test_a_large_body_that_is_no_object(body: str) -> None:
    assert body_of(janus(body).encoded(DATAGRAM)) == {"truncated": len(body)}


def test_a_body_of_100_000_members_costs_a_datagram_no_parsing_and_not_all_of_them() -> None:
    members = {"janus": "event", **{f"m{n}": n for n in range(99_000)}}
    body = codec.render(members)
    with counting(codec, event_payload) as spent:
        payload = janus(body, members=members).encoded(DATAGRAM)
        steps = spent()
    assert steps < 200_000, steps
    assert list(body_of(payload)) == [*list(members)[: len(body_of(payload)) - 1], "truncated"]
    assert len(body_of(payload)) > 1000


def test_what_mi_raised_is_parsed_as_far_as_a_request_may_go() -> None:
    fits, many = ({"janus": "event", "pad": "x" * 70_000, "many": [0] * n} for n in (9_000, 11_000))
    assert body_of(janus(codec.render(fits)).encoded(DATAGRAM))["janus"] == "event"
    body = codec.render(many)
    assert body_of(janus(body).encoded(DATAGRAM)) == {"truncated": len(body)}


def test_streams_of_all_methods_share_what_is_large() -> None:
    raised = janus("{}")
    found = [raised.encoded(Encoding("stream", "m0"))]
    made = raised._streamed
    found += [raised.encoded(one) for one in (Encoding("stream", "m1"), Encoding("stream", "m2"), RELIABLE)]
    assert len(set(found)) == 4
    assert raised._streamed is made


@pytest.mark.parametrize(
    "values",
    [[("text", "x" * 70_000)], janus_event("g1", "x" * 70_000, "{}"), janus_event("g1", "x" * 70_000, "y" * 70_000)],
)
def test_what_cannot_be_shortened_is_too_large(values: Params) -> None:
    with pytest.raises(TooLarge, match=r"E_JANUS_EVENT has 7\d{4} bytes.*more than the 65457 of a datagram"):
        event(values).encoded(DATAGRAM)


@settings(max_examples=examples(30))
@given(
    st.dictionaries(st.text(max_size=3), st.text('a"\\\n€', max_size=300) | st.integers() | st.none(), max_size=200),
    st.sampled_from([0, 20_000, 66_000]),
    st.sampled_from([DATAGRAM, MI]),
)
def test_every_body_of_janus_fits_a_datagram(members: dict[str, Any], pad: int, encoding: Encoding) -> None:
    body = codec.render({**members, "pad": "x" * pad})
    payload = janus(body).encoded(encoding)
    assert len(payload) <= MAX_DATAGRAM
    got = body_of(payload)
    assert got == json.loads(body) or got["truncated"] == len(body.encode())


def test_status_fits_says_what_an_mi_has_room_for() -> None:
    def fits(handles: int) -> bool:
        detail = codec.render({"session": "s", "handles": ["8731…"] * handles})
        fitting = status_fits("g1", URL, "session_lost", "timeout", detail)
        raised = event(
            janus_status("g1", URL, "session_lost", "timeout", detail),
            E_JANUS_STATUS,
            origin="g1",
            seq="1800000000-123456789",
            id="0123456789abcdef-123456789",
        )
        if fitting:
            assert len(raised.encoded(MI)) <= MAX_DATAGRAM
        return fitting

    assert [fits(handles) for handles in (1, 1000, 4000, 8000)] == [True, True, True, False]
