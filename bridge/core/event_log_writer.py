"""When the log of events is written to the disk and cut there, and what a disk means that is full, broken or hangs.

Owns the group commit: one task hands over what came within ``delay``, in one write at a time. Must not know files (a
``Store`` does), or what an event is. Authority: contract 12; ``[events] store`` and its kin.
"""

import logging
from typing import NamedTuple

import trio

from bridge.core.event_log import BATCH, EventLog
from bridge.protocol.event_record import PAGE, Store, StoreAnew, StoreFailed
from bridge.protocol.humanize import plural
from bridge.protocol.snapshot import StoreSnapshot
from bridge.throttle import Throttle

log = logging.getLogger("bridge.evi")

CURSORS = 0.1  # seconds that cursors alone may wait for their write
RETRY = 1.0  # seconds after what failed
HANGS = 5.0  # seconds after which a write is said to hang
CUT_EVERY = 1.0  # seconds
LAST_WRITE = 2.0  # seconds for it when the bridge stops
LAST_WORD = 1.0  # seconds for what the next start is to know, if that was too short
LOG_INTERVAL = 60.0  # seconds


class StoreLimits(NamedTuple):
    """How old and how large the log may become on the disk, and how long an event may wait for others to be written
    with: seconds, bytes, seconds.
    """

    age: float = 86_400.0
    bytes: int = 1 << 30
    delay: float = 0.005


class LogWriter:
    """``run`` it once."""

    def __init__(self, events: EventLog, store: Store, limits: StoreLimits) -> None:
        self.events = events
        self.store = store
        self._limits = limits
        self._cut = 0  # up to where the next write cuts
        self._was_cut = trio.Event()
        self._began: float | None = None  # when the write began that is under way
        self._commit = 0.0
        self._lines = Throttle(LOG_INTERVAL)

    def figures(self) -> StoreSnapshot:
        """What the metrics say."""
        events, size = self.store.figures()
        return StoreSnapshot(events, size, self.events.waiting, self._commit, self.events.oldest(), self.events.trouble)

    async def run(self) -> None:
        """Write until cancelled; what is still unwritten then is written before this returns."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                nursery.start_soon(self._cut_what_is_overdue)
                while True:
                    await self.events.work.wait()
                    with trio.move_on_after(CURSORS):
                        await self.events.urgent.wait()
                    await trio.sleep(self._limits.delay)
                    if not await self._write():
                        self.events.hurry()
                        await trio.sleep(RETRY)
        finally:
            stops = trio.current_effective_deadline() == float("-inf")
            with trio.CancelScope(shield=True):
                with trio.move_on_after(LAST_WRITE):
                    while await self._write(self.events.waiting) and self.events.waiting:
                        pass
                if stops and self.events.waiting:
                    await self._say_last_word()

    def close(self) -> None:
        """Close the store. Nobody waits for one that hangs."""
        self.store.close()

    async def _say_last_word(self) -> None:
        """Who has not got what the disk has not taken, loses it, and is told at the next start."""
        text = "%s not kept, and lost to subscribers that had not got them: the disk did not take them within %g s"
        log.error(text, plural(self.events.waiting, "event"), LAST_WRITE)
        fault = "it does not respond"
        with trio.move_on_after(LAST_WORD):
            try:
                await self.store.leave(self.events.left("stopped"))
                return
            except StoreFailed as exc:
                fault = str(exc)
        log.error("the next start cannot tell which events are lost: %s", fault)

    async def _write(self, most: int | None = None) -> bool:
        """Write what there is, ``most`` events and a page; whether that worked. What is to be cut goes first, and
        apart: on a full disk that makes room. There a few events may find some where many do not.
        """
        if self._cut and not await self._write_some(0, self._cut):
            return False
        return await self._write_some(most or (BATCH if self.events.trouble is None else PAGE), 0)

    async def _write_some(self, most: int, cut: int) -> bool:
        """In one write: so many events, cursors, and a cut."""
        events = self.events
        pages, moved, gone = events.take(most), events.dirty(), list(events.gone)
        if not (pages or moved or gone or cut or events.doubtful or events.waiting):
            return True
        self._began = began = trio.current_time()
        written = False
        try:
            await self.store.write(pages, [cursor.state() for cursor in moved], gone, cut)
            written = True
            self._began, self._commit = None, trio.current_time() - began
        except StoreFailed as exc:
            self._began = None
            if isinstance(exc, StoreAnew):
                self._cut = 0
                self._was_cut.set()
                events.write_again()
            self._trouble(str(exc))
        finally:
            if not written:
                events.take_back(moved)
        if written:
            events.gone.difference_update(gone)
            if cut:
                self._cut = 0
                self._was_cut.set()
            if not (cut and events.waiting):
                self._over()
            events.written(pages)
        return written

    async def _watch(self) -> None:
        while True:
            await trio.sleep(HANGS / 5)
            if self._began is not None and trio.current_time() - self._began > HANGS:
                self._trouble("the disk does not respond")

    def _trouble(self, text: str) -> None:
        self.events.trouble = text
        if self._lines.due(text, trio.current_time()):
            log.error("events are not kept on disk: %s; they wait in memory, and are delivered from there", text)
        self.events.progress()

    def _over(self) -> None:
        self.events.trouble = None
        if (said := self._lines.over()) is not None:
            log.info("events are kept on disk again after: %s", said)

    async def _cut_what_is_overdue(self) -> None:
        lines = Throttle(LOG_INTERVAL)
        while True:
            await trio.sleep(CUT_EVERY)
            try:
                while (overdue := await self.store.overdue(self._limits.age, self._limits.bytes)) is not None:
                    await self._cut_to(*overdue)
            except StoreFailed as exc:
                if lines.due(str(exc), trio.current_time()):
                    log.error("cannot trim the log of events: %s; retrying", exc)
            else:
                lines.over()

    async def _cut_to(self, cut: int, reason: str) -> None:
        """Whoever has not read so far is told how much it lost, counted in the log itself before that goes."""
        for cursor in self.events.behind(cut):
            seen = after = cursor.begin_cut()
            try:
                while seen < cut:
                    records, seen = await self.store.read(seen, cut)
                    for record in records:
                        cursor.count(record, reason)
                cursor.cut(after, cut, reason)
            finally:
                cursor.end_cut()
        self._cut = cut
        self._was_cut = trio.Event()
        self.events.hurry()
        await self._was_cut.wait()
