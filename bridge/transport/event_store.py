"""The log of events on the disk: ``events.db`` in the state directory, an SQLite database in WAL mode.

Owns the file, its version, and what becomes of one that cannot be used: it is set aside as ``events.db.aside``, told,
and begun anew. Must not know who reads, or when. Authority: contract 12; sqlite.org/wal.html, pragma.html#synchronous.

One connection writes and one reads, each in one worker thread at a time: a disk that hangs holds a thread, and never
the event loop. ``full``: a write that has returned is on the disk (fsync of the WAL); else it survives the process, and
not a power failure.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import trio

from bridge.protocol.event_record import (
    EventRecord,
    GatewayEvents,
    LogPage,
    OutletState,
    StoreAnew,
    StoreContents,
    StoreFailed,
)
from bridge.throttle import Throttle
from bridge.transport import event_file, event_left, event_pages
from bridge.transport.event_file import BUSY, NOT_AS_WRITTEN, Unusable, damage_of
from bridge.transport.event_rows import SubscriberRows, read_all
from bridge.transport.event_spare import Spare, is_full
from bridge.transport.log_time import LogTime
from bridge.transport.steady_clock import SteadyClock

log = logging.getLogger("bridge.evi")

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

LONG_WAL = 64 << 20  # bytes: longer than it ever gets while nobody keeps an old state of the database


class EventStore:
    """``open`` first. ``path`` is the database; ``clock`` gives unix seconds without steps, ``wall`` as they are
    set now; ``most_wal``: bytes that its WAL may take.
    """

    def __init__(
        self,
        path: Path,
        *,
        full: bool,
        clock: Callable[[], float] | None = None,
        wall: Callable[[], float] = time.time,
        most_wal: int = 1 << 30,
    ) -> None:
        self._path = path
        self._full = full
        self._time = LogTime(clock or SteadyClock(), wall)
        self._most_wal = max(most_wal, LONG_WAL)
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writing, self._reading = trio.CapacityLimiter(1), trio.CapacityLimiter(1)
        self._damage, self._is_aside = "", False  # what a reader found, and whether only its successor is missing
        self._rows = SubscriberRows()
        self._spare = Spare(path)
        self._lines = Throttle(60.0)
        self._first = self._last = self._bytes = self._wal = 0

    def open(self) -> StoreContents:
        """Open it, or begin it anew; nothing else runs yet. Raises StoreFailed: it can be neither."""
        try:
            try:
                return self._open()
            except (sqlite3.Error, *NOT_AS_WRITTEN) as exc:
                if (damage := damage_of(exc)) is not None:
                    self._set_aside(damage)
                elif not (is_full(exc) and self._spare.give()):
                    raise
            return self._open()
        except (sqlite3.Error, OSError) as exc:
            self.close()
            raise StoreFailed(event_file.words_of(self._path, exc)) from None

    async def write(
        self, pages: Sequence[LogPage], outlets: Sequence[OutletState], gone: Sequence[str], cut: int
    ) -> None:
        """In one transaction. Raises StoreFailed, StoreAnew."""
        await self._in_thread(self._writing, self._write, pages, outlets, gone, cut)

    async def read(self, after: int, upto: int) -> tuple[list[EventRecord], int]:
        """A page. Raises StoreFailed."""
        return await self._read(event_pages.read, after, upto)

    async def replay(self, janus_id: str, epoch: int, n: int, limit: int) -> list[EventRecord]:
        """The first events of a gateway from a number on; fewer where they are large. Raises StoreFailed."""
        return await self._read(event_pages.replay, janus_id, epoch, n, limit)

    async def place_of(self, epoch: int, n: int) -> int | None:
        """Before the first event that is numbered so or later. Raises StoreFailed."""
        return await self._read(event_pages.place_of, epoch, n)

    async def gateways(self) -> list[GatewayEvents]:
        """What it has of each gateway. Raises StoreFailed."""
        return await self._read(event_pages.gateways)

    async def overdue(self, age: float, size: int) -> tuple[int, str] | None:
        """Up to where it should be cut now, and why. Raises StoreFailed."""
        return await self._read(self._overdue, age, size)

    async def leave(self, outlets: Sequence[OutletState]) -> None:
        """Beside the database, which does not take it now: what the next one that opens it is to know. Raises
        StoreFailed.
        """
        await self._in_thread(trio.CapacityLimiter(1), event_left.leave, self._path, outlets)

    def figures(self) -> tuple[int, int]:
        """Events and bytes; with those of the WAL."""
        return (self._last - self._first + 1 if self._last else 0), self._bytes + self._wal

    def close(self) -> None:
        """Close the database; not while a thread is still in it, which would be the end of the process."""
        if self._writing.borrowed_tokens or self._reading.borrowed_tokens:
            return  # what is out keeps this store, and so its connections
        for connection in (self._reader, self._writer):  # the writer last: it merges the WAL into the file
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    # In threads

    async def _read(self, work: Callable[[sqlite3.Connection, *_Ts], _T], *args: *_Ts) -> _T:
        def in_thread() -> _T:
            reader = self._connected(self._reader)
            reader.execute("BEGIN")  # what is cut meanwhile is there until the end of it, and no damage
            try:
                return work(reader, *args)
            finally:
                reader.rollback()

        return await self._in_thread(self._reading, in_thread)

    async def _in_thread(self, limiter: trio.CapacityLimiter, work: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        try:
            return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=limiter)
        except StoreFailed:
            raise
        except Exception as exc:  # noqa: BLE001 - a row of any kind costs a failure that is told, and no task
            if limiter is self._reading and (damage := damage_of(exc)) is not None:
                self._damage = damage  # the next write sets the file aside
            raise StoreFailed(event_file.words_of(self._path, exc)) from None

    def _write(self, pages: Sequence[LogPage], outlets: Sequence[OutletState], gone: Sequence[str], cut: int) -> None:
        if self._damage:
            raise self._anew(self._damage)
        try:
            self._transact(pages, outlets, gone, cut)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as exc:
            if (damage := damage_of(exc)) is not None:
                raise self._anew(damage) from None
            if not (cut and is_full(exc) and self._spare.give()):
                raise
            self._transact(pages, outlets, gone, cut)

    def _transact(
        self, pages: Sequence[LogPage], outlets: Iterable[OutletState], gone: Iterable[str], cut: int
    ) -> None:
        writer = self._connected(self._writer)
        if self._wal > LONG_WAL:
            self._shorten_wal(writer)
        self._spare.require_room(writer, pages)
        if pages and not (outlets or gone or cut or len(pages) > event_pages.AT_ONCE):
            event_pages.insert(writer, pages, self._time.now())  # a transaction of its own
        else:
            self._transact_all(writer, pages, outlets, gone, cut)
        if pages:
            self._first, self._last = self._first or pages[0].first, pages[-1].last
        if cut:
            if self._spare.given:  # what was freed is to take what comes, and the WAL to begin again
                writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._first, self._last = event_pages.bounds(writer)
            self._weigh(writer)

    def _transact_all(
        self,
        writer: sqlite3.Connection,
        pages: Sequence[LogPage],
        outlets: Iterable[OutletState],
        gone: Iterable[str],
        cut: int,
    ) -> None:
        writer.execute("BEGIN IMMEDIATE")
        try:
            event_pages.insert(writer, pages, self._time.now())
            for state in outlets:
                self._keep(writer, state)
            self._rows.delete(writer, gone)
            if cut:
                event_pages.delete(writer, cut)
            writer.execute("COMMIT")
        except BaseException:
            self._rows.rolled_back()
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise

    def _keep(self, writer: sqlite3.Connection, state: OutletState) -> None:
        """One that cannot be kept costs no other, and no event, its place."""
        try:
            self._rows.keep(writer, state)
        except (ValueError, TypeError, OverflowError) as exc:
            if self._lines.due(f"{state.name}: {exc}", time.monotonic()):
                log.error("%s: the place of the subscriber %r cannot be kept: %s", self._path, state.name, exc)

    def _weigh(self, connection: sqlite3.Connection) -> None:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        self._bytes = (pages - free) * size
        try:
            self._wal = os.stat(f"{self._path}-wal").st_size
        except OSError:
            self._wal = 0

    def _shorten_wal(self, writer: sqlite3.Connection) -> None:
        """Who keeps a transaction open in the database, keeps its WAL from being used again. Raises sqlite3.Error."""
        writer.execute("PRAGMA busy_timeout = 0")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        writer.execute(f"PRAGMA busy_timeout = {BUSY * 1000}")
        self._weigh(writer)
        if self._wal <= LONG_WAL:
            return
        words = f"another program keeps a transaction open in it, so that its WAL has {self._wal >> 20} MiB"
        if self._wal > self._most_wal:
            raise sqlite3.OperationalError(words)
        if self._lines.due("wal", time.monotonic()):
            log.warning("%s: %s; end that program", self._path, words)

    def _overdue(self, connection: sqlite3.Connection, age: float, size: int) -> tuple[int, str] | None:
        self._weigh(connection)
        self._spare.take()
        if cut := self._time.overdue(connection, age):
            return cut, "store_age"
        if self._bytes <= size or not self._last:  # subscribers' rows may take all of it
            return None
        events, _ = self.figures()
        return event_pages.beyond(connection, 1 + events * (self._bytes - size) // self._bytes), "store_bytes"

    # The file

    def _open(self) -> StoreContents:
        self._writer = writer = event_file.open_own(self._path, full=self._full)
        self._reader = event_file.open_another(self._path, full=self._full)
        self._damage = ""
        self._rows.rolled_back()
        self._first, self._last = event_pages.bounds(writer)
        self._weigh(writer)
        self._time.begin(writer)
        epoch = event_pages.newest_epoch(writer)
        for state in event_left.left(self._path):
            self._keep(writer, state)
        event_left.forget(self._path)
        try:
            outlets = tuple(read_all(writer))
        except ValueError:
            raise Unusable("a row of janus_subscriber is damaged") from None
        end = max([self._last, *(state.position for state in outlets)])
        return StoreContents(end, epoch, outlets)

    def _connected(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise sqlite3.OperationalError("it is closed")
        return connection

    def _anew(self, reason: str) -> StoreFailed:
        """Set aside, in the writer's thread, while nobody can be sure of what a reader finds."""
        try:
            if not self._is_aside:
                self._set_aside(reason)
            self._is_aside = True  # what is there from now on is begun anew, and replaces no file with events
            self._open()
            self._is_aside = False
        except (sqlite3.Error, OSError) as exc:
            self._damage = reason
            return StoreFailed(event_file.words_of(self._path, exc))
        return StoreAnew(f"{self._path}: {reason}; it was set aside")

    def _set_aside(self, reason: str) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = self._reader = None  # somebody may be reading: whoever lets go of it last, closes it
        event_file.set_aside(self._path, reason)
