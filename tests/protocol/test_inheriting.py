"""What is decided about the connections that another process left, as playbooks (contract 5.3, 10)."""

from collections.abc import Sequence

from bridge.protocol.life import State
from bridge.protocol.session import SavedSession
from tests.support.playbook import Play, ready

LEFT, READY = State.LEFT, State.READY
SAVED = (SavedSession(77, managed=True), SavedSession(78, managed=False))


def inheriting(*saved: SavedSession, sockets: Sequence[int] = (5,)) -> Play:
    """Of another process, which had these sessions."""
    play = Play(*saved)
    assert play.begin(*sockets) == [f"open {number}" for number, _ in enumerate(sockets, 1)]
    return play


def test_connection_of_another_process_goes_on_mid_life() -> None:
    play = inheriting(*SAVED)
    assert play.adopted(1) == ["join 1"]
    assert [session.carrier for session in play.book] == [1, 1]
    assert play.roster.route(1) is None  # nobody knows whether it can be written to
    play.roster.connections[1].greeted(0)
    assert play.roster.route(1) == 1
    assert play.claim(1).joined(1) == ["ready 1", "watch 1"]


def test_connection_of_another_process_that_gives_no_answer_is_kept_until_another_one_has_its_sessions() -> None:
    """Neither closed nor written to; no failed attempt. What it says does not show that it listens: its answer does."""
    play = inheriting(*SAVED)
    play.adopted(1)
    assert play.failed(1) == ["greet 1", "suspend 1", "open 2"]
    assert play.spoke(1) == []
    assert play.states() == {1: LEFT, 2: State.OPENING}
    play.opened(2)
    assert play.claim(2).joined(2) == ["ready 2", "watch 2", "retire 1"]
    assert play.retired(1) == ["close 1"]


def test_connection_of_another_process_that_answers_late_is_current_again() -> None:
    play = inheriting(*SAVED)
    play.adopted(1)
    play.failed(1)
    assert play.answered(1) == ["cancel 2", "join 1", "watch 1"]


def test_another_row_while_nobody_knows_whether_the_connection_of_another_process_is_of_use() -> None:
    """It is kept as one that may have the sessions, and asked for nothing but its first answer."""
    play = inheriting(*SAVED)
    play.adopted(1)
    assert play.want("ws://two") == ["cancel 1", "greet 1", "suspend 1", "open 2"]
    assert play.states() == {1: LEFT, 2: State.OPENING}


def test_connection_of_another_process_that_makes_no_sense_is_kept_until_another_one_has_its_sessions() -> None:
    """Whatever that one says of them counts."""
    play = inheriting(*SAVED)
    play.adopted(1)
    assert play.stalled(1) == ["suspend 1"]  # which ends the exchange
    assert play.failed(1) == ["suspend 1", "open 2"]
    assert [session.carrier for session in play.book] == [None, None]
    play.refused_connect(2)
    assert play.states() == {1: LEFT}
    assert play.roster.visible == "backoff"


def test_connection_of_another_process_without_sessions_is_closed_where_it_gives_no_answer() -> None:
    play = inheriting()
    play.adopted(1)
    assert play.failed(1) == ["close 1", "suspend 1", "open 2"]


def test_sessions_of_another_process_are_claimed_elsewhere_once_its_connection_has_ended() -> None:
    play = inheriting(*SAVED)
    play.adopted(1)
    assert play.ended(1) == ["cancel 1", "suspend 1"]
    assert not any(play.book.carriers.is_open(session.carrier) for session in play.book)
    assert [session.session_id for session in play.book.unsettled(2)] == [77, 78]


def test_what_was_decided_while_the_link_did_not_run_is_not_done() -> None:
    """The pause before the next attempt was over, or somebody wished for one."""
    play = ready()
    play.stalled(1)
    play.failover.reset("the link is being restarted")
    assert play.reconnect() == ["open 3"]
    assert play.begin(5) == ["open 4"]
    assert list(play.states()) == [4]


# Several connections of another process, to several Janus behind one URL


APART = (SavedSession(77, managed=True, socket=5), SavedSession(78, managed=True, socket=9))


def apart() -> Play:
    play = inheriting(*APART, sockets=(5, 9))
    assert play.adopted(1) == ["greet 1"]
    assert play.adopted(2) == ["join 2"]
    assert {session.session_id: session.carrier for session in play.book} == {77: 1, 78: 2}
    return play


def claim_what_is_known(play: Play, number: int) -> None:
    for session in play.book.unsettled(number):
        play.book.claiming(session, number, play.now)
        if session.carrier == number:
            play.book.claimed(session, number)
        else:
            play.book.stays(session, number)


def test_each_has_its_own_sessions_and_serves_once_its_janus_has_answered() -> None:
    play = apart()
    assert play.roster.route(1) is None
    assert play.spoke(1) == []  # an event that waited in the kernel
    assert play.answered(1) == ["watch 1"]
    assert (play.roster.route(1), play.roster.route(2)) == (1, None)
    play.roster.connections[2].greeted(0)
    claim_what_is_known(play, 2)
    assert play.joined(2) == ["ready 2", "watch 2"]  # the session that lives there is the managed one again
    assert play.book.managed.session_id == 78
    assert play.states() == {1: LEFT, 2: READY}
    assert play.at(1000.0).due() == []


def test_one_whose_janus_is_frozen_keeps_its_sessions_for_as_long_as_that_would() -> None:
    play = apart()
    play.roster.connections[2].greeted(0)
    claim_what_is_known(play, 2)
    assert play.joined(2) == ["ready 2", "watch 2"]
    assert play.at(59.0).due() == []
    assert play.answered(1) == ["watch 1"]
    assert play.at(1000.0).due() == []

    play = apart()
    play.roster.connections[2].greeted(0)
    claim_what_is_known(play, 2)
    play.joined(2)
    assert play.at(60.0).due() == ["close 1", "suspend 1", "join 2"]


def test_one_that_makes_no_sense_has_its_sessions_claimed_where_that_may_work() -> None:
    play = apart()
    assert play.stalled(1) == ["suspend 1"]
    assert {session.session_id: session.carrier for session in play.book} == {77: None, 78: 2}
    play.roster.connections[2].greeted(0)
    assert play.claim(2).joined(2) == ["ready 2", "watch 2", "retire 1"]


def test_one_whose_sessions_another_one_has_by_now_is_retired() -> None:
    """It was killed while it claimed them."""
    play = apart()
    play.answered(1)
    play.roster.connections[2].greeted(0)
    assert play.claim(2).joined(2) == ["ready 2", "watch 2", "retire 1"]


def test_one_without_sessions_is_retired() -> None:
    play = inheriting(*SAVED, sockets=(5, 9))
    play.adopted(1)
    play.adopted(2)
    assert play.claim(2).joined(2) == ["ready 2", "watch 2", "retire 1"]


def test_the_older_one_is_current_where_the_newest_is_gone() -> None:
    play = inheriting(*APART, sockets=(5, 9))
    assert play.failed(2, "it is gone") == []
    assert play.adopted(1) == ["join 1"]


def test_as_many_as_there_are_stay_until_each_is_known() -> None:
    """The bound on silent ones is for those of this life."""
    saved = [SavedSession(70 + number, managed=False, socket=number) for number in range(1, 10)]
    play = inheriting(*saved, sockets=range(1, 10))
    assert [play.adopted(number) for number in range(1, 10)] == [*([f"greet {n}"] for n in range(1, 9)), ["join 9"]]
    assert play.failed(9) == ["greet 9", "suspend 9", "open 10"]
    assert len(play.states()) == 10
