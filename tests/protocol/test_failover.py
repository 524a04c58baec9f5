"""What is decided about the connections of a gateway, as playbooks (contract 5.3): a line happens, and is answered."""

import ast

import pytest

from bridge.protocol import decisions
from bridge.protocol.decisions import TABLE, Incident, Transition, decide
from bridge.protocol.life import Input, State
from bridge.protocol.roster import MOST, ConnectionRecord, Roster
from tests.protocol import test_inheriting
from tests.support.playbook import Play, ready
from tests.support.work import counting
from tools.source import program

JOINING, LEFT, READY, REFUSED = State.JOINING, State.LEFT, State.READY, State.REFUSED


# Coming up


def test_refused_connects_are_retried_at_least_once_a_second() -> None:
    play = Play()
    play.due()
    for number in range(1, 60):
        assert play.refused_connect(number) == []
        assert play.roster.visible == "backoff"
        wake = play.roster.wake_at
        assert wake is not None
        assert wake - play.now <= 0.9
        assert play.at(wake).due() == [f"open {number + 1}"]
    assert play.said == ["connection refused"] * 59


def test_peer_that_accepts_and_closes_is_asked_ever_less() -> None:
    play, waits = Play(), []
    play.due()
    for number in range(1, 9):
        play.opened(number)
        assert play.ended(number) == [f"cancel {number}", f"suspend {number}"]
        wake = play.roster.wake_at
        assert wake is not None
        waits.append(wake - play.now)
        play.at(wake).due()
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


def test_connection_that_served_is_replaced_soon_however_often_it_ends() -> None:
    play = Play()
    play.due()
    for number in range(1, 9):
        play.opened(number)
        play.claim(number, "unknown").joined(number)
        play.roster.connections[number].served = True
        born = play.now
        play.at(born + 0.1).ended(number)
        wake = play.roster.wake_at
        assert wake is not None
        assert wake - born == 0.5  # two a second, no more
        play.at(wake).due()


def test_refused_create_is_asked_for_again_on_the_same_connection() -> None:
    play = Play()
    play.due()
    play.opened(1)
    assert play.refused(1) == ["watch 1"]
    assert (play.roster.visible, play.roster.down_because) == ("backoff", "403 Unauthorized")
    assert play.at(play.roster.wake_at or 0).due() == ["join 1"]
    assert play.joined(1) == ["ready 1", "watch 1"]


def test_reconnect_and_another_row_count_while_it_is_opened_or_joined() -> None:
    play = Play()
    play.due()
    assert play.reconnect() == []  # one is being made
    assert play.want("ws://two") == ["cancel 1", "open 2"]
    play.opened(2)
    assert play.reconnect() == []
    assert play.want("ws://three") == ["cancel 2", "close 2", "suspend 2", "open 3"]
    play.opened(3)
    play.refused(3)
    assert play.reconnect() == ["close 3", "suspend 3", "open 4"]  # it carries nothing: closed, not kept
    assert play.states() == {4: State.OPENING}


# A connection that is lost


def test_lost_connection() -> None:
    play = ready()
    assert play.ended(1) == ["suspend 1", "open 2"]
    assert play.roster.visible == "connecting"
    assert play.opened(2) == ["join 2"]
    assert play.claim(2).joined(2) == ["ready 2", "watch 2"]


def test_end_while_it_is_refused_is_noticed_at_once() -> None:
    play = ready()
    play.session_over(play.book.managed)
    play.refused(1)
    assert play.at(200.0).ended(1)[-1] == "open 2"


def test_end_while_sessions_are_brought_onto_it_is_a_failed_attempt() -> None:
    play = Play()
    play.due()
    play.opened(1)
    assert play.ended(1) == ["cancel 1", "suspend 1"]
    assert play.roster.down_because == "reset"


