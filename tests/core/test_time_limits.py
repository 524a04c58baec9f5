"""One timer for the time limits of many requests."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bridge.core.pending import PendingRequest
from bridge.core.time_limits import TimeLimits
from bridge.core.timers import Timers
from bridge.protocol.command import JanusCommand


class Bed:
    """Requests that wait, and which of them have expired when."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.requests: dict[PendingRequest, None] = {}
        self.limits = TimeLimits(self.timers, self.requests.keys())
        self.over: list[tuple[float, float]] = []  # trio's clock, deadline
        self.faults: list[Exception] = []  # one each to be raised

    def add(self, deadline: float) -> PendingRequest:
        request = PendingRequest(JanusCommand("message", {}), "message", self, None, 0.0, deadline)
        self.requests[request] = None
        if deadline < self.limits.next:
            self.limits.look_at(deadline)
        return request

    def abandon(self, pending: PendingRequest) -> None:
        raise AssertionError

    def expire(self, pending: PendingRequest) -> None:
        if self.faults:
            raise self.faults.pop()
        del self.requests[pending]
        self.over.append((trio.current_time(), pending.deadline))


@pytest.fixture
def bed(nursery: trio.Nursery) -> Bed:
    bed = Bed()
    nursery.start_soon(bed.timers.run)
    return bed


async def test_each_has_its_own_time_whatever_the_order(autojump_clock: MockClock, bed: Bed) -> None:
    for deadline in (5.0, 7.0, 5.0, 0.5, 6.0):
        bed.add(deadline)
    await trio.sleep(10)
    assert bed.over == [(0.5, 0.5), (5.0, 5.0), (5.0, 5.0), (6.0, 6.0), (7.0, 7.0)]


async def test_those_that_are_late_go_in_their_order(autojump_clock: MockClock, bed: Bed) -> None:
    for deadline in (3.0, 1.0, 2.0):
        bed.add(deadline)
    autojump_clock.jump(5.0)
    await wait_all_tasks_blocked()
    assert [deadline for _, deadline in bed.over] == [1.0, 2.0, 3.0]


async def test_one_that_comes_after_all_are_over_has_its_time_as_well(autojump_clock: MockClock, bed: Bed) -> None:
    bed.add(1.0)
    await trio.sleep(2)
    bed.add(3.0)
    await trio.sleep(2)
    assert bed.over == [(1.0, 1.0), (3.0, 3.0)]


async def test_answered_requests_cost_one_look_a_time_limit(autojump_clock: MockClock, bed: Bed) -> None:
    """However many there are: neither a timer nor an entry each."""
    for number in range(1000):
        del bed.requests[bed.add(5.0 + number / 1000)]
    assert len(bed.timers) == 1
    await trio.sleep(20)
    assert (bed.over, len(bed.timers)) == ([], 0)


async def test_one_that_raises_costs_the_others_nothing(autojump_clock: MockClock) -> None:
    bed = Bed()
    for deadline in (1.0, 1.0, 2.0):
        bed.add(deadline)
    bed.faults.append(RuntimeError("a fault of ours"))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        await bed.timers.run()
    with trio.move_on_at(3.0):  # as supervise() does
        await bed.timers.run()
    assert [deadline for _, deadline in bed.over] == [1.0, 1.0, 2.0]
