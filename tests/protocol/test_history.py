"""What a gateway's history remembers, and what of it concerns a handle."""

from bridge.protocol.history import HAPPENINGS, LENGTH, MAX_NAMED, Happening, History
from bridge.resources import schema


def test_the_oldest_make_room() -> None:
    history = History()
    for number in range(LENGTH + 3):
        history.add(float(number), Happening("handle_attached", 1, number))
    assert len(history) == LENGTH
    assert next(iter(history))[0] == 3.0
    assert [when for when, _ in history.newest(2)] == [LENGTH + 2.0, LENGTH + 1.0]


def test_a_handles_own_entries_and_what_happened_around_it() -> None:
    history = History()
    happenings = [
        Happening("connected"),
        Happening("handle_attached", 1, 7),
        Happening("handle_attached", 1, 8),
        Happening("disconnected", reason="reset"),
        Happening("connected"),
        Happening("handle_detached", 1, 8),
        Happening("session_lost", 1, reason="458", handles={7: None}.keys()),
    ]
    for when, happening in enumerate(happenings):
        history.add(float(when), happening)
    assert [when for when, _ in history.of(7)] == [1.0, 3.0, 4.0, 6.0]
    assert [when for when, _ in history.of(8)] == [2.0, 3.0, 4.0, 5.0]
    assert list(history.of(9)) == []


def test_a_lost_session_of_many_handles_is_remembered_in_bounds() -> None:
    history = History()
    history.add(0.0, Happening("session_lost", 1, handles=dict.fromkeys(range(1, 10 * MAX_NAMED)).keys()))
    ((_, kept),) = history
    assert len(kept.handles) == MAX_NAMED


def test_the_schema_has_the_same_words() -> None:
    entry = schema("result-janus_history")["$defs"]["entry"]
    assert entry["properties"]["what"]["enum"] == list(HAPPENINGS)
