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
from bridge.protocol.event_record import Loss, NamedSubscription, OutletState, Wish

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
    """Raises sqlite3.Error; ValueError, TypeError for what nobody wrote like that."""
    columns = "name, seq, lost, until, subscription, wanted"
    rows = connection.execute(f"SELECT {columns} FROM janus_subscriber JOIN janus_subscription USING (name)")
    return [read_subscriber(row) for row in rows]


def subscriber_row(state: OutletState) -> Sequence[Any]:
    """All its columns, as ``read_subscriber`` takes them."""
    return *_place(state), *_subscribed(state)


def read_subscriber(row: Sequence[Any]) -> OutletState:
    """Raises ValueError, TypeError for what nobody wrote like that."""
    name, position, losses, until, subscription, wanted = row
    found = tuple(
        Loss(str(janus_id), str(url), str(reason), int(lost), last, int(before))
        for janus_id, url, reason, lost, last, before in json.loads(losses)
    )
    named = None
    if subscription is not None:
        socket, wishes = json.loads(subscription)
        named = NamedSubscription(str(socket), tuple(Wish(str(event), int(end), lists) for event, end, lists in wishes))
    names = tuple(
        (
            int(upto),
            {event: None if lists is None else EventFilter.read(dict(lists)) for event, lists in dict(one).items()},
        )
        for upto, one in json.loads(wanted)
    )
    return OutletState(name, position, found, named, until, names)


def _place(state: OutletState) -> tuple[str, int, str, int | None]:
    return state.name, state.position, json.dumps(state.losses), state.until


def _subscribed(state: OutletState) -> tuple[str | None, str]:
    wanted = [
        (upto, {event: None if one is None else one.lists() for event, one in names.items()})
        for upto, names in state.wanted
    ]
    return None if state.subscription is None else json.dumps(state.subscription), json.dumps(wanted)
