"""What an outlet wants of the log, over the changes of its subscriptions."""

from bridge.core.event_wanted import MOST, WantedEvents
from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.event_record import EventRecord
from tests.support.event_logs import record

OF_G1 = EventFilter(janus_ids=frozenset({"g1"}))


def made(*, is_mi: bool = False) -> WantedEvents:
    wanted = WantedEvents(is_mi=is_mi)
    wanted.change({E_JANUS_EVENT: None}, 0, 0)
    return wanted


def passing(wanted: WantedEvents, janus_id: str = "g2") -> list[int]:
    return [position for position in range(1, 8) if wanted.passes(record(position, janus_id=janus_id))]


def test_what_it_wanted_when_it_came_it_gets_and_no_more() -> None:
    wanted = made()
    wanted.change({E_JANUS_EVENT: OF_G1}, 2, 4)
    wanted.change({E_JANUS_EVENT: OF_G1}, 2, 7)  # no change
    assert (passing(wanted), passing(wanted, "g1")) == ([1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7])
    wanted.change({E_JANUS_STATUS: None}, 4, 6)
    assert (passing(wanted), passing(wanted, "g1")) == ([], [1, 2, 3, 4, 5, 6])


def test_the_next_life_knows_it() -> None:
    before, wanted = made(), WantedEvents(is_mi=False)
    before.change({E_JANUS_EVENT: OF_G1}, 0, 4)
    wanted.restore(before.kept())
    wanted.change({E_JANUS_STATUS: None}, 0, 6)
    assert (passing(wanted), passing(wanted, "g1")) == ([1, 2, 3, 4], [1, 2, 3, 4, 5, 6])
    wanted.restore(())
    assert passing(wanted) == []


def test_what_mi_raised_goes_to_no_opensips() -> None:
    raised = EventRecord(1, 0.0, E_JANUS_EVENT, None, 0, 0, None, "[]")
    assert [made(is_mi=is_mi).passes(raised) for is_mi in (False, True)] == [True, False]


def test_so_many_changes_are_remembered() -> None:
    wanted = made()
    for position in range(1, MOST + 2):
        wanted.change({E_JANUS_STATUS: EventFilter(janus_ids=frozenset({str(position)}))}, 0, position)
    assert len(wanted._before) == MOST
    assert passing(wanted) == []