def test_stall_while_it_is_joined_ends_the_exchange_and_the_connection() -> None:
    """The answer could still come; but nothing more could be asked on this connection."""
    play = Play()
    play.due()
    play.opened(1)
    assert play.stalled(1) == ["suspend 1"]
    assert play.failed(1) == ["close 1", "suspend 1"]


# A session that ends


def test_session_that_ends_is_made_anew_on_the_same_connection() -> None:
    play = ready()
    assert play.session_over(play.book.managed) == ["join 1"]
    assert play.roster.route(None) == 1  # what needs no session goes on
    assert play.joined(1) == ["ready 1", "watch 1"]


def test_sessions_that_end_at_once_are_not_made_without_end() -> None:
    play = ready()
    play.session_over(play.book.managed)
    play.joined(1)
    for _ in range(3):
        assert play.session_over(play.book.managed) == []
        assert (play.states()[1], play.roster.visible) == (REFUSED, "backoff")
        play.at(play.roster.wake_at or 0).due()
        play.joined(1)
    assert play.now == 60 + 0.5 + 1 + 2


def test_session_that_ends_while_another_connection_is_wanted_is_made_anew_where_it_was() -> None:
    """The old connection serves until the new one is there: nothing waits for that one. The wish is not forgotten."""
    play = ready()
    play.reconnect()
    play.refused_connect(2)
    assert play.roster.visible == "ready"
    assert play.session_over(play.book.managed) == ["join 1", "watch 1"]
    assert play.joined(1) == ["ready 1", "watch 1", "ping 1", "open 3"]


# Silence


def test_silent_connection_is_kept_and_good_again_when_it_speaks() -> None:
    play = ready()
    assert play.silent(1) == ["ping 1", "suspend 1", "open 2"]
    assert play.roster.route(1) is None
    assert play.spoke(1) == ["cancel 2", "join 1", "watch 1"]
    assert play.joined(1) == ["ready 1", "watch 1"]
    assert play.states() == {1: READY}


def test_silent_connection_is_kept_through_any_number_of_attempts() -> None:
    play = ready()
    play.silent(1)
    for number in range(2, 40):
        assert play.failed(number, "the WebSocket upgrade was not answered") == []
        play.at(play.roster.wake_at or 0).due()
    assert play.now > 300
    assert play.states() == {1: LEFT, 40: State.OPENING}
    assert play.spoke(1) == ["cancel 40", "join 1", "watch 1"]


def test_forgotten_connection_is_replaced_while_it_is_open() -> None:
    play = ready()
    play.silent(1)
    play.opened(2)
    assert play.claim(2).joined(2) == ["ready 2", "watch 2", "retire 1"]
    assert play.retired(1) == ["close 1"]


@pytest.mark.parametrize("phase", ["opening", "pause", "joining"])
def test_old_connection_ends_meanwhile(phase: str) -> None:
    play = ready()
    play.silent(1)
    if phase == "pause":
        play.failed(2)
    if phase == "joining":
        play.opened(2)
    assert play.ended(1) == ["suspend 1"]
    assert play.states() == {"opening": {2: State.OPENING}, "pause": {}, "joining": {2: JOINING}}[phase]


def test_claims_without_an_answer_may_have_been_granted() -> None:
    """The connection that they went out on is not closed before another one has it all."""
    play = ready()
    play.silent(1)
    play.opened(2)
    play.claim(2, "silence")
    assert play.failed(2) == ["ping 2", "suspend 2"]
    assert play.states() == {1: LEFT, 2: LEFT}
    assert play.at(play.roster.wake_at or 0).due() == ["open 3"]
    play.opened(3)
    assert play.claim(3).joined(3) == ["ready 3", "watch 3", "retire 1", "retire 2"]


def test_connections_that_swallow_claims_do_not_pile_up() -> None:
    play = ready()
    play.silent(1)
    for number in range(2, 4 * MOST):
        play.opened(number)
        play.claim(number, "silence").failed(number)
        assert sum(state is LEFT for state in play.states().values()) <= MOST
        play.at(play.roster.wake_at or 0).due()


