"""The pages of the log of events: what is in them, and how a gateway's events are found."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from bridge.protocol.event_record import PAGE, PAGE_BYTES, EventRecord
from bridge.transport import event_pages
from tests.support.event_logs import pages, record

AT = 100.0


@pytest.fixture
def log() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(event_pages.SCHEMA)
        yield connection


def of(janus_id: str, position: int, n: int, epoch: int = 7) -> EventRecord:
    return record(position, janus_id=janus_id, n=n)._replace(epoch=epoch)


def by_hand(connection: sqlite3.Connection, sql: str) -> list[tuple[object, ...]]:
    return connection.execute(sql).fetchall()


def test_with_sqlite3_there_is_a_row_an_event(log: sqlite3.Connection) -> None:
    events = [record(5, '{"a":"ü\\n\\"😀"}', at=1.25), record(6)._replace(origin=None, epoch=0, n=0, url=None)]
    event_pages.insert(log, pages(*events), AT)
    columns = "seq, at, name, janus_id, epoch, n, url, body"
    assert by_hand(log, f"SELECT {columns} FROM janus_event ORDER BY seq") == [tuple(one) for one in events]


def test_a_gateway_s_events_are_found_by_number(log: sqlite3.Connection) -> None:
    """Wherever they are: g1 in all pages, g2 in two of them, over a restart."""
    events = [of("g1", position, position) for position in range(1, 31)]
    events[4], events[24] = of("g2", 5, 1), of("g2", 25, 1, epoch=8)
    event_pages.insert(log, pages(*events[:24], most=10), AT)
    event_pages.insert(log, pages(*events[24:], most=10), AT)
    found = event_pages.replay(log, "g1", 7, 9, 3)
    assert [one.seq for one in found] == ["7-9", "7-10", "7-11"]
    assert [one.seq for one in event_pages.replay(log, "g2", 0, 0, 9)] == ["7-1", "8-1"]
    assert [one.seq for one in event_pages.replay(log, "g2", 7, 2, 9)] == ["8-1"]
    assert event_pages.replay(log, "g2", 8, 2, 9) == []
    assert [(one.janus_id, one.first.seq, one.last.seq) for one in event_pages.gateways(log)] == [
        ("g1", "7-1", "7-30"),
        ("g2", "7-1", "8-1"),
    ]
    assert [event_pages.place_of(log, *number) for number in ((0, 0), (7, 7), (7, 29), (8, 0), (8, 2))] == [
        *(0, 6, 24, 24, None)  # 8-1 of g2 is before 7-29 of g1
    ]


def test_what_is_cut_is_not_found(log: sqlite3.Connection) -> None:
    event_pages.insert(log, pages(*(of(f"g{n % 2}", n, n) for n in range(1, 41)), most=10), AT)
    event_pages.delete(log, 20)
    assert event_pages.bounds(log) == (21, 40)
    assert [one.n for one in event_pages.replay(log, "g1", 7, 1, 2)] == [21, 23]
    assert [one.position for one in event_pages.read(log, 0, 22)[0]] == [21, 22]
    event_pages.delete(log, 40)
    assert (event_pages.bounds(log), event_pages.gateways(log)) == ((0, 0), [])
    assert by_hand(log, "SELECT * FROM janus_number") == []


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[]", b"[[1]]", b"[1]", b'[[1,"a","g",7,1,"u",5]]', b'{"a":1}', b"\xff"),
        *(b'[[1e300,"a","g",7,1,"u","b"]]', b'[[-1,"a","g",7,1,"u","b"]]', b'[[1,"a","g",7.5,1,"u","b"]]'),
        b'[[1,"a","g",7,1,"u","b"],[1,"a","g",7,2,"u"]]',
        *(b'[[1,"a",{},7,1,"u","b"]]', b'[["x","a","g",7,1,"u","b"]]', b'[[1,"a","g",7,true,"u","b"]]'),
    ],
)
def test_a_damaged_page_is_damage_of_the_file(log: sqlite3.Connection, text: bytes) -> None:
    event_pages.insert(log, pages(record(1)), AT)
    log.execute("UPDATE janus_page SET events = CAST(? AS TEXT)", (text,))
    with pytest.raises(sqlite3.DatabaseError, match="the page of event 1 is damaged"):
        event_pages.read(log, 0, 9)
    log.execute("DELETE FROM janus_page")
    with pytest.raises(sqlite3.DatabaseError, match="page 1 is missing"):
        event_pages.gateways(log)


def test_many_pages_in_one_write(log: sqlite3.Connection) -> None:
    event_pages.insert(log, pages(*(record(n) for n in range(1, 1001)), most=2), AT)
    assert event_pages.bounds(log) == (1, 1000)
    assert by_hand(log, "SELECT count(*) FROM janus_page") == [(500,)]


def test_a_read_has_as_many_as_a_page_has_by_count_or_by_bytes(log: sqlite3.Connection) -> None:
    event_pages.insert(log, pages(*(record(n) for n in range(1, PAGE + 10)), most=10), AT)
    records, seen = event_pages.read(log, 5, PAGE + 9)
    assert (records, seen) == ([record(n) for n in range(6, PAGE + 10)], PAGE + 9)
    records, seen = event_pages.read(log, 0, PAGE + 9)
    assert (records, seen) == ([record(n) for n in range(1, 261)], 260)
    assert event_pages.read(log, 260, PAGE + 9) == ([record(n) for n in range(261, PAGE + 10)], PAGE + 9)
    event_pages.insert(log, pages(*(record(1000 + n, "x" * (PAGE_BYTES // 2 + 1)) for n in range(4))), AT)
    assert event_pages.read(log, 999, 2000)[1] == 1001
    assert event_pages.read(log, 1001, 2000)[1] == 1003
    assert event_pages.read(log, 1003, 2000) == ([], 2000)
