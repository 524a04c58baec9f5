"""A caller's command, checked and rewritten before it is sent (contract 5.4, 5.6, 6.3)."""

import contextlib
import json
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import InvalidCommand, MalformedMessage
from bridge.protocol import codec, jsonrpc
from bridge.protocol.codec import INT64_MAX, INT64_MIN
from bridge.protocol.command import MAX_KEY, MAX_TRANSACTION, JanusCommand, read_command
from bridge.protocol.janus import MAX_PLUGIN
from bridge.protocol.jsonrpc import InvalidRequest
from bridge.protocol.plugin_types import PluginTypes
from tests.support import json_values
from tests.support.commands import shape
from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import Janus
from tests.support.janus_client import JanusClient

anything = st.recursive(
    json_values.scalars | st.floats() | st.text(max_size=4) | st.sampled_from(["\0", "\ud83d", "a\udc00b"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | json_values.keys, inner, max_size=4)
    ),
    max_leaves=12,
)
commands = st.fixed_dictionaries(
    {},
    optional={
        "janus": st.sampled_from(["create", "DESTROY", "claim", "message", "ping", "attach", "x"]) | anything,
        "session_id": anything,
        "handle_id": anything,
        "id": anything,
        "transaction": anything,
        "body": anything,
        "apisecret": anything,
    },
)


def members(command: JanusCommand) -> Any:
    """What goes out of it but for the secrets."""
    return {name: value for name, value in command.members.items() if name not in ("apisecret", "token")}


def refusal(value: Any) -> str:
    """Why it is refused."""
    with pytest.raises(InvalidCommand) as caught:
        read_command(value)
    assert (caught.value.code, caught.value.message) == (400, "Invalid Janus command")
    assert caught.value.data is not None
    return caught.value.data


UNREADABLE = {
    "NaN": "NaN",
    "infinity": "-Infinity",
    "real that overflows": "1e999",
    "negative real that overflows": "-1e999",
    "integer beyond 64 bits": str(INT64_MAX + 1),
    "negative integer beyond 64 bits": str(INT64_MIN - 1),
    "huge integer": "9" * 400,
    "NUL": r'"a\u0000b"',
    "lone high surrogate": r'"\ud83d"',
    "lone low surrogate": r'"\udc00x"',
    "NUL in a name": r'{"a\u0000":1}',
    "lone surrogate in a name": r'[{"\ud800":1}]',
}

# Any input


@given(anything | commands | json_values.json_texts)
def test_every_value_is_a_command_that_janus_can_read_or_invalid(value: Any) -> None:
    try:
        command = read_command(value)
    except InvalidCommand as exc:
        reason = exc.data
    else:
        reason = "fine"
        request = members(command)
        assert isinstance(request["janus"], str)
        assert "transaction" not in request
        assert command.caller is None or isinstance(command.caller, str)
        json.dumps(request, allow_nan=False).encode()
    assert reason is not None
    assert reason.isprintable()
    assert 0 < len(reason) < 200


@given(commands)
def test_text_and_object_are_the_same_command(value: dict[str, Any]) -> None:
    outcomes = []
    for form in (value, json.dumps(value)):
        try:
            outcomes.append(repr(shape(read_command(form))))
        except InvalidCommand:
            outcomes.append("400")
    assert outcomes[0] == outcomes[1]


@given(commands.map(json.dumps) | json_values.json_texts, st.booleans())
def test_what_is_clean_needs_no_look(text: str, as_text: bool) -> None:
    """A command comes to the same, whether its text says that it is clean or not."""
    params = json.dumps(text) if as_text else text
    try:
        _, parsed, clean = jsonrpc.parse(
            f'{{"jsonrpc":"2.0","method":"m","params":[{params}]}}'.encode(errors="replace")
        )
    except (MalformedMessage, InvalidRequest):
        return
    if not isinstance(parsed, list):
        return
    outcomes: list[str | None] = []
    for shown in (clean, False):
        try:
            outcomes.append(repr(shape(read_command(parsed[0], clean=shown))))
        except InvalidCommand as refused:
            outcomes.append(refused.data)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("text", [*UNREADABLE.values(), "[" * 101 + "]" * 101])
def test_what_janus_cannot_read_is_not_clean(text: str) -> None:
    try:
        clean = jsonrpc.parse(f'{{"jsonrpc":"2.0","method":"m","params":[{{"janus":"ping","x":{text}}}]}}'.encode())[2]
    except (MalformedMessage, InvalidRequest):
        return
    assert not clean
    with contextlib.suppress(MalformedMessage):
        assert not codec.read(text)[1]


@given(commands)
def test_reading_leaves_the_callers_value_alone(value: dict[str, Any]) -> None:
    before = repr(value)
    with contextlib.suppress(InvalidCommand):
        read_command(value)
    assert repr(value) == before


# What Janus could not read, by the word of Janus

