"""One task for every timer of the process. On the autojump clock."""

import itertools
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from bridge.core.timers import FEW, MOST, Timers


class Record:
    """When what ran."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, Any]] = []

    def __call__(self, name: Any) -> Callable[[], None]:
        return lambda: self.rows.append((trio.current_time(), name))


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def timers(nursery: trio.Nursery) -> Timers:
    timers = Timers()
    nursery.start_soon(timers.run)
    return timers


async def test_callbacks_run_at_their_time_whatever_the_order_of_asking(
    autojump_clock: MockClock, timers: Timers, record: Record
) -> None:
    for deadline in (3.0, 1.0, 2.0):
        timers.call_at(deadline, record(deadline))
    await trio.sleep(5)
    assert record.rows == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


async def test_earlier_deadline_wakes_a_task_that_sleeps_for_a_later_one(
    autojump_clock: MockClock, timers: Timers, record: Record
) -> None:
    timers.call_at(100.0, record("late"))
    await wait_all_tasks_blocked()
    timers.call_at(1.0, record("early"))
    await trio.sleep(2)
    assert record.rows == [(1.0, "early")]


class Turns(trio.abc.Instrument):
    """How many rows there are at the end of each turn of the loop."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows
        self.found = [0]

    def before_io_wait(self, timeout: float) -> None:
        self.found.append(len(self._rows))


async def test_what_is_due_at_once_is_run_in_turns(autojump_clock: MockClock, timers: Timers, record: Record) -> None:
    for number in range(3 * MOST):
        timers.call_at(1.0, record(number))
    turns = Turns(record.rows)
    trio.lowlevel.add_instrument(turns)
    await trio.sleep(2)
    assert all(after - before <= MOST for before, after in itertools.pairwise(turns.found))
    assert [name for _, name in record.rows] == list(range(3 * MOST))


async def test_same_deadline_runs_in_the_order_of_asking(
    autojump_clock: MockClock, timers: Timers, record: Record
) -> None:
    for name in range(10):
        timers.call_at(1.0, record(name))
    await trio.sleep(2)
    assert [name for _, name in record.rows] == list(range(10))


async def test_those_of_one_deadline_share_a_place(autojump_clock: MockClock, timers: Timers, record: Record) -> None:
    """Thousands of gateways beat at a few times."""
    for name in range(10):
        timers.call_at(1.0 + name % 2, record(name))
    assert list(timers.waiting) == [1.0, 2.0]
    assert len(timers) == 10
    await trio.sleep(3)
    assert [name for _, name in record.rows] == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    assert (len(timers), timers.waiting) == (0, {})


async def test_deadline_in_the_past_runs_at_once(autojump_clock: MockClock, timers: Timers, record: Record) -> None:
    await trio.sleep(10)
    timers.call_at(1.0, record("past"))
    await wait_all_tasks_blocked()
    assert record.rows == [(10.0, "past")]


async def test_cancelled_timer_does_not_run(autojump_clock: MockClock, timers: Timers, record: Record) -> None:
    timer = timers.call_at(1.0, record("cancelled"))
    timers.call_at(2.0, record("other"))
    timer.cancel()
    await trio.sleep(3)
    assert record.rows == [(2.0, "other")]
    timer.cancel()


async def test_callback_may_cancel_another_that_is_due_with_it(
    autojump_clock: MockClock, timers: Timers, record: Record
) -> None:
    timers.call_at(1.0, lambda: other.cancel())
    other = timers.call_at(1.0, record("cancelled"))
    await trio.sleep(2)
    assert record.rows == []


async def test_callback_may_ask_for_another(autojump_clock: MockClock, timers: Timers, record: Record) -> None:
    def first() -> None:
        timers.call_at(2.5, record("second"))

    timers.call_at(1.0, first)
    await trio.sleep(3)
    assert [time for time, _ in record.rows] == [2.5]


async def test_callback_that_asks_for_itself_at_once_does_not_stop_the_event_loop(
    autojump_clock: MockClock, timers: Timers
) -> None:
    runs = 0

    def again() -> None:
        nonlocal runs
        runs += 1
        if runs < 1_000_000:
            timers.call_at(trio.current_time(), again)

    timers.call_at(0.0, again)
    for _ in range(50):
        await trio.lowlevel.checkpoint()
    assert 1 < runs < 1000


async def test_callback_that_raises_costs_the_others_nothing(autojump_clock: MockClock, record: Record) -> None:
    timers = Timers()

    def fail() -> None:
        raise RuntimeError("a fault of ours")

    timers.call_at(1.0, record("before"))
    timers.call_at(1.0, fail)
    timers.call_at(1.0, record("behind"))
    timers.call_at(2.0, record("later"))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        await timers.run()
    with trio.move_on_at(3.0):  # as supervise() does
        await timers.run()
    assert [name for _, name in record.rows] == ["before", "behind", "later"]


async def test_deadlines_set_before_the_start_count(autojump_clock: MockClock, record: Record) -> None:
    timers = Timers()
    timers.call_at(1.0, record("early"))
    with trio.move_on_at(2.0):
        await timers.run()
    assert record.rows == [(1.0, "early")]


async def test_cancelled_timers_do_not_pile_up(autojump_clock: MockClock, timers: Timers, record: Record) -> None:
    """Nearly every command is answered long before its time limit."""
    kept = [timers.call_at(600.0 + number, record(number)) for number in range(10)]
    for _ in range(10_000):
        timers.call_at(600.0, record("cancelled")).cancel()
        assert len(timers) <= 2 * len(kept) + FEW + 2
    await trio.sleep(700)
    assert [name for _, name in record.rows] == list(range(10))
    assert len(timers) == 0


async def test_what_was_cancelled_is_let_go_of(autojump_clock: MockClock, timers: Timers) -> None:
    """A request is a timer, its time may be ten minutes, and its bytes are in no budget any more."""

    class Request:
        def expire(self) -> None:
            raise AssertionError

    request = Request()
    gone = weakref.ref(request)
    timers.call_at(600.0, request.expire).cancel()
    del request
    assert gone() is None
    assert len(timers) == 1


async def test_cancelling_what_is_due_counts_for_nothing(
    autojump_clock: MockClock, timers: Timers, record: Record
) -> None:
    """A timer that left the heap is not looked for there."""
    due = [timers.call_at(1.0, record("due")) for _ in range(3 * FEW)]
    timers.call_at(1.0, lambda: None)

    def cancel_most() -> None:
        for timer in due[: 2 * FEW]:
            timer.cancel()

    timers.call_at(0.5, cancel_most)
    timers.call_at(2.0, record("last"))
    await trio.sleep(3)
    for timer in due:
        timer.cancel()
    timers.call_at(4.0, record("again"))
    await trio.sleep(3)
    assert [name for _, name in record.rows] == ["due"] * FEW + ["last", "again"]


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=30))
def test_each_runs_once_unless_it_is_cancelled(asked: list[tuple[int, bool]]) -> None:
    record = Record()

    async def main() -> None:
        timers = Timers()
        made = [timers.call_at(deadline, record(n)) for n, (deadline, _) in enumerate(asked)]
        for timer, (_, cancelled) in zip(made, asked, strict=True):
            if cancelled:
                timer.cancel()
        with trio.move_on_at(101.0):
            await timers.run()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    kept = [(deadline, n) for n, (deadline, cancelled) in enumerate(asked) if not cancelled]
    assert record.rows == sorted(kept)
