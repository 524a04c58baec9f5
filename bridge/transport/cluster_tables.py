"""The tables ``janus_node`` and ``janus_session``: what a bridge says of itself there, and what it reads of the others.

Owns the statements, and which of them are one transaction. Must not know when they are made, or what follows from their
answers. Every change of a node is a compare-and-set on its epoch and beat: who is late changes nothing, and sees it.
No time is ever compared. Authority: contract 11; Galera's documentation on certification and ``wsrep_sync_wait``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bridge.errors import TableRefused
from bridge.protocol.cluster import Node, NodeSession, NodeState
from bridge.transport.cluster_db import ClusterDb, DatabaseLink
from bridge.transport.db import Database, script_of
from bridge.transport.db_sql import Duplicate, Execute, VersionedTable, as_text

BATCH = 200  # rows a statement


class ClusterTables:
    """That they are there, and of which version. ``version_table`` as of [janus]."""

    def __init__(self, version_table: str) -> None:
        self._tables = [VersionedTable(name, name, version_table) for name in ("janus_node", "janus_session")]

    async def create(self, database: Database) -> bool:
        """Create what is missing; whether anything was. Raises TableUnavailable, WrongTableVersion."""
        script = script_of("janus_cluster", database.url)
        return await database.visit(
            "create", lambda execute: any([table.create(execute, script) for table in self._tables])
        )

    def check(self, execute: Execute) -> None:
        """Raises WrongTableVersion."""
        for table in self._tables:
            table.check(execute)


class NodeTable:
    """``janus_node``, as one node uses it."""

    def __init__(self, db: ClusterDb, cluster_id: int, node_id: int, version_table: str = "version") -> None:
        self._db = db
        self._cluster = cluster_id
        self.node_id = node_id
        self._tables = ClusterTables(version_table)

    async def check(self) -> None:
        """Raises WrongTableVersion."""
        await self._db.visit(lambda link: self._tables.check(link.rows), again=True)

    async def nodes(self) -> list[Node]:
        """All of the cluster, ourselves included. A state that is none of ours is shown as TAKEN, so that nobody takes
        that node; its epoch counts all the same.
        """
        return await self._db.visit(self._nodes, again=True)

    def _nodes(self, link: DatabaseLink) -> list[Node]:
        sql = "SELECT node_id, SUBSTR(url, 1, 256), epoch, beat, state FROM janus_node WHERE cluster_id = ?"
        return [
            Node(node_id, as_text(url), epoch, beat, NodeState(state) if state in _STATES else NodeState.TAKEN)
            for node_id, url, epoch, beat, state in link.rows(sql, self._cluster)
        ]

    async def enter(self, url: str, epoch: int, seen: Node | None) -> int | None:
        """Begin a life of this epoch, which has to be larger than any other; the beat with which it does. ``seen``: our
        row as it was read, None if there was none. None: one of the two is otherwise now; look again.
        """

        def work(link: DatabaseLink) -> int | None:
            link.begin()
            beat, active = 1 if seen is None else seen.beat + 1, int(NodeState.ACTIVE)
            if epoch < self._next_epoch(link):
                return self._nothing(link)
            if seen is None:
                link.change(
                    "INSERT INTO janus_node (cluster_id, node_id, url, state, epoch, beat) VALUES (?, ?, ?, ?, ?, ?)",
                    *(self._cluster, self.node_id, url, active, epoch, beat),
                )
            elif not link.change(
                f"UPDATE janus_node SET url = ?, state = ?, epoch = ?, beat = ? {_AS_SEEN}",
                *(url, active, epoch, beat, self._cluster, *_as_seen(seen)),
            ):
                return self._nothing(link)
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

        def work(link: DatabaseLink) -> list[NodeSession] | None:
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
                    return self._nothing(link)
                sessions = _sessions(link, self._cluster, node.node_id)
                link.change(
                    "UPDATE janus_session SET node_id = ? WHERE cluster_id = ? AND node_id = ?",
                    *(self.node_id, self._cluster, node.node_id),
                )
                link.commit()
            return sessions

        try:
            return await self._db.visit(work)
        except Duplicate:
            return None

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
        [(newest,)] = link.rows("SELECT MAX(epoch) FROM janus_node WHERE cluster_id = ?", self._cluster)
        return int(newest or 0) + 1

    @staticmethod
    def _nothing(link: DatabaseLink) -> None:
        link.rows("ROLLBACK")


class SessionTable:
    """``janus_session``, as one node uses it."""

    def __init__(self, db: ClusterDb, cluster_id: int, node_id: int) -> None:
        self._db = db
        self._cluster = cluster_id
        self._me = node_id

    async def write(self, sessions: Sequence[NodeSession]) -> None:
        """These are ours, whoever had them."""

        def work(link: DatabaseLink) -> None:
            for some in _batches(sessions):
                values = [
                    value
                    for one in some
                    for value in (
                        self._cluster,
                        one.session_id,
                        one.janus_id,
                        one.janus_url,
                        self._me,
                        int(one.managed),
                    )
                ]
                link.change(f"{_REPLACE} {', '.join(['(?, ?, ?, ?, ?, ?)'] * len(some))}", *values)

        await self._db.visit(work, again=True)

    async def end(self, sessions: Sequence[NodeSession]) -> None:
        """These are over; what a peer has meanwhile stays."""

        def work(link: DatabaseLink) -> None:
            for some in _batches(sessions):
                which = " OR ".join(["(session_id = ? AND janus_id = ?)"] * len(some))
                values = [value for one in some for value in (one.session_id, one.janus_id)]
                sql = f"DELETE FROM janus_session WHERE cluster_id = ? AND node_id = ? AND ({which})"
                link.change(sql, self._cluster, self._me, *values)

        await self._db.visit(work, again=True)

    async def ours(self) -> list[NodeSession]:
        """All that we have, as of now wherever it was written."""

        def work(link: DatabaseLink) -> list[NodeSession]:
            with _in_step(link):
                return _sessions(link, self._cluster, self._me)

        return await self._db.visit(work, again=True)


_STATES = frozenset(NodeState)
_AS_SEEN = "WHERE cluster_id = ? AND node_id = ? AND epoch = ? AND beat = ?"
_REPLACE = "REPLACE INTO janus_session (cluster_id, session_id, janus_id, janus_url, node_id, managed) VALUES"


def _as_seen(node: Node) -> tuple[int, int, int]:
    return node.node_id, node.epoch, node.beat


def _batches(sessions: Sequence[NodeSession]) -> Iterator[Sequence[NodeSession]]:
    return (sessions[start : start + BATCH] for start in range(0, len(sessions), BATCH))


def _sessions(link: DatabaseLink, cluster: int, node_id: int) -> list[NodeSession]:
    sql = "SELECT janus_id, janus_url, session_id, managed FROM janus_session WHERE cluster_id = ? AND node_id = ?"
    return [
        NodeSession(as_text(janus_id), as_text(janus_url), session_id, bool(managed))
        for janus_id, janus_url, session_id, managed in link.rows(sql, cluster, node_id)
    ]


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
