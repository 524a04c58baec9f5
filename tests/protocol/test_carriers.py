"""Which connection has which session; what follows from it for a whole gateway is in test_failover.py."""

from bridge.protocol.carriers import Carriers
from bridge.protocol.gateway import Gateway
from bridge.protocol.session import JanusSession, SavedSession

HERE, THERE = Gateway(1, "gw", "ws://one", None), Gateway(1, "gw", "ws://two", None)


def saved(session_id: int, socket: int = 5) -> JanusSession:
    return JanusSession.restored(SavedSession(session_id, managed=False, socket=socket))


def test_what_another_process_left_is_carried_and_lives_once_its_janus_answers() -> None:
    carriers, session, wanted = Carriers(), saved(7, 5), JanusSession(managed=True)
    carriers.inherited(HERE, {1: 5}, [session, wanted])
    assert (session.carrier, session.live, wanted.carrier) == (1, False, None)
    assert carriers.on(1) == {session}
    carriers.confirmed(1)
    assert session.carried_by(1)
    carriers.inherited(HERE, {}, [session])
    assert session.carried_by(1)


def test_each_of_several_carries_its_own_and_the_newest_the_rest() -> None:
    """A newer one may have a session whose claim went out there."""
    carriers, one, two, three, other, gone = (
        Carriers(),
        *(saved(number, socket) for number, socket in enumerate((5, 7, 9, 0, 6))),
    )
    carriers.inherited(HERE, {1: 5, 2: 7, 3: 9}, [one, two, three, other, gone])
    assert [session.carrier for session in (one, two, three, other, gone)] == [1, 2, 3, 3, 3]
    assert carriers.on(1) == {one, other}
    assert carriers.on(2) == {one, two, other, gone}
    assert carriers.on(3) == {one, two, three, other, gone}


def test_what_was_not_saved_as_living_there_is_to_be_claimed() -> None:
    """Its socket ended, and a claim on this one may have been refused: Janus would send its events to nobody."""
    carriers, here, elsewhere = Carriers(), saved(7, 5), saved(8, 4)
    carriers.inherited(HERE, {1: 5}, [here, elsewhere])
    carriers.confirmed(1)
    assert (here.live, elsewhere.live, elsewhere.carrier) == (True, False, 1)


def test_what_is_disowned_may_live_there_still_and_anybody_may_say_that_it_is_over() -> None:
    carriers, session = Carriers(), saved(7)
    carriers.opened(2, HERE)
    carriers.inherited(HERE, {1: 5}, [session])
    carriers.confirmed(1)
    assert not carriers.may_end(session, 2)
    carriers.disown(1)
    assert (session.carrier, session.live) == (None, False)
    assert carriers.carries(1)
    assert carriers.may_end(session, 2)


def test_what_is_cut_is_to_be_claimed() -> None:
    carriers, session = Carriers(), saved(7)
    carriers.inherited(HERE, {1: 5}, [session])
    carriers.confirmed(1)
    carriers.cut(1)
    assert (session.live, carriers.is_open(1), carriers.find(1), carriers.on(1)) == (False, False, None, set())


def test_what_lives_behind_another_url_is_misplaced() -> None:
    carriers, session = Carriers(), saved(7)
    carriers.inherited(HERE, {1: 5}, [session])
    assert carriers.misplaced(THERE, [session]) == []  # nobody knows whether it lives
    carriers.confirmed(1)
    assert carriers.misplaced(THERE, [session]) == [session]
    assert carriers.misplaced(HERE, [session]) == []
    carriers.remove(session)
    assert not carriers.carries(1)


def test_a_session_may_live_somewhere_while_a_connection_that_may_have_it_is_open() -> None:
    carriers, session, other = Carriers(), saved(7), saved(8)
    carriers.opened(2, THERE)
    carriers.inherited(HERE, {1: 5}, [session])
    assert (carriers.somewhere(session), carriers.somewhere(other)) == (True, False)
    carriers.cut(1)
    assert not carriers.somewhere(session)
