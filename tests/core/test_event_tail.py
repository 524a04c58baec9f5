"""What of the log of events is in memory: pages, and what is let go of them."""

from bridge.core.event_tail import KEEP_EVENTS, Tail
from bridge.protocol.event_payload import E_JANUS_EVENT, janus_event
from bridge.protocol.event_record import OVERHEAD, PAGE, PAGE_BYTES, Row, row_of
from tests.support.evi_bed import URL


def row(body: str = "{}") -> Row:
    return row_of(0.0, E_JANUS_EVENT, janus_event("g1", URL, body), "g1", 7, 1)


def filled(count: int, *, most: int = 10_000, size: int = 1 << 30) -> Tail:
    tail = Tail(0, most, size)
    for _ in range(count):
        tail.add(row())
    return tail


def let_go(tail: Tail) -> list[tuple[int, int]]:
    """All that it lets go: each event's position, and where its hole begins."""
    found = []
    while (one := tail.let_go()) is not None:
        found.append((one.record.position, one.hole))
    return found


def positions(tail: Tail, after: int = 0, upto: int = 10_000) -> list[int]:
    return [one.position for one in tail.read(after, upto)[0]]


def test_pages_are_full_by_count_and_by_bytes() -> None:
    tail = filled(2 * PAGE + 1)
    for _ in range(2):
        tail.add(row("x" * PAGE_BYTES))
    assert [len(page.rows) for page in tail.take(10_000)] == [PAGE, PAGE, 2, 1]
    assert tail.read(0, tail.end)[1] == PAGE
    assert tail.read(PAGE - 10, tail.end)[1] == 2 * PAGE  # the rest of one, and the next
    assert positions(tail, 10, 12) == [11, 12]


def test_what_the_disk_is_being_given_does_not_count() -> None:
    """Else, beside a full batch, the newest would be let go, one by one."""
    tail = filled(100, most=100)
    assert len(tail.take(4096)) == 1
    for _ in range(100):
        assert not tail.add(row())
    assert tail.add(row())
    assert let_go(tail) == [(101, 101)]
    assert positions(tail) == [*range(1, 101), *range(102, 202)]


def test_the_disk_fails_and_the_oldest_is_let_go() -> None:
    tail = filled(100, most=100)
    tail.take(4096)
    for _ in range(50):
        tail.add(row())
    tail.take_back()
    assert let_go(tail) == [(position, 1) for position in range(1, 51)]
    tail.add(row())
    assert let_go(tail) == [(51, 1)]
    assert positions(tail) == list(range(52, 152))


def test_a_page_that_the_disk_may_have_takes_no_more() -> None:
    """A write that failed may have come to its end: the same page once more replaces it, a larger one would not."""
    tail = filled(3)
    tail.take(4096)
    tail.take_back()
    tail.add(row())
    assert [(page.first, page.last) for page in tail.take(4096)] == [(1, 3), (4, 4)]


def test_nor_where_the_one_before_it_was_let_go() -> None:
    tail = filled(PAGE + 3, most=3)
    tail.take(4096)
    tail.take_back()
    assert len(let_go(tail)) == PAGE
    tail.add(row())
    assert [(page.first, page.last) for page in tail.take(4096)] == [(PAGE + 1, PAGE + 3), (PAGE + 4, PAGE + 4)]


def test_each_hole_has_its_place() -> None:
    tail = filled(15, most=10)
    assert let_go(tail) == [(position, 1) for position in range(1, 6)]
    tail.written(tail.take(4096))
    for _ in range(12):
        tail.add(row())
    assert let_go(tail) == [(16, 16), (17, 16)]
    assert tail.saved == 15


def test_bytes_are_bounded_as_well_and_nothing_may_be_left() -> None:
    tail = filled(0, size=3 * (OVERHEAD + 2))
    assert [tail.add(row()) for _ in range(4)] == [False, False, False, True]
    assert let_go(tail) == [(1, 1)]
    tail.add(row("x" * 10_000))
    assert [position for position, _ in let_go(tail)] == [2, 3, 4, 5]
    assert (tail.is_written, tail.first) == (True, 6)
    tail.written([])
    assert tail.saved == 5
    assert not tail.add(row())
    assert positions(tail) == [6]


def test_little_is_kept_of_what_the_disk_has() -> None:
    tail = filled(KEEP_EVENTS + 2 * PAGE)
    tail.written(tail.take(10_000))
    tail.trim(read=PAGE // 2)
    assert tail.first == 2 * PAGE + 1
    tail.trim(read=3 * PAGE)
    assert tail.first == 3 * PAGE + 1


def test_a_disk_that_has_begun_anew_gets_what_is_there() -> None:
    tail = filled(10)
    tail.written(tail.take(10))
    tail.add(row())
    tail.take(10)
    tail.begin_anew()
    tail.take_back()
    assert [(page.first, page.last) for page in tail.take(100)] == [(1, 10), (11, 11)]