def test_refused_claims_leave_the_old_connection_open() -> None:
    play = ready()
    play.silent(1)
    play.opened(2)
    assert play.claim(2, "later").refused(2) == ["close 2", "suspend 2"]
    assert play.states() == {1: LEFT}
    play.at(play.roster.wake_at or 0).due()
    play.opened(3)
    assert play.claim(3).joined(3) == ["ready 3", "watch 3", "retire 1"]


def test_silent_connection_that_spoke_while_claims_were_out_is_gone_back_to() -> None:
    play = ready()
    play.silent(1)
    play.opened(2)
    assert play.spoke(1) == []
    assert play.claim(2, "later").refused(2) == ["close 2", "suspend 2", "join 1", "watch 1"]


def test_stalled_connection_is_read_and_never_good_again() -> None:
    play = ready()
    assert play.stalled(1) == ["suspend 1", "open 2"]
    assert play.spoke(1) == []
    assert play.failed(2) == []
    assert play.states() == {1: LEFT}


def test_client_sessions_outlive_a_refused_managed_one() -> None:
    play = ready()
    client_session = play.caller_makes_a_session(1)
    play.session_over(play.book.managed)
    assert play.refused(1) == ["watch 1"]
    assert (play.roster.visible, play.roster.route(client_session.carrier)) == ("backoff", 1)
    assert play.reconnect() == ["ping 1", "open 2"]  # by choice: it serves on
    play.opened(2)
    assert play.claim(2).refused(2) == ["watch 2", "retire 1"]
    assert (play.roster.serving, client_session.carrier) == (2, 2)


def test_silence_while_it_is_refused_ends_nothing_that_lives_there() -> None:
    play = ready()
    play.caller_makes_a_session(1)
    play.session_over(play.book.managed)
    play.refused(1)
    assert play.silent(1) == ["ping 1", "suspend 1", "open 2"]


def test_stalled_write_while_it_is_refused_is_no_end_either() -> None:
    play = ready()
    play.caller_makes_a_session(1)
    play.session_over(play.book.managed)
    play.refused(1)
    assert play.stalled(1) == ["suspend 1", "open 2"]


def test_refused_connection_that_carries_nothing_is_closed() -> None:
    """A socket for which nothing speaks is not kept."""
    play = Play()
    play.due()
    play.opened(1)
    play.refused(1)
    assert play.silent(1) == ["close 1", "suspend 1"]
    assert play.states() == {}


def test_silent_connection_is_replaced_by_one_that_gets_no_managed_session() -> None:
    play = ready()
    client_session = play.caller_makes_a_session(1)
    play.silent(1)
    play.book.ended(play.book.managed)
    play.opened(2)
    assert play.claim(2).refused(2) == ["watch 2", "retire 1"]
    assert client_session.carrier == 2


def test_retired_connection_that_ends_itself_needs_nothing() -> None:
    play = ready()
    play.silent(1)
    play.opened(2)
    play.claim(2).joined(2)
    assert play.ended(1) == ["suspend 1"]
    assert play.retired(1) == []


# By choice


def test_reconnect_serves_on_until_the_new_connection_is_joined() -> None:
    play = ready()
    assert play.reconnect() == ["ping 1", "open 2"]
    assert (play.roster.serving, play.roster.visible) == (1, "ready")
    play.opened(2)
    assert play.roster.route(1) == 1
    assert play.claim(2).joined(2) == ["ready 2", "watch 2", "retire 1"]
    assert play.roster.serving == 2


def test_row_that_changes_back_needs_no_new_connection() -> None:
    play = ready()
    assert play.want("ws://two") == ["ping 1", "open 2"]
    assert play.want("ws://one") == ["cancel 2", "join 1", "watch 1"]


