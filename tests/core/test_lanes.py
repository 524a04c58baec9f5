"""The commands of one handle, one at a time (contract 5.4), against a model that is trivial and slow."""

import time
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from bridge.core.lanes import Lanes
from bridge.core.pending import PendingRequest
from bridge.protocol.command import JanusCommand
from tests.support.examples import examples

KEEPER: Any = None


def command(session_id: int | None, handle_id: int | None, closes_session: bool = False) -> PendingRequest:
    request = PendingRequest(JanusCommand("message", {}), "message", KEEPER, None)
    request.session_id, request.handle_id, request.closes_session = session_id, handle_id, closes_session
    return request


def may_go(queued: PendingRequest, before: list[PendingRequest]) -> bool:
    """The rule itself. ``before``: who entered earlier and has not left."""
    if queued.session_id is None or (queued.handle_id is None and not queued.closes_session):
        return True
    here = [
        other
        for other in before
        if other.session_id == queued.session_id and (other.handle_id is not None or other.closes_session)
    ]
    if queued.closes_session:
        return not here
    return not any(other.closes_session or other.handle_id == queued.handle_id for other in here)


class LanesAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes = Lanes()
        self.present: list[PendingRequest] = []  # in the order in which they entered
        self.going: list[PendingRequest] = []
        self.left: list[PendingRequest] = []

    @rule(
        session_id=st.sampled_from([1, 1, 1, 2, None]),
        handle_id=st.sampled_from([1, 1, 2, 3, None]),
        closes_session=st.integers(0, 4).map(lambda n: n == 0),
    )
    def enter(self, session_id: int | None, handle_id: int | None, closes_session: bool) -> None:
        queued = command(session_id, handle_id, closes_session)
        goes = self.lanes.enter(queued)
        assert goes is may_go(queued, self.present)
        self.present.append(queued)
        if goes:
            self.going.append(queued)

    @precondition(lambda self: self.present)
    @rule(place=st.integers(0, 100))
    def leave(self, place: int) -> None:
        """From any place: answered, or given up while it waits."""
        queued = self.present.pop(place % len(self.present))
        self.left.append(queued)
        released = self.lanes.leave(queued)
        expected = [
            other for n, other in enumerate(self.present) if other not in self.going and may_go(other, self.present[:n])
        ]
        assert len(released) == len(expected), "somebody goes twice, or is lost"
        assert set(released) == set(expected)
        self.going += released

    @precondition(lambda self: self.left)
    @rule(place=st.integers(0, 100))
    def leave_again(self, place: int) -> None:
        """Acknowledged first, answered later."""
        assert self.lanes.leave(self.left[place % len(self.left)]) == []

    def teardown(self) -> None:
        while self.present:
            self.leave(0)
        kept = [self.lanes._going, self.lanes._behind, self.lanes._closing]
        assert not any(kept), "something is kept for sessions that nobody is in"


TestLanes = LanesAgainstModel.TestCase
TestLanes.settings = settings(max_examples=examples(80), stateful_step_count=50)


def test_deep_lane_is_left_in_the_time_that_its_length_asks_for() -> None:
    """Not in its square."""
    lanes: Lanes = Lanes()
    passengers = [command(1, 1) for _ in range(30_000)]
    began = time.process_time()
    assert [lanes.enter(queued) for queued in passengers] == [True] + [False] * 29_999
    for queued, following in pairwise(passengers):
        assert lanes.leave(queued) == [following]
        assert lanes.leave(queued) == []
    assert time.process_time() - began < 5
