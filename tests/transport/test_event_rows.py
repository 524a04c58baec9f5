"""The rows of the log of events: what no column takes."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_record import LARGEST, NamedSubscription, OutletState, StoreContents, Wish
from bridge.transport.event_rows import SCHEMA, SubscriberRows, read_all, read_subscriber
from bridge.transport.event_store import EventStore
from tests.support.event_logs import pages, record


async def test_a_lone_surrogate_is_a_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    made = EventStore(path, full=False)
    made.open()
    await made.write(pages(record(1, '{"a":"\ud83d"}')), (), (), 0)
    assert [one.body for one in (await made.read(0, 9))[0]] == ['{"a":"?"}']
    await made.write(pages(record(2, "{}", janus_id="\udcff")._replace(url="ws://\udcff")), (), (), 0)
    assert [(one.origin, one.url) for one in (await made.read(1, 9))[0]] == [("?", "ws://?")]
    made.close()


async def test_a_place_that_cannot_be_kept_costs_no_other_and_no_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "events.db"
    made = EventStore(path, full=False)
    made.open()
    for number in (1, 2):
        await made.write(
            pages(record(number)), [OutletState("a", number), OutletState("b", 2**70), OutletState("c", number)], (), 0
        )
    made.close()
    assert EventStore(path, full=False).open() == StoreContents(2, 7, (OutletState("a", 2), OutletState("c", 2)))
    assert [line.split(": ")[1] for line in caplog.messages] == ["the place of the subscriber 'b' cannot be kept"]


@pytest.mark.parametrize("wanted", ["[]]", "[1]", "[[1, 2]]", '[[1, {"E": [1]}]]', '[[1, {"E": {"kind": "x"}}]]'])
def test_a_damaged_row_is_told(wanted: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever it is
        read_subscriber(("a", 1, "[]", None, None, wanted))


def test_what_a_subscriber_wants_is_written_where_it_has_changed() -> None:
    wish = Wish("E_JANUS_EVENT", 5, {"kind": ["event"]})
    wanted = ((7, {"E_JANUS_STATUS": None}), (LARGEST, {"E_JANUS_EVENT": EventFilter.read({"kind": ["event"]})}))
    state = OutletState("a", 1, (), NamedSubscription("mi:udp:h:1", (wish,)), 9, wanted)
    rows = SubscriberRows()
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(SCHEMA)

        def changes(state: OutletState) -> int:
            before = database.total_changes
            rows.keep(database, state)
            return database.total_changes - before

        assert changes(state) == 2
        assert changes(state._replace(position=2)) == 1
        assert changes(state._replace(wanted=wanted[1:])) == 2
        rows.rolled_back()
        assert changes(state) == 2
        assert read_all(database) == [state]
        rows.delete(database, ["a"])
        assert read_all(database) == []
        assert changes(state) == 2
