"""The sessions of one gateway (contract 5.3, 5.7). That no command harms a managed one: test_managed_sessions.py."""

from typing import Any

import pytest

from bridge.errors import LinkDown
from bridge.protocol.command import JanusCommand, read_command
from bridge.protocol.known_sessions import REMEMBERED
from bridge.protocol.managed_ids import ManagedIds
from bridge.protocol.session import JanusSession, SavedSession, SessionState
from bridge.protocol.session_book import MAX_CLIENT_SESSIONS, SessionBook
from tests.support.commands import shape
from tests.support.session_bed import CLIENT, GATEWAY, MANAGED, STRANGE, Bed


@pytest.fixture
def bed() -> Bed:
    return Bed()


# Which session a command goes to


def test_ids_that_the_bridge_never_gave_are_replaced(bed: Bed) -> None:
    assert bed.sent_as(janus="attach", plugin="p", session_id=987654321) == MANAGED
    assert bed.sent_as(janus="attach", plugin="p") == MANAGED
    assert bed.sent_as(janus="attach", plugin="p", session_id="x") == MANAGED
    assert bed.sent_as(janus="attach", plugin="p", session_id=str(MANAGED)) == MANAGED


@pytest.mark.parametrize("verb", ["info", "ping", "create"])
def test_server_level_verbs_have_no_session(bed: Bed, verb: str) -> None:
    assert bed.sent_as(janus=verb, session_id=MANAGED) is None


def test_server_level_verbs_need_no_managed_session() -> None:
    assert Bed(live=False).sent_as(janus="ping") is None


def test_adopted_id_is_honoured(bed: Bed) -> None:
    bed.book.adopt(CLIENT, 1)
    assert bed.sent_as(janus="attach", session_id=str(CLIENT)) == CLIENT
    assert bed.sent_as(janus="destroy", session_id=CLIENT) == CLIENT


def test_claim_goes_out_as_it_is(bed: Bed) -> None:
    assert bed.sent_as(janus="claim", session_id=STRANGE) == STRANGE
    assert bed.sent_as(janus="claim", session_id="no id") is None
    assert bed.sent_as(janus="claim") is None


def test_without_a_managed_session_nothing_is_replaced() -> None:
    bed = Bed(live=False)
    with pytest.raises(LinkDown, match="is being created"):
        bed.sent_as(janus="attach", session_id=STRANGE)
    bed.book.adopt(CLIENT, 1)
    assert bed.sent_as(janus="attach", session_id=CLIENT) == CLIENT
    adrift = Bed(SavedSession(MANAGED, managed=True), live=False)
    with pytest.raises(LinkDown):
        adrift.sent_as(janus="attach")


# What is refused


@pytest.mark.parametrize("verb", ["destroy", "claim"])
@pytest.mark.parametrize("session_id", [MANAGED, str(MANAGED)])
def test_command_that_names_the_managed_session_is_refused(bed: Bed, verb: str, session_id: int | str) -> None:
    assert bed.refusal(janus=verb, session_id=session_id) == f"{verb} names a session that the bridge manages"


@pytest.mark.parametrize("verb", ["destroy", "claim"])
def test_so_is_one_that_names_that_of_another_row(bed: Bed, verb: str) -> None:
    bed.managed_ids.add(STRANGE)
    assert "manages" in bed.refusal(janus=verb, session_id=STRANGE)


def test_create_with_a_managed_id_is_refused(bed: Bed) -> None:
    assert bed.refusal(janus="create", id=str(MANAGED)) == "create names a session that the bridge manages"


@pytest.mark.parametrize("session_id", [None, 0, -MANAGED, 111.0, True, " 111", "0111", [MANAGED]])
def test_destroy_without_an_id_is_refused(bed: Bed, session_id: Any) -> None:
    assert bed.refusal(janus="Destroy", session_id=session_id) == "destroy without a session_id"
    assert bed.refusal(janus="destroy") == "destroy without a session_id"


