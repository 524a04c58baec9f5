"""The table ``janus_session`` of a cluster, as one node uses it, and what is common to all who read it: pages.

Owns the statements by which sessions are written, ended and read. Must not know whose are taken over when
(``cluster_tables`` moves them with a node's row). Who may write which row is decided in the statement itself: what is
late, or read of another host, changes nothing of a row that is another's by now. Authority: contract 11; Galera's
documentation on certification and ``wsrep_sync_wait``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bridge.errors import TableRefused, TableUnavailable
from bridge.protocol.cluster import OWN, Life, NodeSession, Right
from bridge.transport.cluster_db import ClusterDb, DatabaseLink
from bridge.transport.cluster_rows import FaultyRows, RowFault, SessionRows, session_rows
from bridge.transport.db_sql import as_text

BATCH = 200  # rows a statement
PAGE = 2000  # rows a transaction, or an answer: far below what an answer may have, and a fraction of a short patience
SESSIONS = "janus_session"
SESSION_COLUMNS = "janus_id, janus_url, session_id, managed"
OF_NODE = "WHERE cluster_id = ? AND node_id = ?"


class SessionTable:
    """``janus_session``, as one node uses it. Rows that mean nothing are logged (cluster_rows)."""

    def __init__(self, db: ClusterDb, cluster_id: int, node_id: int) -> None:
        self._db = db
        self._cluster = cluster_id
        self._me = node_id
        self._faulty = FaultyRows(SESSIONS)

    async def write(self, sessions: Sequence[NodeSession], epoch: int, right: Right = OWN) -> list[NodeSession]:
        """These are ours, as far as that is right: nobody's row is taken without. Only while our life has this
        ``epoch``: what comes late, as from a process that was stopped, or out of a queue of the server, takes nothing
        back from who has it now. Returns those whose rows stay another node's.
        """

        def work(link: DatabaseLink) -> list[NodeSession]:
            return [other for some in _batches(sessions) for other in self._write(link, some, epoch, right)]

        return await self._db.visit(work, again=True)

    def _write(self, link: DatabaseLink, some: Sequence[NodeSession], epoch: int, right: Right) -> list[NodeSession]:
        first, more = (
            "SELECT ? AS session_id, ? AS janus_id, ? AS janus_url, ? AS managed",
            " UNION ALL SELECT ?, ?, ?, ?",
        )
        values = [value for one in some for value in (one.session_id, one.janus_id, one.janus_url, int(one.managed))]
        giver, me = right.giver or Life(self._me, epoch), (self._cluster, self._me, epoch)
        sql = _REPLACE.format(first + more * (len(some) - 1))
        changed = link.change(sql, *values, *giver, *me, int(right.anybody))
        if changed and len(some) == 1:
            return []  # as nearly always
        which, keys = _which(some)
        sql = f"SELECT janus_id, session_id FROM {SESSIONS} WHERE cluster_id = ? AND node_id <> ? AND {which}"
        theirs = {(as_text(one), session_id) for one, session_id in link.rows(sql, self._cluster, self._me, *keys)}
        others = [one for one in some if (one.janus_id, one.session_id) in theirs]
        if not changed and len(others) < len(some):
            raise TableUnavailable(f"node {self._me} has another epoch there")
        return others

    async def end(self, sessions: Sequence[NodeSession]) -> None:
        """These are over; what a peer has meanwhile stays."""

        def work(link: DatabaseLink) -> None:
            for some in _batches(sessions):
                which, keys = _which(some)
                sql = f"DELETE FROM janus_session WHERE cluster_id = ? AND node_id = ? AND {which}"
                link.change(sql, self._cluster, self._me, *keys)

        await self._db.visit(work, again=True)

    async def ours(self) -> list[NodeSession]:
        """All that we have, as of now wherever it was written."""
        found, faults, last = list[NodeSession](), list[RowFault](), tuple[Any, ...]()
        order = f"ORDER BY session_id, janus_id LIMIT {PAGE}"

        def work(link: DatabaseLink) -> list[tuple[Any, ...]]:
            which = f"{OF_NODE} AND (session_id > ? OR (session_id = ? AND janus_id > ?))" if last else OF_NODE
            with in_step(link):
                sql = f"SELECT {SESSION_COLUMNS} FROM {SESSIONS} {which} {order}"
                return link.rows(sql, self._cluster, self._me, *last)

        while True:
            rows = await self._db.visit(work, again=True)
            page = session_rows(rows)
            found += page.sessions
            faults += page.faults
            if len(rows) < PAGE:
                break
            last = rows[-1][2], rows[-1][2], as_text(rows[-1][0])
        self._faulty.tell(faults)
        return found


def move_page(link: DatabaseLink, cluster_id: int, giver: int, taker: int) -> SessionRows:
    """A page of a node's sessions, another one's now, in a transaction that has begun: those that are read are those
    that move, as nobody writes one in between. Of no other node's is anything locked.
    """
    sql = f"SELECT {SESSION_COLUMNS} FROM {SESSIONS} {OF_NODE}"
    rows = link.locked(f"{sql} LIMIT {PAGE}", cluster_id, giver)
    moved, move = session_rows(rows), f"UPDATE {SESSIONS} SET node_id = ? {OF_NODE}"
    if len(rows) < PAGE:  # as nearly always: that is all
        link.change(move, taker, cluster_id, giver)
        return moved
    for some in _batches(moved.sessions):
        which, keys = _which(some)
        link.change(f"{move} AND {which}", taker, cluster_id, giver, *keys)
    return moved


_REPLACE = (  # in one statement: a transaction that is left in the middle, as by a machine that dies, keeps its locks
    "REPLACE INTO janus_session (cluster_id, session_id, janus_id, janus_url, node_id, managed) "
    "SELECT me.cluster_id, new.session_id, new.janus_id, new.janus_url, me.node_id, new.managed FROM janus_node me "
    "JOIN ({}) new "
    "LEFT JOIN janus_node giver ON giver.cluster_id = me.cluster_id AND giver.node_id = ? AND giver.epoch = ? "
    "LEFT JOIN janus_session old ON old.cluster_id = me.cluster_id AND old.session_id = new.session_id "
    "AND old.janus_id = new.janus_id "
    "WHERE me.cluster_id = ? AND me.node_id = ? AND me.epoch = ? "
    "AND (old.node_id IS NULL OR old.node_id = me.node_id OR old.node_id = giver.node_id OR ? = 1)"
)


def _batches(sessions: Sequence[NodeSession]) -> Iterator[Sequence[NodeSession]]:
    return (sessions[start : start + BATCH] for start in range(0, len(sessions), BATCH))


def _which(some: Sequence[NodeSession]) -> tuple[str, list[int | str]]:
    """These rows, of any node."""
    keys = [value for one in some for value in (one.session_id, one.janus_id)]
    return "(" + " OR ".join(["(session_id = ? AND janus_id = ?)"] * len(some)) + ")", keys


@contextmanager
def in_step(link: DatabaseLink) -> Iterator[None]:
    """What other hosts of a Galera cluster have committed is seen in the block; other databases lack the word."""
    try:
        link.rows("SET SESSION wsrep_sync_wait = 1")
    except TableRefused:
        yield
    else:
        yield
        link.rows("SET SESSION wsrep_sync_wait = DEFAULT")
