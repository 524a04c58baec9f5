"""Whose a session is: this bridge's from the start, another one's before, or another one's now (contract 5.7, 11).

What a command's ids mean is in test_session_book.py.
"""

import pytest

from bridge.errors import InvalidCommand, LinkDown
from bridge.protocol.command import read_command
from bridge.protocol.session import SavedSession, SessionState
from tests.support.session_bed import CLIENT, MANAGED, STRANGE, Bed

NODE = 2
THEIRS = SavedSession(STRANGE, managed=True, handles=((7, "janus.plugin.gen"), (8, None)))


@pytest.fixture
def bed() -> Bed:
    return Bed()


def test_managed_session_of_another_bridge_is_a_former_one(bed: Bed) -> None:
    (session,) = bed.book.inherit(NODE, [THEIRS])
    assert (session.state, session.node, bed.book.managed.session_id) == (SessionState.ADRIFT, NODE, MANAGED)
    assert (bed.book.inherited, bed.book.unsettled(1)) == ([session], [session])
    with pytest.raises(LinkDown):
        bed.sent_as(janus="message", handle_id=7)
    bed.book.claimed(session, 1)
    assert bed.sent_as(janus="message", handle_id=7) == STRANGE
    assert bed.book.plugin_of(None, 7) == "janus.plugin.gen"
    with pytest.raises(InvalidCommand):
        bed.book.check(read_command({"janus": "destroy", "session_id": STRANGE}))


def test_it_is_former_also_where_this_bridge_has_none_of_its_own() -> None:
    bed = Bed(live=False)
    bed.book.inherit(NODE, [THEIRS])
    assert bed.book.managed.session_id is None


def test_client_session_of_another_bridge_is_honoured_and_saved_once_it_is_claimed(bed: Bed) -> None:
    (session,) = bed.book.inherit(NODE, [SavedSession(CLIENT, managed=False)])
    assert bed.sent_as(janus="message", session_id=CLIENT, handle_id=7) == CLIENT
    before = len(bed.saves)
    bed.book.claimed(session, 1)
    assert bed.saves[before:] == [SavedSession(CLIENT, managed=False)]


def test_one_that_is_here_already_is_inherited_once(bed: Bed) -> None:
    (first,) = bed.book.inherit(NODE, [THEIRS])
    (again,) = bed.book.inherit(NODE, [THEIRS])
    assert (first is again, bed.book.counts) == (True, (2, 2))


def test_what_is_known_to_be_here(bed: Bed) -> None:
    knows = bed.book.knows
    assert not knows(STRANGE, None)
    assert not knows(None, 7)
    bed.book.inherit(NODE, [THEIRS])
    assert knows(None, None)
    assert knows(None, 7)
    assert knows(STRANGE, 999)
    assert knows(MANAGED, None)
    assert not knows(MANAGED, 999)
    assert knows(12345, 8)  # whatever stands as session_id: the handle is here
    assert not knows(12345, None)


def test_handle_of_any_session_is_found(bed: Bed) -> None:
    (session,) = bed.book.inherit(NODE, [SavedSession(CLIENT, managed=False, handles=((9, None),))])
    assert bed.book.having(9) is session
    assert bed.book.having(10) is None


def test_forgotten_sessions_are_not_over(bed: Bed) -> None:
    """Another bridge has them: the next process does not know them, and their ids mean nothing here."""
    bed.book.adopt(CLIENT, 1)
    bed.book.inherit(NODE, [THEIRS])
    saves = [*bed.saves, *(SavedSession.elsewhere(one) for one in (MANAGED, STRANGE, CLIENT))]
    sessions = list(bed.book)
    assert [session.session_id for session in sessions] == [MANAGED, STRANGE, CLIENT]
    bed.book.forget(sessions)
    assert (bed.saves, bed.book.counts, list(bed.managed_ids)) == (saves, (0, 0), [])
    assert not bed.book.carriers.carries(1)
    assert not bed.book.knows(CLIENT, None)


def test_what_is_offered_is_claimed_by_nobody_here(bed: Bed) -> None:
    """Nor by the next process, whatever is heard of its handles meanwhile; taken back, all is as before."""
    session = bed.book.managed
    bed.book.offer([session])
    assert bed.saves[-1] == SavedSession.elsewhere(MANAGED)
    saves = len(bed.saves)
    bed.heard({"janus": "event", "session_id": MANAGED, "sender": 7, "plugindata": {"plugin": "p"}})
    assert len(bed.saves) == saves
    bed.book.carriers.cut(1)
    assert bed.book.unsettled(2) == []
    bed.book.take_back()
    assert bed.saves[-1] == SavedSession(MANAGED, True, handles=((7, "p"),))
    assert bed.book.unsettled(2) == [session]


def test_what_another_bridge_may_have_claimed_since_is_claimed_again(bed: Bed) -> None:
    session = bed.book.managed
    bed.book.offer([session])
    assert bed.book.inherit(NODE, [SavedSession(MANAGED, True)]) == [session]
    assert (session.offered, session.node) == (False, NODE)
    assert bed.book.unsettled(1) == [session]


def test_an_empty_session_of_the_bridge_is_missed_by_nobody(bed: Bed) -> None:
    assert bed.book.of_worth == []
    bed.heard({"janus": "event", "session_id": MANAGED, "sender": 7, "plugindata": {"plugin": "p"}})
    bed.book.adopt(CLIENT, 1)
    assert [session.session_id for session in bed.book.of_worth] == [MANAGED, CLIENT]
