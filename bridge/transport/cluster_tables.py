"""The tables ``janus_node`` and ``janus_session``: what a bridge says of itself there, and what it reads of the others.

Owns the statements, and which of them are one transaction. Must not know when they are made, or what follows from their
answers. Every change of a node is a compare-and-set on its epoch and beat: who is late changes nothing, and sees it.
No time is ever compared. Authority: contract 11; Galera's documentation on certification and ``wsrep_sync_wait``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bridge.errors import TableRefused, TableUnavailable, WrongTableVersion
from bridge.protocol.cluster import OWN, Life, Node, NodeSession, NodeState, Right
from bridge.transport.cluster_db import ClusterDb, DatabaseLink
from bridge.transport.cluster_rows import FaultyRows, NodeRows, SessionRows, node_rows, session_rows
from bridge.transport.db import Database, script_of
from bridge.transport.db_sql import Duplicate, Execute, NoSuchTable, NoVersion, VersionedTable, as_text

BATCH = 200  # rows a statement
NODES, SESSIONS = "janus_node", "janus_session"
_COLUMNS = {
    NODES: "node_id, SUBSTR(url, 1, 256), epoch, beat, state",
    SESSIONS: "janus_id, janus_url, session_id, managed",
}


def nodes_in(execute: Execute, cluster_id: int | None) -> NodeRows:
    """Who is entered in a cluster."""
    return node_rows(execute(f"SELECT {_COLUMNS[NODES]} FROM {NODES} WHERE cluster_id = ?", cluster_id))


class ClusterTables:
    """That they are there, of which version, and with which columns. ``version_table`` as of [janus]."""

    def __init__(self, version_table: str) -> None:
        self._tables = [VersionedTable(name, name, version_table) for name in _COLUMNS]

    async def create(self, database: Database) -> bool:
        """Create what is missing; whether anything was. Raises TableUnavailable, WrongTableVersion."""
        script = script_of("janus_cluster", database.url)
        return await database.visit(
            "create", lambda execute: any([table.create(execute, script) for table in self._tables])
        )

    def check(self, execute: Execute) -> None:
        """Raises WrongTableVersion, and TableRefused for one that is missing or lacks a column."""
        try:
            for table in self._tables:
                table.check(execute)
                execute(f"SELECT cluster_id, {_COLUMNS[table.name]} FROM {table.name} LIMIT 0")
        except (NoSuchTable, NoVersion) as exc:
            raise type(exc)(f"{exc} (janus-bridge db init makes the tables of the cluster)") from None
        except WrongTableVersion:
            raise
        except TableRefused as exc:
            raise TableRefused(f"table {table.name!r}: {exc}") from None


class NodeTable:
    """``janus_node``, as one node uses it. Rows that mean nothing are logged (cluster_rows)."""

    def __init__(self, db: ClusterDb, cluster_id: int, node_id: int, version_table: str = "version") -> None:
        self._db = db
        self._cluster = cluster_id
        self.node_id = node_id
        self.newest = 0  # the largest epoch there, as it was read last
        self._tables = ClusterTables(version_table)
        self._faulty, self._faulty_sessions = FaultyRows(NODES), FaultyRows(SESSIONS)

    async def check(self) -> None:
        """See ClusterTables."""
        await self._db.visit(lambda link: self._tables.check(link.rows), again=True)

    async def nodes(self) -> list[Node]:
        """All of the cluster, ourselves included. Raises TableRefused where our own row means nothing."""
        nodes, faults, self.newest = await self._db.visit(lambda link: nodes_in(link.rows, self._cluster), again=True)
        self._faulty.tell(faults)
        for fault in faults:
            if fault.node_id == self.node_id:
                raise TableRefused(f"{NODES}: {fault.text}; mend or delete it in SQL")
        return nodes

    async def enter(self, url: str, epoch: int, seen: Node | None) -> int | None:
        """Begin a life of this epoch, which has to be larger than any other; the beat with which it does. ``seen``: our
        row as it was read, None if there was none. None: one of the two is otherwise now; look again.
        """

        def work(link: DatabaseLink) -> int | None:
            link.begin()
            beat, active = 1 if seen is None else seen.beat + 1, int(NodeState.ACTIVE)
            if epoch < self._next_epoch(link):
                link.undo()
                return None
            if seen is None:
                link.change(
                    "INSERT INTO janus_node (cluster_id, node_id, url, state, epoch, beat) VALUES (?, ?, ?, ?, ?, ?)",
                    *(self._cluster, self.node_id, url, active, epoch, beat),
                )
            elif not link.change(
                f"UPDATE janus_node SET url = ?, state = ?, epoch = ?, beat = ? {_AS_SEEN}",
                *(url, active, epoch, beat, self._cluster, *_as_seen(seen)),
            ):
                link.undo()
                return None
            link.commit()
            return beat

        try:
            return await self._db.visit(work)
        except Duplicate:
            return None

    async def beat(self, epoch: int, beat: int, state: NodeState) -> bool:
        """Make our beat ``beat`` + 1. False: the row is not as we left it."""

        def work(link: DatabaseLink) -> bool:
            sql = f"UPDATE janus_node SET beat = ?, state = ? {_AS_SEEN}"
            return link.change(sql, beat + 1, int(state), self._cluster, self.node_id, epoch, beat) == 1

        return await self._db.visit(work)

    async def take(self, node: Node, epoch: int, beat: int) -> list[NodeSession] | None:
        """Take over ``node`` as it was read, and all of its sessions; ``epoch`` and ``beat`` are ours, and the beat is
        one more then. None, and nothing is changed: it lives, or another peer was faster, or our own life is over.
        """

        def work(link: DatabaseLink) -> SessionRows | None:
            with _in_step(link):
                link.begin()
                changed = link.change(
                    f"UPDATE janus_node SET beat = ? {_AS_SEEN}", beat + 1, self._cluster, self.node_id, epoch, beat
                )
                taken = changed and link.change(
                    f"UPDATE janus_node SET epoch = ?, state = ? {_AS_SEEN}",
                    *(self._next_epoch(link), int(NodeState.TAKEN), self._cluster, *_as_seen(node)),
                )
                if not taken:
                    link.undo()
                    return None
                moved = self._moved(link, node.node_id)
                link.commit()
            return moved

        try:
            moved = await self._db.visit(work)
        except Duplicate:
            return None
        return None if moved is None else self._told(moved)

    async def rest(self, node: Node, epoch: int) -> list[NodeSession]:
        """The sessions that were written under ``node``, which was taken over and is as it was left, after that: a
        write of its last moments may be committed late. They are ours now, as far as the life of this ``epoch`` is.
        """

        def work(link: DatabaseLink) -> SessionRows:
            with _in_step(link):
                if not link.rows(f"SELECT 1 FROM {SESSIONS} {_OF_NODE} LIMIT 1", self._cluster, node.node_id):
                    return SessionRows([], [])
                link.begin()
                life = "SELECT 1 FROM janus_node WHERE cluster_id = ? AND node_id = ? AND epoch = ? AND state"
                live = link.locked(f"{life} <> ?", self._cluster, self.node_id, epoch, int(NodeState.TAKEN))
                over = link.locked(f"{life} = ?", self._cluster, node.node_id, node.epoch, int(NodeState.TAKEN))
                moved = self._moved(link, node.node_id) if live and over else SessionRows([], [])
                link.commit()
            return moved

        return self._told(await self._db.visit(work))

    def _moved(self, link: DatabaseLink, node_id: int) -> SessionRows:
        """A node's sessions, ours now: those that are read are those that move, as nobody writes one in between."""
        moved = session_rows(
            link.locked(f"SELECT {_COLUMNS[SESSIONS]} FROM {SESSIONS} {_OF_NODE}", self._cluster, node_id)
        )
        link.change(f"UPDATE {SESSIONS} SET node_id = ? {_OF_NODE}", self.node_id, self._cluster, node_id)
        return moved

    def _told(self, moved: SessionRows) -> list[NodeSession]:
        self._faulty_sessions.tell(moved.faults)
        return moved.sessions

    async def release(self, epoch: int, state: NodeState = NodeState.OVER) -> bool:
        """Say that the process of this epoch is over. False: that is known, or the epoch is another one."""

        def work(link: DatabaseLink) -> bool:
            sql = (
                "UPDATE janus_node SET state = ? WHERE cluster_id = ? AND node_id = ? AND epoch = ? AND state IN (?, ?)"
            )
            running = (int(NodeState.DRAINING), int(NodeState.ACTIVE))
            return link.change(sql, int(state), self._cluster, self.node_id, epoch, *running) == 1

        return await self._db.visit(work, again=True)

    def _next_epoch(self, link: DatabaseLink) -> int:
        """More than any. Two that find the same at the same time meet at the UNIQUE constraint."""
        return 1 + nodes_in(link.rows, self._cluster).newest


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

        def work(link: DatabaseLink) -> SessionRows:
            with _in_step(link):
                sql = f"SELECT {_COLUMNS[SESSIONS]} FROM {SESSIONS} {_OF_NODE}"
                return session_rows(link.rows(sql, self._cluster, self._me))

        found = await self._db.visit(work, again=True)
        self._faulty.tell(found.faults)
        return found.sessions


_AS_SEEN = "WHERE cluster_id = ? AND node_id = ? AND epoch = ? AND beat = ?"
_OF_NODE = "WHERE cluster_id = ? AND node_id = ?"
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


def _as_seen(node: Node) -> tuple[int, int, int]:
    return node.node_id, node.epoch, node.beat


def _batches(sessions: Sequence[NodeSession]) -> Iterator[Sequence[NodeSession]]:
    return (sessions[start : start + BATCH] for start in range(0, len(sessions), BATCH))


def _which(some: Sequence[NodeSession]) -> tuple[str, list[int | str]]:
    """These rows, of any node."""
    keys = [value for one in some for value in (one.session_id, one.janus_id)]
    return "(" + " OR ".join(["(session_id = ? AND janus_id = ?)"] * len(some)) + ")", keys


@contextmanager
def _in_step(link: DatabaseLink) -> Iterator[None]:
    """What other hosts of a Galera cluster have committed is seen in the block; other databases lack the word."""
    try:
        link.rows("SET SESSION wsrep_sync_wait = 1")
    except TableRefused:
        yield
    else:
        yield
        link.rows("SET SESSION wsrep_sync_wait = DEFAULT")
