"""The subscribers of the log of events: their rows in ``events.db``.

Owns what is in their columns, and the version of the whole. Must not know the file. Authority: contract 12.

A place is written ten times a second while its subscriber gets events. What that wants may be long: it has a table of
its own, and is written where it has changed.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_record import LARGEST, MOST_EVENTS, Loss, NamedSubscription, OutletState, Wish

VERSION: Final = 3
APPLICATION: Final = 0x4A616E75  # "Janu": what application_id says of a file of ours
SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE janus_subscriber (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, lost TEXT NOT NULL, until INTEGER)
    WITHOUT ROWID;
CREATE TABLE janus_subscription (name TEXT PRIMARY KEY, subscription TEXT, wanted TEXT NOT NULL) WITHOUT ROWID;
"""


class SubscriberRows:
    """Of one file, with the transactions of whoever writes."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[Any, ...]] = {}  # of the second table, by names

    def keep(self, connection: sqlite3.Connection, state: OutletState) -> None:
        """Raises sqlite3.Error; ValueError, TypeError, OverflowError: no column takes it."""
        place, subscribed = _place(state), (state.subscription, state.wanted)
        connection.execute("INSERT OR REPLACE INTO janus_subscriber VALUES (?, ?, ?, ?)", place)
        if self._written.get(state.name) != subscribed:
            row = state.name, *_subscribed(state)
            connection.execute("INSERT OR REPLACE INTO janus_subscription VALUES (?, ?, ?)", row)
            self._written[state.name] = subscribed

    def delete(self, connection: sqlite3.Connection, names: Iterable[str]) -> None:
        """Raises sqlite3.Error."""
        for name in names:
            for table in ("janus_subscriber", "janus_subscription"):
                connection.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
            self._written.pop(name, None)

    def rolled_back(self) -> None:
        """What was written is not there."""
        self._written.clear()


def read_all(connection: sqlite3.Connection) -> list[OutletState]:
    """Raises sqlite3.Error; ValueError for what nobody wrote like that."""
    columns = "name, seq, lost, until, subscription, wanted"
    rows = connection.execute(f"SELECT {columns} FROM janus_subscriber JOIN janus_subscription USING (name)")
    return [read_subscriber(row) for row in rows]


def subscriber_row(state: OutletState) -> Sequence[Any]:
    """All its columns, as ``read_subscriber`` takes them."""
    return *_place(state), *_subscribed(state)


def read_subscriber(row: Sequence[Any]) -> OutletState:
    """Raises ValueError for what nobody wrote like that."""
    try:
        return _outlet(*row)
    except (TypeError, AttributeError, RecursionError) as exc:
        raise ValueError(str(exc)) from None


def _outlet(name: str, seq: int, lost: str, until: int | None, subscription: str | None, wanted: str) -> OutletState:
    losses = tuple(
        Loss(str(janus_id), str(url), str(reason), _number(number), last, _number(before))
        for janus_id, url, reason, number, last, before in json.loads(lost)
    )
    named = None
    if subscription is not None:
        socket, wishes = json.loads(subscription)
        named = NamedSubscription(
            str(socket), tuple(Wish(str(event), _number(end), to and dict(to)) for event, end, to in wishes)
        )
    names = tuple(
        (
            _number(upto),
            {event: None if lists is None else EventFilter.read(dict(lists)) for event, lists in dict(one).items()},
        )
        for upto, one in json.loads(wanted)
    )
    if not isinstance(name, str):
        raise ValueError("a subscriber without a name")
    end = None if until is None else _number(until, MOST_EVENTS)
    return OutletState(name, _number(seq, MOST_EVENTS), losses, named, end, names)


def _number(value: Any, most: int = LARGEST) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError("not a number of events")
    return value


def _place(state: OutletState) -> tuple[str, int, str, int | None]:
    return state.name, state.position, json.dumps(state.losses), state.until


def _subscribed(state: OutletState) -> tuple[str | None, str]:
    wanted = [
        (upto, {event: None if one is None else one.lists() for event, one in names.items()})
        for upto, names in state.wanted
    ]
    return None if state.subscription is None else json.dumps(state.subscription), json.dumps(wanted)
