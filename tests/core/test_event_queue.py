"""Queues: order, bounds, ageing, and gaps whose numbers add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.event_drops import Drops
from bridge.core.event_pool import OVERHEAD, Pool
from bridge.core.event_queue import EventQueue, Gap
from bridge.core.stats import Stats
from bridge.protocol.event_delivery import Parcel
from bridge.protocol.event_payload import E_JANUS_EVENT, Event, janus_event


def parcel(number: int, deadline: float = 100.0, size: int = 10, origin: str | None = "g1") -> Parcel:
    event = Event(E_JANUS_EVENT, janus_event(origin or "x", "janusws://h", "{}"), f"p-{number}", number, origin)
    return Parcel(event, b"x" * size, deadline)


def queue(max_events: int = 3, max_bytes: int = 1000, pool: Pool | None = None) -> tuple[EventQueue, Drops]:
    drops = Drops("udp:h:1", Stats())
    return EventQueue(max_events, max_bytes, drops, pool or Pool(2**40)), drops


def number(item: Parcel | Gap | None) -> int:
    assert isinstance(item, Parcel)
    return item.event.number


def test_in_order() -> None:
    line, _ = queue()
    for n in (1, 2, 3):
        line.put(parcel(n), 0.0)
    taken = []
    while (head := line.head(0.0)) is not None:
        assert isinstance(head, Parcel)
        taken.append(head.event.number)
        line.pop(head)
    assert taken == [1, 2, 3]
    assert (line.events, line.bytes) == (0, 0)


@pytest.mark.parametrize(("max_events", "max_bytes"), [(2, 1000), (1000, 29)])
def test_a_full_queue_drops_the_newest_by_count_and_by_bytes(max_events: int, max_bytes: int) -> None:
    line, drops = queue(max_events, max_bytes)
    for n in (1, 2, 3, 4):
        line.put(parcel(n), 0.0)
    assert (line.events, line.bytes, drops.snapshot()) == (2, 20, {"full": 2})
    assert number(line.head(0.0)) == 1


def test_a_smaller_one_still_fits() -> None:
    line, drops = queue(max_bytes=25)
    for n, size in ((1, 20), (2, 10), (3, 5)):
        line.put(parcel(n, size=size), 0.0)
    assert (line.events, line.bytes, drops.snapshot()) == (2, 25, {"full": 1})


def test_age_drops_the_oldest_and_a_copy_that_left_is_unanswered() -> None:
    line, drops = queue(5)
    for n in (1, 2, 3):
        line.put(parcel(n, deadline=10.0 * n), 0.0)
    head = line.head(9.9)
    assert isinstance(head, Parcel)
    head.sent = True
    gap = line.head(20.0)
    assert gap == {("g1", "janusws://h", "unanswered"): 1, ("g1", "janusws://h", "age"): 1}
    assert drops.snapshot() == {"unanswered": 1, "age": 1}
    line.announce([])
    assert number(line.head(20.0)) == 3


def test_the_gap_is_where_the_events_were() -> None:
    line, _ = queue(2)
    for n in (1, 2, 3, 4):
        line.put(parcel(n), 0.0)
    for n in (1, 2):
        head = line.head(0.0)
        assert number(head) == n
        assert isinstance(head, Parcel)
        line.pop(head)
        line.put(parcel(10 + n), 0.0)  # there is room again: behind the gap
    assert line.head(0.0) == {("g1", "janusws://h", "full"): 2}
    line.announce([parcel(99)])
    notice = line.head(0.0)
    assert number(notice) == 99
    assert isinstance(notice, Parcel)
    line.pop(notice)
    assert number(line.head(0.0)) == 11


def test_a_notice_stays_while_what_is_behind_it_ages() -> None:
    line, _ = queue(5)
    line.lose(parcel(1).event, "too_large", 0.0)
    line.put(parcel(2, deadline=10.0), 0.0)
    line.head(0.0)
    notice = parcel(99, deadline=float("inf"))
    line.announce([notice])
    assert line.head(50.0) is notice
    assert line.events == 0  # it was dropped behind the notice
    line.pop(notice)
    assert line.head(50.0) == {("g1", "janusws://h", "age"): 1}


def test_a_refused_event_leaves_a_gap_a_refused_notice_does_not() -> None:
    line, drops = queue()
    first = parcel(1)
    line.put(first, 0.0)
    line.lose(parcel(2).event, "full", 0.0)
    line.refuse(first, "refused", 0.0)
    assert line.head(0.0) == {("g1", "janusws://h", "refused"): 1, ("g1", "janusws://h", "full"): 1}
    notice = parcel(99)
    line.announce([notice])
    line.refuse(notice, "refused", 0.0)
    assert line.head(0.0) is None
    assert drops.snapshot() == {"full": 1, "refused": 2}


def test_what_mi_raised_has_no_gateway_to_be_told_of() -> None:
    line, drops = queue()
    line.lose(parcel(1, origin=None).event, "full", 0.0)
    assert line.head(0.0) == {}
    assert drops.snapshot() == {"full": 1}


def test_a_forgotten_notice_takes_no_event_with_it() -> None:
    line, _ = queue()
    line.lose(parcel(1).event, "full", 0.0)
    line.put(parcel(2), 0.0)
    line.head(0.0)
    notice = parcel(99)
    line.announce([notice])
    line.forget_notices()
    line.pop(notice)  # its sender had been at it
    assert number(line.head(0.0)) == 2


def test_clear_counts_the_events() -> None:
    line, drops = queue(2)
    for n in (1, 2, 3):
        line.put(parcel(n), 0.0)
    line.clear("stopped", 0.0)
    assert (line.head(0.0), line.events, line.bytes) == (None, 0, 0)
    assert drops.snapshot() == {"full": 1, "stopped": 2}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 30)),
        st.tuples(st.sampled_from(["pop", "refuse", "announce"]), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 15)),
    ),
    max_size=60,
)


@given(steps)
def test_every_event_is_delivered_once_or_counted_once_and_told_at_its_place(todo: list[tuple[str, int]]) -> None:
    line, drops = queue(max_events=4, max_bytes=60)
    now, last, told, refused = 0.0, 0, 0, 0
    delivered: list[int] = []

    def take(action: str) -> None:
        nonlocal last, told, refused
        head = line.head(now)
        if isinstance(head, Gap):
            # Events up to the gap and in it are those that were put so far, but for what is still to come.
            told += head.total()
            line.announce([])
        elif head is not None and action == "refuse":
            refused += 1
            line.refuse(head, "refused", now)
        elif head is not None:
            delivered.append(head.event.number)
            line.pop(head)

    for action, amount in todo:
        if action == "put":
            last += 1
            line.put(parcel(last, deadline=now + 20.0, size=amount), now)
        elif action == "wait":
            now += amount
        else:
            take(action)
    while line.head(now) is not None:
        take("pop")
    assert delivered == sorted(delivered)
    assert told == sum(drops.snapshot().values()) == last - len(delivered)
    assert drops.snapshot().get("refused", 0) == refused
    assert (line.events, line.bytes) == (0, 0)


# What queues hold together


def test_every_queue_has_an_equal_share_and_all_have_no_more_than_the_pool() -> None:
    pool = Pool(10 * (OVERHEAD + 10))
    pool.divide(2)
    first, drops = queue(100, pool=pool)
    second, _ = queue(100, pool=pool)
    for n in range(8):
        first.put(parcel(n), 0.0)
    assert (first.events, drops.snapshot(), pool.refused) == (5, {"full": 3}, 3)
    for n in range(8):
        second.put(parcel(n), 0.0)
    assert (second.events, pool.used) == (5, pool.total)
    pool.divide(1)  # a share that grows does not make the pool larger
    first.put(parcel(9), 0.0)
    assert (first.events, pool.used) == (5, pool.total)


def test_what_leaves_a_queue_leaves_the_pool() -> None:
    pool, other = Pool(2**20), Pool(2**20)
    made, _ = queue(100, pool=pool)
    for n in range(6):
        made.put(parcel(n, deadline=5.0 if n == 3 else 100.0), 0.0)
    made.pop(parcel_at(made))
    made.refuse(parcel_at(made), "refused", 0.0)
    assert isinstance(made.head(0.0), Gap)
    made.announce([])
    made.pop(parcel_at(made))
    assert isinstance(made.head(10.0), Gap)  # the fourth was too old
    assert made.events == 2
    assert pool.used == 2 * (OVERHEAD + 10)
    made.join(other)
    assert (pool.used, other.used) == (0, 2 * (OVERHEAD + 10))
    made.clear("stopped", 10.0)
    assert (made.events, other.used) == (0, 0)


def parcel_at(made: EventQueue) -> Parcel:
    head = made.head(0.0)
    assert isinstance(head, Parcel)
    return head