READABLE = {
    "largest integer": str(INT64_MAX),
    "smallest integer": str(INT64_MIN),
    "largest real": "1.7976931348623157e308",
    "real that underflows": "1e-999",
    "smallest real": "5e-324",
    "minus zero": "-0.0",
    "surrogate pair": r'"\ud83d\ude00"',
    "noncharacters": '"\uffff\ufdd0\U0010ffff"',
    "control characters": r'"\u0001\u001f\u007f"',
    "empty name": '{"":1}',
    "depth": "[" * 99 + "]" * 99,
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_janus_cannot_read_is_refused(text: str) -> None:
    assert refusal(f'{{"janus":"ping","x":{text}}}')
    if text not in ("NaN", "-Infinity") and len(text) < 100:
        value = json.loads(text)
        assert refusal({"janus": "ping", "x": value})
        assert refusal({"janus": "ping", "x": [value]})


@pytest.mark.parametrize("text", READABLE.values(), ids=READABLE)
def test_what_janus_can_read_is_not(text: str) -> None:
    value = json.loads(text)
    assert members(read_command({"janus": "ping", "x": value}))["x"] == value
    assert members(read_command(f'{{"janus":"ping","x":{text}}}'))["x"] == value


async def test_janus_says_the_same(janus: Janus) -> None:
    """The witness for the two tests above. What it cannot read it answers with 454 and no transaction."""
    async with JanusClient.open(janus) as client:
        for name, text in {**UNREADABLE, **READABLE}.items():
            await client.send_text(f'{{"janus":"ping","transaction":"t","x":{text}}}')
            with trio.fail_after(HANG_SECONDS):
                answer = await client.next_event()
            if name in UNREADABLE:
                assert answer["error"]["code"] == 454, name
                assert "transaction" not in answer, name
            else:
                assert answer == {"janus": "pong", "transaction": "t"}, name


@pytest.mark.parametrize("levels", [101, 399, 5000])
def test_nesting_deeper_than_100_is_refused(levels: int) -> None:
    value: Any = {}
    for _ in range(levels - 2):
        value = [value]
    assert refusal({"janus": "ping", "x": value}) == "janus_command is nested deeper than 100"
    assert "nested deeper than 100" in refusal('{"a":' * levels + "1" + "}" * levels)


def test_fault_names_the_member() -> None:
    assert (
        refusal({"janus": "message", "body": {"list": [{"display": "a\0"}]}}) == "member 'display' has a NUL character"
    )
    assert refusal({"janus": "message", "body": {"a\ud800": 1}}) == "the name of a member has a lone surrogate"
    assert refusal({"janus": "x", "n" * 9999: 2**63}) == f"member '{'n' * MAX_KEY}' has an integer beyond 64 bits"


# Shape


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "janus_command is not a JSON object"),
        (None, "janus_command is not a JSON object"),
        ("[]", "janus_command is not a JSON object"),
        ("", "janus_command cannot be read: it is empty"),
        (" \n", "janus_command cannot be read: it is empty"),
        ("{}", "member 'janus' is missing"),
        ({"janus": 1}, "member 'janus' is not a string"),
        ({"janus": ["create"]}, "member 'janus' is not a string"),
        ({"janus": "ping", "transaction": 1}, "member 'transaction' is not a string"),
        ({"janus": "ping", "transaction": {}}, "member 'transaction' is not a string"),
    ],
)
def test_reason_is_in_words(value: Any, reason: str) -> None:
    assert refusal(value) == reason


def test_callers_transaction_is_taken_out() -> None:
    command = read_command({"janus": "attach", "plugin": "p", "transaction": "abc"})
    assert command.caller == "abc"
    assert members(command) == {"janus": "attach", "plugin": "p"}
    assert read_command({"janus": "ping"}).caller is None
    assert read_command({"janus": "ping", "transaction": None}).caller is None
    assert read_command({"janus": "ping", "transaction": ""}).caller == ""


# Ids


@pytest.mark.parametrize("member", ["session_id", "handle_id"])
def test_ids_may_be_canonical_decimal_strings(member: str) -> None:
    for number in (1, 123, 2**53, INT64_MAX):
        for spelled in (number, str(number)):
            command = read_command({"janus": "message", member: spelled})
            assert getattr(command, member) == number
            assert members(command) == {"janus": "message"} | ({member: number} if member == "handle_id" else {})


@pytest.mark.parametrize("member", ["session_id", "handle_id"])
@pytest.mark.parametrize("value", ["01", " 1", "1 ", "+1", "1.0", "x", "", 1.0, True, None, [1], {"id": 1}])
def test_what_is_no_id_goes_out_as_it_is_and_names_nothing(member: str, value: Any) -> None:
    command = read_command({"janus": "claim", member: value})
    assert getattr(command, member) is None
    assert members(command) == {"janus": "claim", member: value}


VALUE = {"janus": "message", "session_id": 5, "transaction": "t", "apisecret": "a", "token": "b", "body": {"x": 1}}


