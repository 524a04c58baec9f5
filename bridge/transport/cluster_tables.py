"""The table ``janus_node``: what a bridge says of itself there, and what it reads and takes of the others.

Owns the statements, and which of them are one transaction. Must not know when they are made, or what follows from their
answers. Every change of a node is a compare-and-set on its epoch and beat: who is late changes nothing, and sees it.
No time is ever compared. Authority: contract 11; Galera's documentation on certification and ``wsrep_sync_wait``.
"""

from contextlib import nullcontext

from bridge.errors import TableRefused, WrongTableVersion
from bridge.protocol.cluster import Node, NodeSession, NodeState
from bridge.transport.cluster_db import ClusterDb, DatabaseLink
from bridge.transport.cluster_rows import FaultyRows, NodeRows, SessionRows, node_rows
from bridge.transport.cluster_session_table import OF_NODE, SESSION_COLUMNS, SESSIONS, in_step, move_page
from bridge.transport.db import Database, script_of
from bridge.transport.db_sql import Duplicate, Execute, NoSuchTable, NoVersion, VersionedTable

NODES = "janus_node"
_COLUMNS = {NODES: "node_id, SUBSTR(url, 1, 256), epoch, beat, state", SESSIONS: SESSION_COLUMNS}


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

    async def nodes(self, *, as_of_now: bool = False) -> list[Node]:
        """All of the cluster, ourselves included; ``as_of_now``: wherever they were written. Raises TableRefused where
        our own row means nothing.
        """

        def work(link: DatabaseLink) -> NodeRows:
            with in_step(link) if as_of_now else nullcontext():
                return nodes_in(link.rows, self._cluster)

        nodes, faults, self.newest = await self._db.visit(work, again=True)
        self._faulty.tell(faults)
        for fault in faults:
            if fault.node_id == self.node_id:
                raise TableRefused(f"{NODES}: {fault.text}; correct or delete it in SQL")
        return nodes

    async def enter(self, url: str, epoch: int, seen: Node | None) -> int | None:
        """Begin a life of this epoch, which has to be larger than any other; the beat with which it does. ``seen``: our
        row as it was read, None if there was none. None: one of the two is otherwise now; look again.
        """

        def work(link: DatabaseLink) -> int | None:
            link.begin()
            beat = 1 if seen is None else seen.beat + 1
            if epoch < self._next_epoch(link):
                link.undo()
                return None
            if seen is None:
                self._insert(link, url, NodeState.ACTIVE, epoch, beat)
            elif not link.change(
                f"UPDATE janus_node SET url = ?, state = ?, epoch = ?, beat = ? {_AS_SEEN}",
                *(url, int(NodeState.ACTIVE), epoch, beat, self._cluster, *_as_seen(seen)),
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

    async def enter_again(self, url: str, epoch: int, beat: int, state: NodeState) -> bool:
        """Put our row back as our next beat would leave it. False: there is one, or the epoch is another one's."""
        try:
            await self._db.visit(lambda link: self._insert(link, url, state, epoch, beat + 1))
        except Duplicate:
            return False
        return True

    def _insert(self, link: DatabaseLink, url: str, state: NodeState, epoch: int, beat: int) -> None:
        link.change(
            "INSERT INTO janus_node (cluster_id, node_id, url, state, epoch, beat) VALUES (?, ?, ?, ?, ?, ?)",
            *(self._cluster, self.node_id, url, int(state), epoch, beat),
        )

    async def take(self, node: Node, epoch: int, beat: int) -> list[NodeSession] | None:
        """Take over ``node`` as it was read, and a page of its sessions, of which ``rest`` has more; ``epoch`` and
        ``beat`` are ours, and the beat is one more then. None, and nothing is changed: it lives, or another peer was
        faster, or our own life is over.
        """

        def work(link: DatabaseLink) -> SessionRows | None:
            with in_step(link):
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
                moved = move_page(link, self._cluster, node.node_id, self.node_id)
                link.commit()
            return moved

        try:
            moved = await self._db.visit(work)
        except Duplicate:
            return None
        return None if moved is None else self._told(moved)

    async def rest(self, node: Node, epoch: int) -> list[NodeSession]:
        """A page of the sessions that ``node``, which was taken over and is as it was left, has still: of many, and
        what a write of its last moments has committed late. They are ours now, as far as the life of this ``epoch`` is.
        """

        def work(link: DatabaseLink) -> SessionRows:
            with in_step(link):
                if not link.rows(f"SELECT 1 FROM {SESSIONS} {OF_NODE} LIMIT 1", self._cluster, node.node_id):
                    return SessionRows([], [])
                link.begin()
                life = "SELECT 1 FROM janus_node WHERE cluster_id = ? AND node_id = ? AND epoch = ? AND state"
                live = link.locked(f"{life} <> ?", self._cluster, self.node_id, epoch, int(NodeState.TAKEN))
                over = link.locked(f"{life} = ?", self._cluster, node.node_id, node.epoch, int(NodeState.TAKEN))
                moved = (
                    move_page(link, self._cluster, node.node_id, self.node_id) if live and over else SessionRows([], [])
                )
                link.commit()
            return moved

        return self._told(await self._db.visit(work))

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


_AS_SEEN = "WHERE cluster_id = ? AND node_id = ? AND epoch = ? AND beat = ?"


def _as_seen(node: Node) -> tuple[int, int, int]:
    return node.node_id, node.epoch, node.beat
