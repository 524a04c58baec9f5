"""The rows of the log of events: its tables, and what is in their columns.

Owns the schema of ``events.db`` and its version. Must not know the file. Authority: contract 12.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bridge.protocol.event_record import EventRecord, Loss, NamedSubscription, OutletState, Wish

VERSION: Final = 1
APPLICATION: Final = 0x4A616E75  # "Janu": what application_id says of a file of ours
SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE janus_event (seq INTEGER PRIMARY KEY, at REAL NOT NULL, name TEXT NOT NULL, janus_id TEXT,
    epoch INTEGER NOT NULL, n INTEGER NOT NULL, url TEXT, body TEXT NOT NULL);
CREATE INDEX janus_event_number ON janus_event (janus_id, epoch, n);
CREATE TABLE janus_subscriber (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, lost TEXT NOT NULL,
    subscription TEXT) WITHOUT ROWID;
"""
EVENT: Final = "seq, at, name, janus_id, epoch, n, url, body"  # as an EventRecord has them


_ROW = "(?, ?, ?, ?, ?, ?, ?, ?)"
_INSERTS = {  # rows at a time; a statement of an SQLite before 3.32 has 999 parameters at most
    size: f"INSERT OR REPLACE INTO janus_event VALUES {', '.join([_ROW] * size)}" for size in (120, 12, 1)
}


def inserts(records: Sequence[EventRecord]) -> Iterator[tuple[str, list[Any]]]:
    """Statements that keep these, with their parameters.

    Many rows each: between two steps of SQLite the thread asks for the interpreter again, which the event loop has for
    5 ms at a time when it is busy.
    """
    start = 0
    for size, sql in _INSERTS.items():
        while len(records) - start >= size:
            rows = records[start : start + size]
            yield sql, [value for record in rows for value in event_row(record)]
            start += size


def event_row(record: EventRecord) -> EventRecord:
    """A lone surrogate has no UTF-8; it would be a "?" wherever the event goes."""
    origin, url, body = record.origin, record.url, record.body
    if body.isascii() and (url is None or url.isascii()) and (origin is None or origin.isascii()):
        return record
    return record._replace(
        origin=None if origin is None else _utf8(origin), url=None if url is None else _utf8(url), body=_utf8(body)
    )


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def subscriber_row(state: OutletState) -> tuple[str, int, str, str | None]:
    """Its columns."""
    subscription = None if state.subscription is None else json.dumps(state.subscription)
    return state.name, state.position, json.dumps(state.losses), subscription


def read_subscriber(name: str, position: int, losses: str, subscription: str | None) -> OutletState:
    """From its columns. Raises ValueError, TypeError for what nobody wrote like that."""
    found: list[Loss] = [
        (str(janus_id), str(url), str(reason), int(lost), last)
        for janus_id, url, reason, lost, last in json.loads(losses)
    ]
    if subscription is None:
        return OutletState(name, position, tuple(found))
    socket, wishes = json.loads(subscription)
    named = NamedSubscription(str(socket), tuple(Wish(str(event), int(end), lists) for event, end, lists in wishes))
    return OutletState(name, position, tuple(found), named)