def test_destroy_of_a_session_that_is_not_ours_is_refused(bed: Bed) -> None:
    assert "not made or claimed through the bridge" in bed.refusal(janus="destroy", session_id=STRANGE)


# What is remembered


def test_ended_id_is_still_sent_as_it_is_so_that_janus_answers_458(bed: Bed) -> None:
    bed.book.adopt(CLIENT, 1)
    bed.end(CLIENT)
    assert bed.book.find(CLIENT) is None
    assert bed.sent_as(janus="attach", session_id=CLIENT) == CLIENT
    assert bed.sent_as(janus="destroy", session_id=CLIENT) == CLIENT


def test_last_ten_thousand_ended_ids_are_remembered(bed: Bed) -> None:
    for n in range(1000, 1000 + REMEMBERED + 1):
        bed.book.adopt(n, 1)
        bed.end(n)
    assert bed.sent_as(janus="attach", session_id=1000) == MANAGED
    assert bed.sent_as(janus="attach", session_id=1001) == 1001
    bed.book.adopt(1001, 1)  # it lives again: its next end is the latest
    bed.end(1001)
    bed.book.adopt(CLIENT, 1)
    bed.end(CLIENT)
    assert bed.sent_as(janus="attach", session_id=1002) == MANAGED
    assert bed.sent_as(janus="attach", session_id=1001) == 1001


def test_ids_found_in_the_state_file_count_as_given() -> None:
    bed = Bed(SavedSession(CLIENT, managed=False), SavedSession(STRANGE, managed=False, ended=True))
    assert bed.sent_as(janus="attach", session_id=CLIENT) == CLIENT
    assert bed.sent_as(janus="attach", session_id=STRANGE) == STRANGE
    assert [(one.session_id, one.state) for one in bed.book][1:] == [(CLIENT, SessionState.ADRIFT)]


def test_managed_session_of_the_last_process_is_to_be_claimed() -> None:
    bed = Bed(SavedSession(MANAGED, managed=True), live=False)
    assert (bed.book.managed.session_id, bed.book.managed.state) == (MANAGED, SessionState.ADRIFT)
    assert set(bed.managed_ids) == {MANAGED}
    assert "manages" in bed.refusal(janus="claim", session_id=MANAGED)


def test_second_managed_session_in_the_file_is_a_former_one() -> None:
    """The last process had it beside the first, with another Janus behind the same URL."""
    bed = Bed(SavedSession(MANAGED, managed=True), SavedSession(STRANGE, managed=True), live=False)
    assert [(one.session_id, one.managed) for one in bed.book] == [(MANAGED, True), (STRANGE, True)]
    assert "manages" in bed.refusal(janus="claim", session_id=STRANGE)


def test_former_managed_session_lives_on(bed: Bed) -> None:
    """Its handles work, nothing new is made in it, and no caller ends it; until another connection has it again."""
    book = bed.book
    book.handles.attached(book.managed, {"data": {"id": 7}}, "p")
    former = book.managed
    book.carriers.opened(1, GATEWAY)
    book.claiming(former, 2, 0.0)
    book.stays(former, 2)
    book.managed_created(STRANGE, 2)
    assert bed.sent_as(janus="attach", plugin="p") == STRANGE
    assert bed.sent_as(janus="message", handle_id=7) == MANAGED
    assert bed.sent_as(janus="message", handle_id=8) == STRANGE
    assert bed.sent_as(janus="attach", plugin="p", session_id=MANAGED) == MANAGED
    assert "manages" in bed.refusal(janus="destroy", session_id=MANAGED)
    assert former.carried_by(1)
    assert book.promote(1)
    assert book.managed is former
    book.close()
    assert set(bed.managed_ids) == set()


def test_former_managed_session_that_ends_leaves_the_managed_one_alone(bed: Bed) -> None:
    bed.book.managed_created(STRANGE, 2)
    bed.end(MANAGED)
    assert [one.session_id for one in bed.book] == [STRANGE]
    assert set(bed.managed_ids) == {STRANGE}
    assert bed.saves[-1] == SavedSession(MANAGED, managed=True, ended=True)


# What is saved