def test_row_that_changes_while_claims_are_out() -> None:
    play = ready()
    play.want("ws://two")
    play.opened(2)
    assert play.want("ws://three") == ["cancel 2", "close 2", "suspend 2", "join 1", "watch 1"]
    assert play.joined(1) == ["ready 1", "watch 1", "ping 1", "open 3"]


def test_old_connection_that_stalls_while_claims_are_out_leaves_nothing_to_go_back_to() -> None:
    play = ready()
    play.reconnect()
    play.opened(2)
    assert play.stalled(1) == ["suspend 1"]
    assert play.roster.visible == "connecting"
    assert play.ended(2) == ["cancel 2", "suspend 2"]
    assert play.states() == {1: LEFT}


def test_server_that_hands_over_no_sessions_serves_on_where_it_is() -> None:
    play = ready()
    play.reconnect()
    play.opened(2)
    assert play.claim(2, "later").unable(2) == ["close 2", "suspend 2", "join 1", "watch 1"]
    assert play.claim(1).joined(1) == ["ready 1", "watch 1"]  # and the wish is over
    assert play.states() == {1: READY}


def test_wish_while_it_is_joined_again_is_fulfilled_after_that_and_not_before() -> None:
    play = ready()
    play.reconnect()
    play.opened(2)
    play.claim(2, "later").unable(2)
    assert play.reconnect() == []
    before = len(play.settled)
    assert play.claim(1).joined(1) == ["ready 1", "watch 1", "ping 1", "open 3"]
    assert len(play.settled) == before
    play.opened(3)
    play.claim(3).joined(3)
    assert play.settled[before:] == [""]


# Several Janus behind one URL


def beside() -> Play:
    """The managed session of connection 1 lives on with another Janus; 2 is in service."""
    play = ready()
    play.reconnect()
    play.opened(2)
    assert play.claim(2, "unknown").joined(2) == ["ready 2", "watch 2", "watch 1"]
    return play


def test_session_lives_on_where_it_is() -> None:
    play = beside()
    assert play.states() == {1: LEFT, 2: READY}
    assert (play.roster.route(1), play.roster.route(2), play.roster.serving) == (1, 2, 2)


def test_what_lives_on_is_the_managed_one_again_where_a_new_connection_has_it() -> None:
    play = beside()
    former = play.book.find(1001)
    play.reconnect()
    play.opened(3)
    assert former is not None
    for session in play.book.unsettled(3):
        play.book.claiming(session, 3, play.now)
        if session is former:
            play.book.claimed(session, 3)
        else:
            play.book.stays(session, 3)
    assert play.joined(3) == ["ready 3", "watch 3", "retire 1", "watch 2"]
    assert play.book.managed is former


def test_connection_on_which_the_last_session_ended_is_retired() -> None:
    play = beside()
    session = play.book.find(1001)
    assert session is not None
    assert play.session_over(session) == ["retire 1"]


def test_what_lived_on_is_claimed_when_its_connection_ends() -> None:
    play = beside()
    assert play.ended(1) == ["suspend 1", "join 2"]
    assert play.claim(2, "unknown").joined(2) == ["ready 2", "watch 2"]
    assert play.book.find(1001) is None


def test_what_lives_on_with_a_silent_janus_is_served_again_when_it_speaks() -> None:
    play = beside()
    assert play.silent(1) == ["ping 1", "suspend 1"]
    assert play.roster.route(1) is None
    assert play.spoke(1) == ["watch 1"]
    assert play.roster.route(1) == 1


def test_silent_connection_is_given_up_when_its_janus_must_have_ended_what_lived_there() -> None:
    play = beside()
    play.roster.connections[1].greeted(300)
    play.silent(1)
    assert play.roster.wake_at == 360
    assert play.at(359.0).due() == []
    assert play.at(360.0).due() == ["close 1", "suspend 1", "join 2"]


def test_session_that_was_made_meanwhile_is_claimed_too() -> None:
    play = ready()
    play.reconnect()
    play.opened(2)
    assert play.claim(2).joined(2)[-1] == "retire 1"
    play.caller_makes_a_session(1)  # its create was on its way
    assert play.retired(1) == ["ping 1", "watch 1", "join 2"]
    assert play.claim(2).joined(2) == ["ready 2", "watch 2", "retire 1"]


