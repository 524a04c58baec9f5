"""The log of events: a list, of which the disk has the beginning, and memory the end (``Tail``).

Owns what of it may be read, and who reads where. Must not know files (a ``Store`` does), when they are written
(``LogWriter``) or sockets. Authority: contract 12; ``[events] store`` and its kin.

``append`` gives each event the next position and never waits. An outlet is a cursor (``LogCursor``) and reads on from
where it is, from memory as long as that has it, else from the disk. What the disk does not take stays in memory,
bounded as a queue is, and goes to outlets all the same; from there the oldest is let go, counted as ``store_full`` and
told to those who miss it.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.core.event_cursor import LogCursor
from bridge.core.event_drops import Drops
from bridge.core.event_tail import Tail
from bridge.core.stats import Stats
from bridge.protocol.event_payload import Params
from bridge.protocol.event_record import (
    EventRecord,
    LogPage,
    NamedSubscription,
    OutletState,
    Store,
    StoreContents,
    StoreFailed,
    row_of,
)
from bridge.protocol.humanize import plural

log = logging.getLogger("bridge.evi")

BATCH = 4096  # events in one write, and a page beyond


class LogLimits(NamedTuple):
    """What may wait for the disk, in events and bytes, beside what it is just being given. ``full``: outlets get only
    what the disk has.
    """

    events: int = 65_536
    bytes: int = 64 << 20
    full: bool = False


class EventLog:
    """``trouble``: why the disk takes nothing now; the writer says so."""

    def __init__(
        self,
        store: Store,
        contents: StoreContents,
        stats: Stats,
        epoch: int,
        limits: LogLimits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``contents``: what the store had when it was opened. ``clock`` gives unix seconds."""
        self._store = store
        self._stats = stats
        self._full = limits.full
        self.epoch = epoch
        self._clock = clock
        self._tail = Tail(contents.end, limits.events, limits.bytes)
        self._known = {state.name: state for state in contents.outlets}
        self.outlets: dict[str, LogCursor] = {}
        self.gone: set[str] = set()  # outlets that the store is to forget
        self.work, self.urgent = AutoResetEvent(), AutoResetEvent()  # for the writer; urgent: more than cursors
        self._progress = trio.Event()
        self._hurried = False  # the writer knows of what waits
        self.doubtful = False  # the disk could not be read: a write shows whether that is damaged
        self.trouble: str | None = None
        self._raised: dict[tuple[str, int], float] = {}  # the next event of an outlet at a place, on the loop's clock

    def append(self, name: str, params: Params, origin: str | None, n: int) -> None:
        """Keep an event, the ``n``-th of its gateway; never waits."""
        row = row_of(self._clock(), name, params, origin, 0 if origin is None else self.epoch, n)
        if self._tail.add(row):
            self._make_room()
        if not self._hurried:
            self.hurry()
        if not self._full or self.trouble is not None:
            for cursor in self.outlets.values():
                cursor.wake()

    @property
    def end(self) -> int:
        """The position of the newest event."""
        return self._tail.end

    @property
    def visible(self) -> int:
        """Up to where outlets may read."""
        return self._tail.saved if self._full and self.trouble is None else self._tail.end

    async def flushed(self) -> None:
        """Wait until outlets may read all there is now."""
        end = self.end
        while self.visible < end:
            await self._progress.wait()

    @property
    def waiting(self) -> int:
        """Events that the disk has not got."""
        return self._tail.end - self._tail.saved

    async def read(self, after: int, upto: int) -> tuple[list[EventRecord], int]:
        """The next page behind ``after``, up to ``upto`` at most, and how far that has looked. Raises StoreFailed."""
        end = min(self.visible, upto)
        if after >= end:
            return [], after
        first = self._tail.first
        if after + 1 >= first or after >= self._tail.saved:
            return self._tail.read(after, end)
        try:
            return await self._store.read(after, min(first - 1, end))
        except StoreFailed:
            self.doubtful = True
            self.hurry()
            raise

    # Outlets

    def outlet(self, name: str, drops: Drops, after: int | None = None) -> LogCursor:
        """The cursor of that name: where it was; a new one behind ``after``, or at the end."""
        cursor = self.outlets.get(name)
        if cursor is None:
            state = self._known.pop(name, OutletState(name, self.end if after is None else after))
            cursor = self.outlets[name] = LogCursor(state, self, drops)
        self.gone.discard(name)
        self.moved()
        return cursor

    def subscriptions(self) -> dict[str, NamedSubscription]:
        """Those of before, by name, that nobody has asked for."""
        return {name: one.subscription for name, one in self._known.items() if one.subscription is not None}

    async def place_of(self, epoch: int, n: int) -> int:
        """Behind where an outlet begins that wants what is numbered so or later: in memory, too, and at what comes next
        where there is none. Raises StoreFailed.
        """
        unsaved, end = self._unsaved(), self.end  # as of now: what comes while the disk is asked is behind that
        wanted = (one.position - 1 for one in unsaved if one.origin is not None and (one.epoch, one.n) >= (epoch, n))
        in_memory = next(wanted, end)
        on_disk = await self._store.place_of(epoch, n)
        return in_memory if on_disk is None else on_disk

    def forget(self, name: str) -> None:
        """Nobody will come back for that one."""
        self.outlets.pop(name, None)
        self._known.pop(name, None)
        self.gone.add(name)
        self.moved()

    def rename(self, name: str, new: str) -> None:
        """A cursor that nobody has named any more."""
        cursor = self.outlets.pop(name)
        cursor.name = new
        cursor.named(None)
        self.outlets[new] = cursor
        self.gone.add(name)
        self.gone.discard(new)

    def forget_others(self, names: Collection[str]) -> None:
        """Of those that the store knows, and nobody has asked for, only these are kept."""
        for name in set(self._known).difference(names):
            owed = self.end - self._known[name].position
            if owed:
                log.warning("%s is no longer subscribed: dropped %s", name, plural(owed, "undelivered event"))
            self.forget(name)

    def moved(self) -> None:
        """A cursor has moved."""
        self.work.set()

    def hurry(self) -> None:
        """There is something to write that should not wait."""
        self._hurried = True
        self.work.set()
        self.urgent.set()

    def wake(self) -> None:
        """There may be more to read."""
        for cursor in self.outlets.values():
            cursor.wake()

    def behind(self, cut: int) -> list[LogCursor]:
        """Those who have not got everything up to there."""
        return [cursor for cursor in self.outlets.values() if cursor.position < cut]

    def oldest(self) -> float:
        """Seconds since the oldest event was raised that an outlet is at. While it is at the same one, no step of the
        clock changes that.
        """
        now, wall, before = trio.current_time(), self._clock(), self._raised
        self._raised = {
            (cursor.name, cursor.position): now - max(0.0, wall - at)
            for cursor in self.outlets.values()
            if (at := cursor.oldest_at) is not None
        }
        self._raised.update((key, at) for key, at in before.items() if key in self._raised)
        return now - min(self._raised.values(), default=now)

    # For the writer

    def take(self, most: int) -> list[LogPage]:
        """The next ones for the disk. Then ``written`` or ``take_back``."""
        self._hurried = False
        return self._tail.take(most)

    def dirty(self) -> list[LogCursor]:
        """The cursors whose state the disk has not got; it gets it now."""
        moved = [cursor for cursor in self.outlets.values() if cursor.dirty]
        for cursor in moved:
            cursor.dirty = False
        return moved

    def written(self, pages: Sequence[LogPage]) -> None:
        """The disk has them."""
        self._tail.written(pages)
        self.doubtful = False
        self._tail.trim(min((cursor.read_to for cursor in self.outlets.values()), default=self.end))
        if not self._tail.is_written:
            self.hurry()
        self.progress()

    def progress(self) -> None:
        """More is visible than before."""
        self._progress.set()
        self._progress = trio.Event()
        self.wake()

    def take_back(self, moved: Sequence[LogCursor]) -> None:
        """The disk has them not."""
        self._tail.take_back()
        for cursor in moved:
            cursor.dirty = True
        self._make_room()

    def write_again(self) -> None:
        """The disk has nothing any more: it gets what memory has; the rest is lost to those who have not read it."""
        self._tail.begin_anew()
        for cursor in self.outlets.values():
            cursor.dirty = True
            cursor.skip(self._tail.saved)

    def left(self, reason: str) -> list[OutletState]:
        """The bridge stops, and the disk has not got all: what each outlet loses by that, and is to be told."""
        saved, lost = self._tail.saved, list(self._unsaved())
        for cursor in self.outlets.values():
            cursor.leave(lost, reason, saved)
        return [cursor.state() for cursor in self.outlets.values()]

    def _unsaved(self) -> Iterator[EventRecord]:
        """What the disk has not got."""
        after, end = self._tail.saved, self._tail.end
        while after < end:
            records, after = self._tail.read(after, end)
            yield from records

    def _make_room(self) -> None:
        while (gone := self._tail.let_go()) is not None:
            self._stats.add("store_full")
            for cursor in self.outlets.values():
                cursor.miss(gone.record, "store_full", gone.hole)
