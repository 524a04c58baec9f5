"""A database, and in it the ``janus`` table: its rows, and the changes that ``janus-bridge db`` makes.

Owns the deadline and the threads: every visit to the database is made in a worker thread, one at a time, so that a hung
database costs one thread and nobody's time but its caller's (contract 4.3, 5.2). At the deadline the work is ended, not
abandoned: the socket is shut, SQLite interrupted. A thread that does not end all the same (in a name look-up, on a disk
that hangs) is in nobody's way: the next visit takes another. Where the URL names several hosts, they are tried in turn.
Engines are in db_mysql and db_sqlite, statements in db_sql. Must not know what a row means.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import trio

from bridge.errors import TableUnavailable
from bridge.protocol.db_url import DbUrl, MysqlUrl
from bridge.protocol.gateway import TableRow
from bridge.transport.db_access import MysqlAccess
from bridge.transport.db_hosts import HostsInTurn
from bridge.transport.db_sql import Engine, Execute, Mode, Statements
from bridge.transport.db_sqlite import SqliteEngine
from bridge.transport.db_visit import Ending

if TYPE_CHECKING:
    from bridge.transport.db_mysql import MysqlEngine

T = TypeVar("T")

DEADLINE = 10.0  # seconds for one visit, connecting and waiting for its turn included
MOST_THREADS = 4  # one, and three that hang
NOTHING = MysqlAccess()


def script_of(what: str, url: DbUrl) -> str:
    """The file in ``sql/`` that creates tables in this kind of database."""
    return f"{what}-create.{'mysql' if isinstance(url, MysqlUrl) else 'sqlite'}.sql"


def hosts_of(url: DbUrl, patience: float, access: MysqlAccess) -> "HostsInTurn[MysqlEngine | SqliteEngine]":
    """The engines of a URL, one a host. ``patience``: seconds to wait for each single answer."""

    def engine(one: DbUrl) -> "MysqlEngine | SqliteEngine":
        if not isinstance(one, MysqlUrl):
            return SqliteEngine(one, patience)
        from bridge.transport.db_mysql import MysqlEngine  # its driver is a seventh of a start, which SQLite needs not

        return MysqlEngine(one, patience, access)

    return HostsInTurn([(one.place, engine(one)) for one in url.each])


class Database:
    """The database at a URL, for visits that connect anew. Errors are TableUnavailable and its subclasses, with one
    line that begins with the URL (less its password).
    """

    def __init__(self, url: DbUrl, access: MysqlAccess = NOTHING, *, deadline: float = DEADLINE) -> None:
        """``access`` is of MySQL only, and its files are read at every visit. ``deadline`` in seconds."""
        self.url = url
        self._deadline = deadline
        # Half of the deadline for each single answer: a visit given up soon gives its thread back too. And less where
        # another host is to have its turn.
        patience = deadline / (1 + len(url.each))
        self.hosts = hosts_of(url, patience, access)
        self._turn = trio.Lock()
        self.threads = trio.CapacityLimiter(MOST_THREADS)

    async def visit(self, mode: Mode, work: Callable[[Execute], T]) -> T:
        """What ``work`` returns, whose statements are one transaction."""
        ending = Ending()

        def at(engine: Engine) -> T:
            with engine.session(mode, ending) as execute:
                return work(execute)

        def visit() -> T:
            return self.hosts.visit(at, again=mode == "read")

        try:
            with trio.fail_after(self._deadline):
                async with self._turn:
                    try:
                        return await trio.to_thread.run_sync(visit, abandon_on_cancel=True, limiter=self.threads)
                    finally:
                        ending.now()
        except trio.TooSlowError:
            self.hosts.next()  # this one hangs, in the look-up of its name for example
            raise TableUnavailable(f"{self.url}: no answer within {self._deadline:g} s") from None
        except TableUnavailable as exc:
            raise type(exc)(f"{self.url}: {exc}") from None


class JanusTable:
    """The table in a database. Every method raises TableUnavailable, TableRefused or WrongTableVersion."""

    def __init__(
        self,
        url: DbUrl,
        table: str = "janus",
        version_table: str = "version",
        *,
        access: MysqlAccess = NOTHING,
        deadline: float = DEADLINE,
    ) -> None:
        """The rest as of Database. Raises ValueError for a table name that is no SQL identifier."""
        self._database = Database(url, access, deadline=deadline)
        self._statements = Statements(table, version_table)
        self.threads = self._database.threads
        self.name = f"{url} {table}"
        self.sources = tuple(f"{one} {table}" for one in url.each)

    async def rows(self) -> list[TableRow]:
        """Every row, by id, after the version was checked."""
        return await self._database.visit("read", self._statements.rows)

    async def create(self) -> bool:
        """Create what is missing of file, version table, version row and table; whether anything was."""
        script = script_of("janus", self._database.url)
        return await self._database.visit("create", lambda execute: self._statements.create(execute, script))

    async def add(self, janus_id: str, janus_url: str) -> int | None:
        """Insert a row; its id, or None (and nothing is changed) if one with this janus_id is there."""
        return await self._database.visit("write", lambda execute: self._statements.add(execute, janus_id, janus_url))

    async def change(self, janus_id: str, janus_url: str) -> list[int]:
        """Give every row with this janus_id a new URL; their ids, none if there is no such row."""
        change = self._statements.change
        return await self._database.visit("write", lambda execute: change(execute, janus_id, janus_url))

    async def remove(self, janus_id: str) -> list[int]:
        """Delete every row with this janus_id; their ids, none if there is no such row."""
        return await self._database.visit("write", lambda execute: self._statements.remove(execute, janus_id))
