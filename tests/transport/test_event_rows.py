"""The rows of the log of events: what no column takes."""

from pathlib import Path

import pytest

from bridge.protocol.event_record import OutletState, StoreContents
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
