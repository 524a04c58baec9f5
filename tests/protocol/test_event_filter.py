"""Filters of events."""

import json
from typing import Any

import pytest

from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS

ROOM, SIP = "janus.plugin.videoroom", "janus.plugin.sip"
EVENT = {"janus": "event", "plugindata": {"plugin": ROOM, "data": {}}}
HANGUP = {"janus": "hangup", "reason": "ICE failed"}


@pytest.mark.parametrize(
    ("members", "message", "origin", "wanted"),
    [
        ({}, EVENT, "g1", True),
        ({}, EVENT, None, True),
        ({"janus_id": ["g1", "g2"]}, EVENT, "g2", True),
        ({"janus_id": ["g1"]}, EVENT, "g2", False),
        ({"janus_id": ["g1"]}, EVENT, None, False),
        ({"kind": ["event"]}, EVENT, "g1", True),
        ({"kind": ["hangup", "webrtcup"]}, EVENT, "g1", False),
        ({"kind": ["hangup"]}, HANGUP, "g1", True),
        ({"plugin": [ROOM]}, EVENT, "g1", True),
        ({"plugin": [SIP]}, EVENT, "g1", False),
        ({"plugin": [SIP]}, HANGUP, "g1", True),
        ({"plugin": [SIP]}, {"janus": "event", "plugindata": 5}, "g1", True),
        ({"plugin": [SIP]}, {"janus": "event", "plugindata": {"plugin": []}}, "g1", False),
        ({"plugin": [SIP]}, {"janus": "event", "plugindata": {"plugin": {"a": 1}}}, "g1", False),
        ({"kind": ["event"]}, {"janus": {}}, "g1", False),
        ({"kind": ["event"]}, {"janus": [["event"]]}, "g1", False),
        ({"janus_id": ["g1"], "kind": ["event"], "plugin": [ROOM]}, EVENT, "g1", True),
        ({"janus_id": ["g1"], "kind": ["hangup"], "plugin": [ROOM]}, EVENT, "g1", False),
        ({"kind": []}, EVENT, "g1", True),
    ],
)
def test_each_part_that_is_given_has_to_hold(
    members: dict[str, Any], message: dict[str, Any], origin: str | None, wanted: bool
) -> None:
    made = EventFilter.read(members)
    text = json.dumps(message)
    assert made.passes(E_JANUS_EVENT, origin, text, message) is wanted
    assert made.passes(E_JANUS_EVENT, origin, text, None) is wanted


@pytest.mark.parametrize("body", ["", "[]", "no JSON", "5"])
def test_what_is_no_message_is_of_no_kind(body: str) -> None:
    assert not EventFilter.read({"kind": ["event"]}).passes(E_JANUS_EVENT, "g1", body, None)


def test_a_status_event_has_a_gateway_alone() -> None:
    made = EventFilter.read({"janus_id": ["g1"], "kind": ["hangup"], "plugin": [SIP]})
    assert made.passes(E_JANUS_STATUS, "g1", "", None)
    assert not made.passes(E_JANUS_STATUS, "g2", "", None)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"janus": ["g1"]}, "a filter has janus_id, kind, plugin, and no 'janus'"),
        ({"kind": "event"}, "kind of a filter is a list of texts"),
        ({"plugin": [5]}, "plugin of a filter is a list of texts"),
        ({"kind": ["x"] * 200, "plugin": ["y"] * 57}, "a filter has 256 texts and 8192 characters at most"),
        ({"janus_id": ["x" * 5000], "kind": ["y" * 3193]}, "a filter has 256 texts and 8192 characters at most"),
    ],
)
def test_what_is_no_filter_is_named(members: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        EventFilter.read(members)