def test_what_is_known_only_when_it_is_sent_is_not_in_it() -> None:
    command = read_command(VALUE)
    assert command.members == {"janus": "message", "apisecret": "a", "token": "b", "body": {"x": 1}}
    assert json.loads(command.take()) == {"janus": "message", "apisecret": "a", "token": "b", "body": {"x": 1}}
    assert (command.members, command.text) == ({}, b"")


def test_a_command_that_waits_is_text_whose_secrets_can_be_replaced() -> None:
    command = read_command(VALUE)
    command.fold()
    assert (command.text, command.members) == (b'{"janus":"message","body":{"x":1}}', {"apisecret": "a", "token": "b"})
    command.members |= {"apisecret": "other", "session_id": 7}
    assert command.take() == b'{"janus":"message","body":{"x":1},"apisecret":"other","token":"b","session_id":7}'
    assert (command.members, command.text) == ({}, b"")


def test_a_session_that_is_none_is_not_in_the_text_where_another_one_takes_its_place() -> None:
    assert members(read_command({"janus": "attach", "session_id": "x"})) == {"janus": "attach"}


def test_a_callers_transaction_has_a_limit() -> None:
    longest = "t" * MAX_TRANSACTION
    assert read_command({"janus": "ping", "transaction": longest}).caller == longest
    assert (
        refusal({"janus": "ping", "transaction": longest + "t"}) == "member 'transaction' is longer than 400 characters"
    )


def test_the_name_of_a_plugin_is_remembered_no_longer_than_it_can_be() -> None:
    command = read_command({"janus": "attach", "plugin": "p" * 1000})
    assert command.plugin == "p" * MAX_PLUGIN
    assert members(command)["plugin"] == "p" * 1000


@pytest.mark.parametrize("value", [0, -1, "0", "-1"])
def test_id_that_no_session_has_names_nothing(value: Any) -> None:
    assert read_command({"janus": "attach", "session_id": value}).session_id is None


@pytest.mark.parametrize("verb", ["info", "ping", "create", "PING"])
def test_server_level_verbs_lose_their_session(verb: str) -> None:
    command = read_command({"janus": verb, "session_id": "123", "transaction": "t"})
    assert members(command) == {"janus": verb}
    assert command.session_id is None


@pytest.mark.parametrize("value", [0, 1, INT64_MAX, "0", "1234567890123", str(INT64_MAX)])
def test_create_takes_an_id_in_both_spellings(value: int | str) -> None:
    command = read_command({"janus": "Create", "id": value})
    assert members(command)["id"] == command.new_id == int(value)


@pytest.mark.parametrize("verb", ["create", "attach", "message", "ping"])
@pytest.mark.parametrize("value", [-1, "-1", 1.0, 1e300, True, None, "x", "01", "", [], {}, str(2**63)])
def test_id_of_another_type_is_refused(verb: str, value: Any) -> None:
    assert refusal({"janus": verb, "id": value}) == "member 'id' is not an integer >= 0"


def test_only_the_id_of_create_may_be_a_string() -> None:
    assert refusal({"janus": "attach", "id": "7"}) == "member 'id' is not an integer >= 0"
    assert members(read_command({"janus": "attach", "id": 7}))["id"] == 7


async def test_janus_would_not_have_named_the_transaction(janus: Janus) -> None:
    """The witness for the test above, and for its being refused in every request, not only in `create`."""
    async with JanusClient.open(janus) as client:
        session = await client.create()
        values: tuple[Any, ...] = (-1, 1.0, True, None, "7", [], {})
        for verb in ("create", "ping", "keepalive"):
            for value in values:
                await client.send_text(
                    json.dumps({"janus": verb, "transaction": "t", "id": value, "session_id": session})
                )
                with trio.fail_after(HANG_SECONDS):
                    answer = await client.next_event()
                assert answer["error"]["code"] == 467
                assert "transaction" not in answer


# Bodies


def test_wide_ids_of_a_body_are_integers_again() -> None:
    body = {"request": "join", "room": "4294967296", "display": "4915112345678", "headers": {"id": "4294967296"}}
    command = read_command({"janus": "message", "body": body, "jsep": {"id": "4294967296"}})
    assert members(command)["body"] == body | {"room": 4294967296}
    assert members(command)["jsep"] == {"id": "4294967296"}


def test_integers_of_a_body_are_those_of_the_handles_plugin() -> None:
    body = {"room": "4294967296", "uid": "4294967296", "refer_id": "4294967296"}
    asked = []

    def plugin_of(session_id: int | None, handle_id: int | None) -> str | None:
        asked.append((session_id, handle_id))
        return "janus.plugin.sip" if handle_id == 7 else None

    def read(**named: Any) -> Any:
        command = read_command({"janus": "message", "body": body, **named}, PluginTypes({"uid"}), plugin_of)
        return members(command)["body"], command.strange

    assert read(handle_id="7", session_id="4294967296") == (body | {"refer_id": 4294967296}, False)
    assert read(handle_id=8) == read(session_id="x") == (body | {"uid": 4294967296}, True)
    assert asked == [(4294967296, 7), (None, 8), (None, None)]
