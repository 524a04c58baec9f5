"""The pages of the log of events: how events are kept in ``events.db``, and found there.

Owns its tables of events and the statements on them. Must not know the file, threads, or who is subscribed. Authority:
contract 12; sqlite.org/json1.html.

A page is one row, and its events one JSON text; a write is one statement. Between any two of its steps SQLite asks for
the interpreter again, and so takes it from the event loop: a row an event costs that as much as the events do.
``janus_number`` says where the events of a gateway are: its first number in each page. Who reads with ``sqlite3`` has
the view ``janus_event``, a row an event.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from math import isfinite
from types import NoneType
from typing import Final

from bridge.protocol import codec
from bridge.protocol.event_record import MOST_EVENTS, PAGE, PAGE_BYTES, EventRecord, GatewayEvents, LogPage

SCHEMA: Final = """
CREATE TABLE janus_page (last INTEGER PRIMARY KEY, first INTEGER NOT NULL, at REAL NOT NULL, events TEXT NOT NULL,
    numbers TEXT NOT NULL);
CREATE TABLE janus_number (janus_id TEXT, epoch INTEGER, n INTEGER, page INTEGER NOT NULL,
    PRIMARY KEY (janus_id, epoch, n)) WITHOUT ROWID;
CREATE INDEX janus_number_page ON janus_number (page);
CREATE TRIGGER janus_page_number AFTER INSERT ON janus_page BEGIN
    INSERT OR REPLACE INTO janus_number SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
        json_extract(value, '$[2]'), new.last FROM json_each(new.numbers);
END;
CREATE VIEW janus_event AS SELECT p.first + e.key AS seq, json_extract(e.value, '$[0]') AS at,
    json_extract(e.value, '$[1]') AS name, json_extract(e.value, '$[2]') AS janus_id,
    json_extract(e.value, '$[3]') AS epoch, json_extract(e.value, '$[4]') AS n, json_extract(e.value, '$[5]') AS url,
    json_extract(e.value, '$[6]') AS body, p.last AS page FROM janus_page AS p, json_each(p.events) AS e;
"""
_CUT_AT_ONCE: Final = 5000  # events
# Of the columns of a row: at, name, origin, epoch, n, url, body
_TYPES: Final[Sequence[set[type]]] = ({float, int}, {str}, {str, NoneType}, {int}, {int}, {str, NoneType}, {str})
_LAST_TIME: Final = 253_402_300_800  # unix seconds: the year 10000, which no calendar here has

# Texts come as bytes, so that no copy of them is made here. A page has ROW parameters, of which an SQLite before 3.32
# takes 999 at most.
_INSERT: Final = "INSERT OR REPLACE INTO janus_page VALUES "
_ROW: Final = "(?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT))"
AT_ONCE: Final = 192  # pages
_COLUMNS: Final = "last, first, CAST(events AS BLOB)"


def insert(connection: sqlite3.Connection, pages: Sequence[LogPage], at: float) -> None:
    """Keep these, AT_ONCE in a statement; ``at`` is the log's own time. Raises sqlite3.Error."""
    for start in range(0, len(pages), AT_ONCE):
        some = pages[start : start + AT_ONCE]
        connection.execute(
            _INSERT + ", ".join([_ROW] * len(some)), [value for page in some for value in _columns(page, at)]
        )


def _columns(page: LogPage, at: float) -> tuple[int, int, float, bytes, bytes]:
    firsts = {(row[2], row[3]): row[4] for row in reversed(page.rows) if row[2] is not None}
    numbers = codec.render_bytes([(*gateway, n) for gateway, n in firsts.items()], "replace")
    return page.last, page.first, at, codec.render_bytes(page.rows, "replace"), numbers


def delete(connection: sqlite3.Connection, cut: int) -> None:
    """Forget the pages up to there. Raises sqlite3.Error."""
    connection.execute("DELETE FROM janus_number WHERE page <= ?", (cut,))
    connection.execute("DELETE FROM janus_page WHERE last <= ?", (cut,))


def bounds(connection: sqlite3.Connection) -> tuple[int, int]:
    """The positions of the first and the last event; 0, 0 where there is none. Raises sqlite3.Error, also for what is
    none.
    """
    first = connection.execute("SELECT first FROM janus_page ORDER BY last LIMIT 1").fetchone()
    (last,) = connection.execute("SELECT ifnull(max(last), 0) FROM janus_page").fetchone()
    begin = first[0] if first else 0
    if not isinstance(begin, int) or not 0 <= begin <= last <= MOST_EVENTS:
        raise sqlite3.DatabaseError("the position of a page is damaged")
    return begin, last


def newest(connection: sqlite3.Connection) -> tuple[int, float, float] | None:
    """The end of the newest page, its place in the log's own time, and when its last event was raised by the wall
    clock, in unix seconds; None: there is no page. Raises sqlite3.Error.
    """
    row = connection.execute(f"SELECT at, {_COLUMNS} FROM janus_page ORDER BY last DESC LIMIT 1").fetchone()
    if row is None:
        return None
    at, *columns = row
    last, found, raised = columns[0], float(at), float(_page(*columns).rows[-1][0])
    if not isfinite(found):
        raise sqlite3.DatabaseError(f"the time of page {last} is damaged")
    return last, found, raised


def newest_epoch(connection: sqlite3.Connection) -> int:
    """Of the events that are kept; 0 where there is none. Raises sqlite3.Error."""
    newest = "SELECT epoch FROM janus_number ORDER BY page DESC LIMIT 1000"
    (epoch,) = connection.execute(f"SELECT ifnull(max(epoch), 0) FROM ({newest})").fetchone()
    return int(epoch)