def test_everything_is_saved_as_it_happens(bed: Bed) -> None:
    bed.book.adopt(CLIENT, 1)
    bed.end(CLIENT)
    bed.book.ended(bed.book.managed)
    assert bed.saves == [
        SavedSession(MANAGED, managed=True),
        SavedSession(CLIENT, managed=False),
        SavedSession(CLIENT, managed=False, ended=True),
        SavedSession(MANAGED, managed=True, ended=True),
    ]


def test_adopting_again_saves_nothing_new(bed: Bed) -> None:
    bed.book.adopt(CLIENT, 1)
    saves = len(bed.saves)
    bed.book.adopt(CLIENT, 2)
    session = bed.book.find(CLIENT)
    assert session is not None
    assert session.carried_by(2)
    assert len(bed.saves) == saves


def test_where_it_lives_is_saved_with_it_whenever_that_is_another_socket(bed: Bed) -> None:
    saves = len(bed.saves)
    for number, socket in ((5, 31), (6, 31), (7, 40), (8, 0)):
        bed.book.carriers.opened(number, GATEWAY, socket)
        bed.book.adopt(CLIENT, number)
    assert bed.saves[saves:] == [SavedSession(CLIENT, managed=False, socket=socket) for socket in (31, 40, 0)]
    restored = Bed(SavedSession(MANAGED, managed=True, socket=31), live=False)
    assert restored.book.managed.socket == 31


# Ends


def test_ended_managed_session_makes_room_for_a_new_one(bed: Bed) -> None:
    bed.book.ended(bed.book.managed)
    assert (bed.book.managed.session_id, bed.book.managed.state) == (None, SessionState.WANTED)
    assert set(bed.managed_ids) == set()
    assert bed.sent_as(janus="claim", session_id=MANAGED) == MANAGED


def test_managed_session_without_an_id_cannot_end() -> None:
    bed = Bed(live=False)
    managed = bed.book.managed
    bed.book.ended(managed)
    assert bed.book.managed is managed
    assert bed.saves == []


def test_closed_book_manages_nothing(bed: Bed) -> None:
    bed.book.close()
    assert set(bed.managed_ids) == set()
    Bed(live=False).book.close()


def test_managed_id_is_adopted_by_nobody(bed: Bed) -> None:
    bed.managed_ids.add(STRANGE)
    bed.book.adopt(MANAGED, 1)
    bed.book.adopt(STRANGE, 1)
    assert list(bed.book) == [bed.book.managed]


def test_claim_by_a_caller_while_the_bridge_claims_it_too(bed: Bed) -> None:
    bed.book.adopt(CLIENT, 1)
    session = bed.book.find(CLIENT)
    assert isinstance(session, JanusSession)
    bed.book.claiming(session, 3, 0.0)
    bed.book.adopt(CLIENT, 2)
    assert session.carried_by(2)


def test_command_is_not_changed_by_being_looked_at(bed: Bed) -> None:
    value = {"janus": "attach", "session_id": STRANGE}
    command: JanusCommand = read_command(value)
    bed.book.check(command)
    bed.book.address(command)
    assert shape(command) == shape(read_command(value))


@pytest.mark.slow
def test_number_of_sessions_is_bounded(bed: Bed) -> None:
    for n in range(MAX_CLIENT_SESSIONS + 1):
        bed.book.adopt(10**6 + n, 1)
    assert len(bed.book) == 1 + MAX_CLIENT_SESSIONS
    bed.end(10**6)
    bed.book.adopt(STRANGE, 1)
    assert bed.book.find(STRANGE) is not None


def test_a_row_that_is_added_again_keeps_its_id_managed() -> None:
    """For a moment there are two books: that of the removed row, which is still saying goodbye, and the new one's."""
    managed_ids = ManagedIds()
    record = SavedSession(MANAGED, managed=True)
    old, new = (SessionBook(managed_ids, lambda *_: None, GATEWAY, [record]) for _ in range(2))
    old.close()
    assert MANAGED in managed_ids
    new.close()
    assert MANAGED not in managed_ids
