"""A connection to the cluster's database that is kept: short visits, one at a time, each with an end.

Owns the connection, the threads and the deadlines. Must not know the statements (cluster_tables) or what follows from
them. A visit that fails has its connection closed: what it did then, nobody knows, unless the error says so. The next
visit begins with the next host.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import trio

from bridge.errors import TableUnavailable
from bridge.transport.db import MOST_THREADS, Database
from bridge.transport.db_visit import Ending, ended_by

T = TypeVar("T")


class DatabaseLink(Protocol):
    """An open connection: MysqlLink or SqliteLink."""

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]: ...
    def change(self, sql: str, *values: Any) -> int: ...
    def begin(self) -> None: ...
    def locked(self, sql: str, *values: Any) -> list[tuple[Any, ...]]: ...
    def commit(self) -> None: ...
    def undo(self) -> None: ...
    def shut(self) -> None: ...
    def close(self) -> None: ...


class ClusterDb:
    """``patience``: seconds for each visit, connecting and waiting for its turn included. Errors are TableUnavailable
    and its subclasses, with one line that begins with the URL (less its password).
    """

    def __init__(self, database: Database, patience: float) -> None:
        self._url = database.url
        self._hosts = database.hosts
        self.patience = patience
        self._turn = trio.Lock()
        self._threads = trio.CapacityLimiter(MOST_THREADS)
        self._link: DatabaseLink | None = None

    async def visit(self, work: Callable[[DatabaseLink], T], *, again: bool = False) -> T:
        """What ``work`` returns; outside a transaction each of its statements is one. ``again``: it may be done twice,
        so that a connection which the server had closed meanwhile is no failure.
        """
        try:
            with trio.fail_after(self.patience):
                async with self._turn:
                    kept = self._link is not None
                    try:
                        return await self._once(work)
                    except TableUnavailable:
                        if not (again and kept):
                            raise
                        return await self._once(work)
        except trio.TooSlowError:
            raise TableUnavailable(f"{self._url}: no answer within {self.patience:g} s") from None
        except TableUnavailable as exc:
            raise type(exc)(f"{self._url}: {exc}") from None

    async def _once(self, work: Callable[[DatabaseLink], T]) -> T:
        ending, link = Ending(), self._link
        self._link = None

        def give_back(used: DatabaseLink) -> None:
            self._link = used

        def run() -> T:
            used: DatabaseLink = link if link is not None else self._hosts.visit(lambda host: host.open(ending))
            try:
                with ended_by(ending, used.shut):
                    result = work(used)
            except BaseException:
                used.close()
                raise
            if not ending.keep(lambda: give_back(used)):
                used.close()
            return result

        try:
            return await trio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._threads)
        except BaseException:
            ending.now()
            self._hosts.next()
            raise

    def close(self) -> None:
        """For good. The server may not hear of it."""
        link, self._link = self._link, None
        if link is not None:
            with suppress(TableUnavailable):
                link.close()
