"""What a message of Janus is (reference janus.md, sections 2 and 3)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.codec import INT64_MAX
from bridge.protocol.janus import (
    MAX_REASON,
    VERBS,
    Ack,
    CoreEvent,
    Failure,
    Malformed,
    PluginEvent,
    Success,
    classify,
    member_id,
    verb_of,
)
from tests.support import json_values
from tests.support.janus import Janus
from tests.support.janus_client import JanusClient, JanusError

NAMES = ["event", "ack", "success", "pong", "server_info", "error", "timeout", "detached", "EVENT", ""]
messages = st.fixed_dictionaries(
    {},
    optional={
        "janus": st.sampled_from(NAMES) | json_values.values,
        "transaction": json_values.values,
        "error": json_values.values
        | st.fixed_dictionaries({}, optional={"code": json_values.values, "reason": json_values.values}),
        "session_id": json_values.values,
    },
)


@given(json_values.values | messages)
def test_classify_is_total(message: Any) -> None:
    incoming = classify(message)
    if isinstance(incoming, Malformed):
        assert not isinstance(message, dict) or not isinstance(message.get("janus"), str)
        return
    sent = message.get("transaction")
    assert incoming.transaction == (sent if isinstance(sent, str) else None)
    match incoming:
        case PluginEvent():
            assert message["janus"] == "event"
        case Ack():
            assert message["janus"] == "ack"
        case Success():
            assert message["janus"] in ("success", "pong", "server_info")
        case Failure(code=code, reason=reason):
            assert message["janus"] == "error"
            assert type(code) is int
            assert type(reason) is str
        case CoreEvent(name=name):
            assert message["janus"] == name
            assert name not in NAMES[:6]


@pytest.mark.parametrize(
    ("message", "incoming"),
    [
        ({"janus": "ack", "session_id": 1, "transaction": "t", "hint": "h"}, Ack("t")),
        ({"janus": "success", "transaction": "t", "data": {"id": 1}}, Success("t")),
        ({"janus": "pong", "transaction": "t"}, Success("t")),
        ({"janus": "server_info", "transaction": "t", "name": "Janus WebRTC Server"}, Success("t")),
        ({"janus": "event", "session_id": 1, "transaction": "t", "sender": 2}, PluginEvent("t")),
        ({"janus": "event", "session_id": 1, "sender": 2}, PluginEvent(None)),
        ({"janus": "timeout", "session_id": 1}, CoreEvent(None, "timeout")),
        ({"janus": "trickle", "session_id": 1, "sender": 2}, CoreEvent(None, "trickle")),
        ({"janus": "error", "transaction": "t", "error": {"code": 458, "reason": "r"}}, Failure("t", 458, "r")),
        ({"janus": "error", "error": {"code": 454, "reason": "r"}}, Failure(None, 454, "r")),
        ({"janus": "error", "error": {"code": True}}, Failure(None, 0, "no reason given")),
        ({"janus": "error", "error": []}, Failure(None, 0, "no reason given")),
        ({"janus": 1}, Malformed("has no member 'janus' that is a string")),
        ([], Malformed("is not a JSON object")),
    ],
)
def test_messages_as_janus_sends_them(message: Any, incoming: object) -> None:
    assert classify(message) == incoming


def test_reason_of_a_hostile_janus_is_cut() -> None:
    failure = classify({"janus": "error", "error": {"code": 403, "reason": "x" * 2**20}})
    assert isinstance(failure, Failure)
    assert failure.reason == "x" * MAX_REASON


@pytest.mark.parametrize("value", [1, 2**53 - 1, INT64_MAX])
def test_id_is_an_integer_of_janus(value: int) -> None:
    assert member_id(value) == value


@pytest.mark.parametrize("value", [0, -1, INT64_MAX + 1, True, 1.0, "1", None, [1], {}])
def test_anything_else_is_no_id(value: Any) -> None:
    assert member_id(value) is None


@pytest.mark.parametrize("name", VERBS)
def test_verbs_are_compared_without_regard_to_ascii_case(name: str) -> None:
    assert verb_of(name.upper()) is verb_of(name.title()) is VERBS[name]


@pytest.mark.parametrize("name", ["de\u017ftroy", "\uff23reate", "destroy ", "", "destroy\0"])  # long s, wide C
def test_what_only_looks_like_a_verb_is_none(name: str) -> None:
    assert verb_of(name).kind == "other"


async def test_janus_itself_compares_verbs_so(janus: Janus) -> None:
    """The witness for the two tests above: what the bridge takes for a destroy, Janus does, and nothing else."""
    async with JanusClient.open(janus) as client:
        session = await client.create()
        for name in ("de\u017ftroy", "destroy "):
            with pytest.raises(JanusError, match="Unknown request"):
                await client.request({"janus": name, "session_id": session})
        await client.request({"janus": "DeStRoY", "session_id": session})
        with pytest.raises(JanusError, match="No such session"):
            await client.keepalive(session)


async def test_server_level_verbs_are_those_that_janus_refuses_with_a_session(janus: Janus) -> None:
    async with JanusClient.open(janus) as client:
        session = await client.create()
        for name in ("info", "ping", "create", "claim", "keepalive", "attach", "message", "destroy"):
            try:
                answer = await client.request({"janus": name, "session_id": session})
            except JanusError as exc:
                refused = exc.code == 453
            else:
                refused = answer["janus"] == "error"
            assert refused == verb_of(name).server, name
