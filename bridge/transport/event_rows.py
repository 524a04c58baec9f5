"""The subscribers of the log of events: their rows in ``events.db``.

Owns what is in their columns, and the version of the whole. Must not know the file. Authority: contract 12.
"""

import json
from typing import Final

from bridge.protocol.event_record import Loss, NamedSubscription, OutletState, Wish

VERSION: Final = 2
APPLICATION: Final = 0x4A616E75  # "Janu": what application_id says of a file of ours
SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE janus_subscriber (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, lost TEXT NOT NULL,
    subscription TEXT, until INTEGER) WITHOUT ROWID;
"""


def subscriber_row(state: OutletState) -> tuple[str, int, str, str | None, int | None]:
    """Its columns."""
    subscription = None if state.subscription is None else json.dumps(state.subscription)
    return state.name, state.position, json.dumps(state.losses), subscription, state.until


def read_subscriber(name: str, position: int, losses: str, subscription: str | None, until: int | None) -> OutletState:
    """From its columns. Raises ValueError, TypeError for what nobody wrote like that."""
    found = tuple(
        Loss(str(janus_id), str(url), str(reason), int(lost), last, int(before))
        for janus_id, url, reason, lost, last, before in json.loads(losses)
    )
    if subscription is None:
        return OutletState(name, position, found, None, until)
    socket, wishes = json.loads(subscription)
    named = NamedSubscription(str(socket), tuple(Wish(str(event), int(end), lists) for event, end, lists in wishes))
    return OutletState(name, position, found, named, until)
