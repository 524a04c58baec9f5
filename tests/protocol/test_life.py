"""The life of a gateway against contract 5.3."""

from collections.abc import Iterator
from itertools import product

import pytest

from bridge.protocol.life import TABLE, State, Step, follow, visible

OUTSIDE = [pair for pair in product(State, Step) if pair not in TABLE]


def walk(*steps: Step, state: State = State.DOWN) -> State:
    for step in steps:
        state = follow(state, step)
    return state


def reachable(start: State) -> set[State]:
    found: set[State] = set()
    new = {start}
    while new:
        found |= new
        new = {after for (before, _), after in TABLE.items() if before in found} - found
    return found


@pytest.mark.parametrize(("state", "step"), OUTSIDE, ids=[f"{state.name}-{step.name}" for state, step in OUTSIDE])
def test_pair_that_is_not_in_the_table_is_a_fault(state: State, step: Step) -> None:
    with pytest.raises(ValueError, match=f"a gateway that is {state.name} cannot {step.name}"):
        follow(state, step)


def test_every_state_is_reached_and_none_is_a_trap() -> None:
    for state in State:
        assert reachable(state) == set(State), state


def test_every_step_leads_somewhere() -> None:
    assert {step for _, step in TABLE} == set(Step)


# The words of contract 5.3, one after the other

CONNECTED = (Step.CONNECT, Step.OPENED)
READY = (*CONNECTED, Step.JOINED)


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        # "Connect ... for ever"
        ((Step.CONNECT, Step.FAILED), State.DOWN),
        ((Step.CONNECT, Step.FAILED, *READY), State.READY),
        # "Claim the sessions it had, else create"
        (CONNECTED, State.JOINING),
        ((*CONNECTED, Step.FAILED), State.DOWN),
        # "A refused create (403, 472) is retried ... on the same socket; until then the gateway is backoff"
        ((*CONNECTED, Step.REFUSE), State.REFUSED),
        ((*CONNECTED, Step.REFUSE, Step.RETRY), State.JOINING),
        ((*CONNECTED, Step.REFUSE, Step.RETRY, Step.JOINED), State.READY),
        ((*CONNECTED, Step.REFUSE, Step.FAILED), State.DOWN),
        # "Session end ... ends that session alone: the managed one is created anew on the same socket"
        ((*READY, Step.SESSION_ENDED), State.JOINING),
        ((*READY, Step.SESSION_ENDED, Step.JOINED), State.READY),
        # "EOF, reset, broken framing or invalid UTF-8 end a connection; then connect again"
        ((*READY, Step.ENDED), State.DOWN),
        # "leave it: it opens the new one and claims every session there"
        ((*READY, Step.LEAVE), State.LEAVING),
        ((*READY, Step.LEAVE, Step.OPENED, Step.JOINED), State.READY),
        # "the old one stays open and read ... through any number of failed attempts"
        ((*READY, *(Step.LEAVE, Step.FAILED, Step.RETRY, Step.FAILED, Step.RETRY, Step.OPENED)), State.REJOINING),
        ((*READY, *(Step.LEAVE, Step.OPENED, Step.FAILED)), State.RESTING),
        ((*READY, *(Step.LEAVE, Step.OPENED, Step.REFUSE)), State.RESTING),
        # "or it ends itself"
        ((*READY, Step.LEAVE, Step.ENDED), State.OPENING),
        ((*READY, Step.LEAVE, Step.FAILED, Step.ENDED), State.DOWN),
        ((*READY, Step.LEAVE, Step.OPENED, Step.ENDED), State.JOINING),
        # "if it speaks again first, the attempt is dropped and it is ready again"
        ((*READY, Step.LEAVE, Step.BACK, Step.JOINED), State.READY),
        ((*READY, Step.LEAVE, Step.FAILED, Step.BACK, Step.JOINED), State.READY),
    ],
)
def test_life_is_that_of_the_contract(steps: tuple[Step, ...], state: State) -> None:
    assert walk(*steps) is state


def states_without(step: Step, start: State) -> Iterator[State]:
    seen = {start}
    new = [start]
    while new:
        before = new.pop()
        yield before
        for (state, by), after in TABLE.items():
            if state is before and by is not step and after not in seen:
                seen.add(after)
                new.append(after)


def test_nothing_is_ready_without_having_joined() -> None:
    assert State.READY not in set(states_without(Step.JOINED, State.DOWN))


def test_connection_that_claims_elsewhere_is_not_good_again() -> None:
    """Once claims are on the new connection, the old one has lost its events: there is no way back to it."""
    assert (State.REJOINING, Step.BACK) not in TABLE


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (State.DOWN, "backoff"),
        (State.OPENING, "connecting"),
        (State.JOINING, "connecting"),
        (State.REFUSED, "backoff"),
        (State.READY, "ready"),
        (State.LEAVING, "connecting"),
        (State.RESTING, "backoff"),
        (State.REJOINING, "connecting"),
    ],
)
def test_every_state_has_a_word_in_janus_list(state: State, shown: str) -> None:
    assert visible(state) == shown


def test_only_ready_is_shown_as_ready() -> None:
    assert [state for state in State if visible(state) == "ready"] == [State.READY]
