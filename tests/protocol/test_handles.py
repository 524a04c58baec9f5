"""What a gateway's book knows of handles, and that no Janus can fill it (contract 5.8, 6.4)."""

from typing import Any

import pytest

from bridge.protocol.handles import MAX_HANDLES
from bridge.protocol.janus import MAX_PLUGIN
from bridge.protocol.session import SavedSession
from tests.support.session_bed import CLIENT, GATEWAY, MANAGED, STRANGE, Bed


@pytest.fixture
def bed() -> Bed:
    return Bed()


def attached(bed: Bed, handle_id: Any, plugin: str | None = "p", session_id: int = MANAGED) -> None:
    bed.book.handles.attached(bed.book.find(session_id), {"janus": "success", "data": {"id": handle_id}}, plugin)


def event(sender: Any, plugin: Any = "p", session_id: Any = MANAGED) -> dict[str, Any]:
    return {"janus": "event", "session_id": session_id, "sender": sender, "plugindata": {"plugin": plugin}}


def test_handles_come_and_go(bed: Bed) -> None:
    handles = bed.book.managed.handles
    attached(bed, 1, "janus.plugin.echotest")
    bed.heard(event(2, "janus.plugin.sip"))
    assert handles == {1: "janus.plugin.echotest", 2: "janus.plugin.sip"}
    bed.heard(event(1, "another"))
    bed.book.handles.detached(bed.book.find(MANAGED), 2)
    bed.book.handles.detached(bed.book.find(MANAGED), 2)
    assert handles == {1: "janus.plugin.echotest"}


def test_plugins_are_saved_and_known_to_the_next_process(bed: Bed) -> None:
    attached(bed, 1, "janus.plugin.echotest")
    attached(bed, 2, None)
    bed.book.adopt(CLIENT, 1)
    attached(bed, 3, "janus.plugin.sip", CLIENT)
    bed.book.handles.detached(bed.book.managed, 1)
    managed = SavedSession(MANAGED, managed=True)
    assert [session for session in bed.saves if session.handles] == [
        managed._replace(handles=((1, "janus.plugin.echotest"),)),
        SavedSession(CLIENT, managed=False, handles=((3, "janus.plugin.sip"),)),
        managed._replace(handles=((1, None),)),
    ]
    other = Bed(managed._replace(handles=((4, "janus.plugin.sip"),)), live=False)
    assert other.book.plugin_of(None, 4) == "janus.plugin.sip"
    assert other.book.managed.handles == {4: "janus.plugin.sip"}
    assert other.saves == []


def test_plugin_is_learnt_later(bed: Bed) -> None:
    attached(bed, 1, None)
    bed.heard(event(1, "janus.plugin.sip"))
    assert bed.book.managed.handles == {1: "janus.plugin.sip"}


@pytest.mark.parametrize(
    "message",
    [
        {},
        event("1"),
        event(True),
        event(0),
        event(None),
        event(1, session_id="111"),
        event(1, session_id=STRANGE),
        event(1, session_id=None),
    ],
)
def test_message_that_names_no_handle_of_ours_teaches_nothing(bed: Bed, message: dict[str, Any]) -> None:
    bed.heard(message)
    assert bed.book.managed.handles == {}


@pytest.mark.parametrize("plugindata", [None, [], "x", {}, {"plugin": 5}])
def test_message_without_a_plugin_teaches_the_handle(bed: Bed, plugindata: Any) -> None:
    bed.heard(event(1) | {"plugindata": plugindata})
    assert bed.book.managed.handles == {1: None}


@pytest.mark.parametrize("data", [None, [], {}, {"id": "1"}, {"id": 2**63}])
def test_success_without_a_handle_teaches_nothing(bed: Bed, data: Any) -> None:
    bed.book.handles.attached(bed.book.find(MANAGED), {"janus": "success", "data": data}, "p")
    assert bed.book.managed.handles == {}


@pytest.mark.slow
def test_number_of_handles_is_bounded_over_all_sessions(bed: Bed) -> None:
    bed.book.adopt(CLIENT, 1)
    for n in range(MAX_HANDLES // 2):
        bed.heard(event(n + 1))
        attached(bed, n + 1, session_id=CLIENT)
    for session_id in (MANAGED, CLIENT):
        bed.heard(event(10**9, session_id=session_id))
        attached(bed, 10**9, session_id=session_id)
    assert sum(len(session.handles) for session in bed.book) == MAX_HANDLES
    bed.book.handles.detached(bed.book.find(MANAGED), 1)
    attached(bed, 10**9)
    assert 10**9 in bed.book.managed.handles
    bed.end(CLIENT)
    attached(bed, 10**9 + 1)
    assert len(bed.book.managed.handles) == MAX_HANDLES // 2 + 1


def test_name_of_a_plugin_is_cut(bed: Bed) -> None:
    attached(bed, 1, "x" * 10**6)
    bed.heard(event(2, "y" * 10**6))
    assert bed.book.managed.handles == {1: "x" * MAX_PLUGIN, 2: "y" * MAX_PLUGIN}


def test_the_plugin_of_a_handle_is_looked_for_where_the_command_goes(bed: Bed) -> None:
    book = bed.book
    attached(bed, 1, "janus.plugin.sip")
    former = book.managed
    book.carriers.opened(1, GATEWAY)
    book.claiming(former, 2, 0.0)
    book.stays(former, 2)
    book.managed_created(STRANGE, 2)
    book.adopt(CLIENT, 2)
    attached(bed, 2, "janus.plugin.videoroom", STRANGE)
    attached(bed, 1, "janus.plugin.audiobridge", CLIENT)
    for session_id, handle_id, plugin in (
        (None, 1, "janus.plugin.sip"),
        (MANAGED, 1, "janus.plugin.sip"),
        (None, 2, "janus.plugin.videoroom"),
        (STRANGE, 2, "janus.plugin.videoroom"),
        (555, 1, "janus.plugin.sip"),  # is replaced by the managed one
        (CLIENT, 1, "janus.plugin.audiobridge"),
        (CLIENT, 2, None),
        (None, 3, None),
        (None, None, None),
    ):
        assert book.plugin_of(session_id, handle_id) == plugin, (session_id, handle_id)
        named = {} if session_id is None else {"session_id": session_id}
        goes_to = book.find(bed.sent_as(janus="message", handle_id=handle_id, **named))
        assert goes_to is not None
        assert goes_to.handles.get(handle_id or 0) == plugin
