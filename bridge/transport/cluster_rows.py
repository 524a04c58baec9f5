"""What the rows of the cluster's tables mean, and which of them mean nothing.

Owns that judgement: tables that were made or edited by hand hold what they like, text in numbers, NULL, a row twice.
What means nothing is left alone and named, once for as long as it stands there; the rest goes on. Must not know
statements. Authority: contract 11.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bridge.protocol.cluster import Node, NodeSession, NodeState
from bridge.protocol.event_record import LARGEST
from bridge.protocol.humanize import plural
from bridge.transport.db_sql import as_text

log = logging.getLogger("bridge.cluster")

MOST_FAULTS = 20  # lines at a time
MOST_ID = 2**31 - 1  # of a node
MOST = 2**63 - 2  # of a beat, which is one more next time; Janus takes a session id that is one more yet

_STATES = frozenset(NodeState)
_SHOWN = 40  # characters of a value


class RowFault(NamedTuple):
    """``node_id``: whose row it is, where that can be told."""

    node_id: int | None
    text: str


class NodeRows(NamedTuple):
    """What was read of a table of nodes. ``newest``: the largest epoch, of whatever row; 0: there is none."""

    nodes: list[Node]
    faults: list[RowFault]
    newest: int


class SessionRows(NamedTuple):
    """What was read of a table of sessions."""

    sessions: list[NodeSession]
    faults: list[RowFault]


def node_rows(rows: Iterable[Sequence[Any]]) -> NodeRows:
    """Of node_id, url, epoch, beat, state. A state that is none of ours is shown as TAKEN, so that nobody takes that
    node; its epoch counts all the same.
    """
    nodes: list[Node] = []
    faults: list[RowFault] = []
    rows = list(rows)
    numbers = Counter(row[0] for row in rows)
    for node_id, times in numbers.items():
        if times > 1:
            faults.append(RowFault(_whole(node_id, MOST_ID), f"{times} rows have the node_id {_shown(node_id)}"))
    for node_id, url, epoch, beat, state in rows:
        columns = [("node_id", node_id, MOST_ID), ("epoch", epoch, LARGEST - 1), ("beat", beat, MOST)]
        wrong = next((column for column in columns if _whole(*column[1:]) is None), None)
        if wrong is not None:
            name, value, most = wrong
            whose = f"of node {_shown(node_id)} " if name != "node_id" else ""
            text = f"a row {whose}has the {name} {_shown(value)}, which is no whole number from 0 to {most}"
            faults.append(RowFault(_whole(node_id, MOST_ID), text))
        elif numbers[node_id] == 1:
            known = NodeState(state) if _whole(state, MOST_ID) in _STATES else NodeState.TAKEN
            nodes.append(Node(node_id, as_text(url), epoch, beat, known))
    return NodeRows(nodes, faults, max((epoch for row in rows if (epoch := _whole(row[2], LARGEST - 1))), default=0))


def session_rows(rows: Iterable[Sequence[Any]]) -> SessionRows:
    """Of janus_id, janus_url, session_id, managed."""
    found: dict[tuple[str, int], NodeSession] = {}
    faults: list[RowFault] = []
    for janus_id, janus_url, session_id, managed in rows:
        for name, value, most in (("session_id", session_id, MOST + 1), ("managed", managed, 1)):
            if _whole(value, most) is None:
                whose = f"of gateway {_shown(janus_id)}"
                text = f"a row {whose} has the {name} {_shown(value)}, which is no whole number from 0 to {most}"
                faults.append(RowFault(None, text))
                break
        else:
            one = NodeSession(as_text(janus_id), as_text(janus_url), session_id, bool(managed))
            if (one.janus_id, session_id) in found:
                faults.append(RowFault(None, f"two rows have the session {session_id} of {_shown(janus_id)}"))
            else:
                found[one.janus_id, session_id] = one
    return SessionRows(list(found.values()), faults)


class FaultyRows:
    """What was said of the rows of ``table``."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._said: frozenset[str] = frozenset()

    def tell(self, faults: Sequence[RowFault]) -> None:
        """These are there now: what is news goes into the log."""
        texts = [fault.text for fault in faults]
        news = [text for text in dict.fromkeys(texts) if text not in self._said]
        for text in news[:MOST_FAULTS]:
            log.error("%s: %s; the row is ignored: correct or delete it in SQL", self._table, text)
        if len(news) > MOST_FAULTS:
            log.error("%s: %s bad", self._table, plural(len(news) - MOST_FAULTS, "more row"))
        self._said = frozenset(texts)


def _whole(value: Any, most: int) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= most else None


def _shown(value: Any) -> str:
    if value is None or isinstance(value, int):
        return "NULL" if value is None else str(value)
    return repr(as_text(value)[:_SHOWN])