# Other ways to begin and to end


def test_nothing_is_decided_once_the_gateway_goes_away() -> None:
    play = ready()
    play.failover.stop("the bridge is stopping")
    assert (play.ended(1), play.due(), play.reconnect(), play.want("ws://two")) == ([], [], [], [])
    assert play.roster.route(1) is None
    assert play.roster.down_because == "the bridge is stopping"


def test_link_that_is_restarted_begins_anew() -> None:
    play = ready()
    play.silent(1)
    play.failover.reset("the link is being restarted")
    assert play.states() == {}
    assert play.due() == ["open 3"]
    assert not play.book.carriers.is_open(1)


def test_session_that_its_own_connection_may_not_have_back_yet_lives_there() -> None:
    """Claimed elsewhere without an answer, and refused for now where it was: nothing says that it is gone."""
    play = ready()
    play.reconnect()
    play.opened(2)
    play.claim(2, "silence")
    assert play.ended(2) == ["cancel 2", "suspend 2", "join 1", "watch 1"]
    play.claim(1, "later").refused(1)
    assert play.book.carriers.carries(1)


# Many sessions


def steps_to_end(sessions: int) -> int:
    """Lines of Python that run while so many sessions end one by one: half on the old connection, half on the new."""
    play = ready()
    old = [play.caller_makes_a_session(1) for _ in range(sessions)]
    play.reconnect()
    play.opened(2)
    for session in play.book.unsettled(2):
        play.book.claiming(session, 2, play.now)
        play.book.stays(session, 2)
    play.joined(2)
    new = [play.caller_makes_a_session(2) for _ in range(sessions)]
    with counting() as spent:
        for pair in zip(old, new, strict=True):
            for session in pair:
                play.session_over(session)
        return spent()


def test_sessions_that_end_one_by_one_cost_in_proportion_to_their_number() -> None:
    """Eight times the sessions, at most ten times the work."""
    assert steps_to_end(160) <= 10 * steps_to_end(20)


# The table


def test_every_row_is_walked_by_a_playbook(monkeypatch: pytest.MonkeyPatch) -> None:
    walked: set[tuple[State, Input]] = set()

    def spy(roster: Roster, connection: ConnectionRecord, incident: Incident) -> bool:
        if (connection.state, incident.what) in TABLE:
            walked.add((connection.state, incident.what))
        return decide(roster, connection, incident)

    monkeypatch.setattr(decisions, "decide", spy)
    monkeypatch.setattr("bridge.protocol.failover.decide", spy)
    for name, play in (globals() | vars(test_inheriting)).items():
        if name.startswith("test_") and callable(play) and not play.__code__.co_argcount:
            play()
    for phase in ("opening", "pause", "joining"):
        test_old_connection_ends_meanwhile(phase)
    assert walked == set(TABLE)


def test_decision_that_leads_elsewhere_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    play = ready()
    monkeypatch.setitem(TABLE, (READY, Input.ENDED), Transition(decisions.lose, (READY,)))
    with pytest.raises(ValueError, match="lose may not lead to ENDED"):
        play.ended(1)


def test_every_state_is_reached_and_the_end_is_the_end() -> None:
    assert {state for row in TABLE.values() for state in row.to} == set(State) - {State.OPENING}
    assert not [state for state, _ in TABLE if state is State.ENDED]


def test_states_are_set_by_decisions_alone() -> None:
    """And by what they have in common: nothing else in the package changes the state of a connection."""
    for file, tree in program():
        changes = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            for part in ast.walk(target)
            if isinstance(part, ast.Attribute) and part.attr == "state" and ast.unparse(part.value) == "connection"
        ]
        assert not changes or file.name in ("decisions.py", "roster.py"), file
