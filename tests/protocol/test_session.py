"""One session of a Janus: its table of states (contract 5.3, 5.7; reference janus.md, section 4)."""

from itertools import product

import pytest

from bridge.protocol.session import SESSION_TABLE, JanusSession, SessionState, SessionStep, shorten

OUTSIDE = [pair for pair in product(SessionState, SessionStep) if pair not in SESSION_TABLE]
DOUBT, GRANT, GONE = SessionStep.DOUBT, SessionStep.GRANT, SessionStep.GONE


@pytest.mark.parametrize(("state", "step"), OUTSIDE, ids=[f"{state.name}-{step.name}" for state, step in OUTSIDE])
def test_pair_that_is_not_in_the_table_is_a_fault(state: SessionState, step: SessionStep) -> None:
    session = JanusSession(managed=True, session_id=1, state=state)
    with pytest.raises(ValueError, match=f"a session that is {state.name} cannot {step.name}"):
        session.step(step)
    assert session.state is state


def test_every_state_is_reached() -> None:
    found = {SessionState.WANTED}
    for _ in SessionState:
        found |= {after for (before, _), after in SESSION_TABLE.items() if before in found}
    assert found == set(SessionState)


def test_end_is_the_end() -> None:
    assert not [pair for pair in SESSION_TABLE if pair[0] is SessionState.ENDED]


def test_only_what_has_an_id_can_end() -> None:
    assert {before for before, step in SESSION_TABLE if step is GONE} == {
        SessionState.LIVE,
        SessionState.ADRIFT,
    }


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ((), SessionState.WANTED),
        ((GRANT,), SessionState.LIVE),
        ((GRANT, DOUBT), SessionState.ADRIFT),
        ((GRANT, DOUBT, DOUBT), SessionState.ADRIFT),  # its connection ended, and a claim goes out
        ((GRANT, DOUBT, GRANT), SessionState.LIVE),
        ((GRANT, DOUBT, GONE), SessionState.ENDED),  # 458: the only answer that means lost
    ],
)
def test_life_of_a_managed_session(steps: tuple[SessionStep, ...], state: SessionState) -> None:
    session = JanusSession(managed=True)
    for step in steps:
        session.step(step)
    assert session.state is state
    assert session.live is (state is SessionState.LIVE)


def test_session_is_carried_by_the_connection_that_has_it_alone() -> None:
    session = JanusSession.adrift(7, managed=False)
    session.carrier = 3
    assert not session.carried_by(3)
    session.step(GRANT)
    assert session.carried_by(3)
    assert not session.carried_by(4)


@pytest.mark.parametrize(
    ("session_id", "shown"), [(None, "-"), (1, "1"), (1234, "1234"), (12345, "1234..."), (2**53, "9007...")]
)
def test_session_id_is_shown_shortened(session_id: int | None, shown: str) -> None:
    assert shorten(session_id) == shown


def test_repr_does_not_give_the_session_away() -> None:
    assert repr(JanusSession.adrift(9007199254740991, managed=True)) == "<managed session 9007... ADRIFT handles=0>"