def read(connection: sqlite3.Connection, after: int, upto: int) -> tuple[list[EventRecord], int]:
    """The records behind ``after``, up to ``upto``, two pages at most, and how far that has looked. Raises
    sqlite3.Error.
    """
    found: list[EventRecord] = []
    size = 0
    for columns in connection.execute(f"SELECT {_COLUMNS} FROM janus_page WHERE last > ? ORDER BY last", (after,)):
        page = _page(*columns)
        if page.first > upto:
            break
        found += page.records(after, upto)
        size += page.size
        if found and (len(found) >= PAGE or size >= PAGE_BYTES):
            return found, found[-1].position
    return found, upto


def replay(connection: sqlite3.Connection, janus_id: str, epoch: int, n: int, limit: int) -> list[EventRecord]:
    """The first events of a gateway from a number on; fewer where they are large. Raises sqlite3.Error."""
    janus_id = janus_id.encode("utf-8", "replace").decode()  # as it is kept
    found: list[EventRecord] = []
    size = 0
    for page in _pages_from(connection, janus_id, epoch, n):
        for record in page.records():
            if record.origin == janus_id and (record.epoch, record.n) >= (epoch, n):
                found.append(record)
                size += len(record.body)
                if len(found) == limit or size > PAGE_BYTES:
                    return found
    return found


def place_of(connection: sqlite3.Connection, epoch: int, n: int) -> int | None:
    """The position before the first event of any gateway that is numbered so or later. Raises sqlite3.Error."""
    places = [
        found[0].position - 1
        for janus_id in _gateways(connection)
        if (found := replay(connection, janus_id, epoch, n, 1))
    ]
    return min(places, default=None)


def gateways(connection: sqlite3.Connection) -> list[GatewayEvents]:
    """What there is of each gateway. Raises sqlite3.Error."""
    found: list[GatewayEvents] = []
    of_last = "SELECT page FROM janus_number WHERE janus_id = ? ORDER BY epoch DESC, n DESC LIMIT 1"
    for janus_id in _gateways(connection):
        (first,) = replay(connection, janus_id, 0, 0, 1)
        (last,) = connection.execute(of_last, (janus_id,)).fetchone()
        of_page = [one for one in _one(connection, last).records() if one.origin == janus_id]
        found.append(GatewayEvents(janus_id, first, of_page[-1]))
    return found


def older_than(connection: sqlite3.Connection, at: float, now: float) -> int:
    """The end of the last page of which all is older, of the first few; 0: there is none. A page from after ``now``, by
    a clock that was wrong, is as old as the next one. Raises sqlite3.Error.
    """
    cut = events = 0
    for last, first, newest in connection.execute("SELECT last, first, at FROM janus_page ORDER BY last"):
        if at <= newest <= now or events >= _CUT_AT_ONCE:
            break
        if newest < at:
            cut = last
            events += last - first + 1
    return cut


def beyond(connection: sqlite3.Connection, events: int) -> int:
    """The end of the page that has the ``events``-th event, of the first few. Raises sqlite3.Error."""
    first, last = bounds(connection)
    position = min(last, first + min(events, _CUT_AT_ONCE) - 1)
    (cut,) = connection.execute("SELECT min(last) FROM janus_page WHERE last >= ?", (position,)).fetchone()
    return int(cut)


def _gateways(connection: sqlite3.Connection) -> Iterator[str]:
    """By its index, a step a gateway: numbers are millions."""
    janus_id = ""
    of_next = "SELECT min(janus_id) FROM janus_number WHERE janus_id > ?"
    while (row := connection.execute(of_next, (janus_id,)).fetchone())[0] is not None:
        janus_id = row[0]
        if not isinstance(janus_id, str):  # SQLite has any bytes behind any text: there would be no end
            raise sqlite3.DatabaseError("the name of a gateway is damaged")
        yield janus_id


def _pages_from(connection: sqlite3.Connection, janus_id: str, epoch: int, n: int) -> Iterator[LogPage]:
    """Those that have events of a gateway, from the one on that may have this number."""
    before = "SELECT epoch, n FROM janus_number WHERE janus_id = ? AND (epoch, n) <= (?, ?) ORDER BY epoch DESC, n DESC"
    start = connection.execute(f"{before} LIMIT 1", (janus_id, epoch, n)).fetchone() or (0, 0)
    from_there = "SELECT page FROM janus_number WHERE janus_id = ? AND (epoch, n) >= (?, ?) ORDER BY epoch, n"
    for (last,) in connection.execute(from_there, (janus_id, *start)):
        yield _one(connection, last)


def _one(connection: sqlite3.Connection, last: int) -> LogPage:
    row = connection.execute(f"SELECT {_COLUMNS} FROM janus_page WHERE last = ?", (last,)).fetchone()
    if row is None:
        raise sqlite3.DatabaseError(f"page {last} is missing")
    return _page(*row)


def _page(last: int, first: int, text: bytes) -> LogPage:
    try:
        rows = codec.parse_own(text)
        if len(rows) != last - first + 1:
            raise ValueError
        columns = list(zip(*rows, strict=True))
        if not all(types.issuperset(map(type, column)) for types, column in zip(_TYPES, columns, strict=True)):
            raise ValueError
        if not 0 <= min(columns[0]) <= max(columns[0]) < _LAST_TIME:
            raise ValueError
        return LogPage(first, list(map(tuple, rows)))
    except (ValueError, TypeError):
        raise sqlite3.DatabaseError(f"the page of event {first} is damaged") from None
