"""The end of the log of events, in memory: what the disk has not got yet, and a little of what it has.

Owns pages and their bounds: what waits for the disk, what it is just being given, and what is let go when that is too
much, the oldest first. Must not know who reads, or when anything is written. Authority: contract 12.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from bridge.protocol.event_record import PAGE, PAGE_BYTES, EventRecord, LogPage, Row

KEEP_EVENTS, KEEP_BYTES = 4096, 4 << 20  # of what the disk has, that memory has as well

_last = attrgetter("last")


class LetGo(NamedTuple):
    """An event that neither disk nor memory has, and where the hole in the log begins that it is in."""

    record: EventRecord
    hole: int


class Tail:
    """``end`` is the position of the newest event, ``saved`` of the newest that the disk has."""

    def __init__(self, end: int, most_events: int, most_bytes: int) -> None:
        """``most_events`` and ``most_bytes`` may wait for the disk, beside what it is just being given."""
        self.end = self.saved = end
        self._most_events, self._most_bytes = most_events, most_bytes
        self._kept: deque[LogPage] = deque()  # the disk has them, or is just being given them
        self._kept_events = self._kept_bytes = 0
        self._waiting: deque[LogPage] = deque()
        self._waiting_events = self._waiting_bytes = 0
        self._open: LogPage | None = None  # the newest, which takes more; what the disk was given takes none
        self._hole = self._hole_end = -1  # the newest

    def add(self, row: Row) -> bool:
        """The next event; whether more waits now than may."""
        self.end += 1
        page = self._open
        if page is None or len(page.rows) >= PAGE or page.size >= PAGE_BYTES:
            page = self._open = LogPage(self.end)
            self._waiting.append(page)
        self._waiting_bytes += page.add(row)
        self._waiting_events += 1
        return self._waiting_events > self._most_events or self._waiting_bytes > self._most_bytes

    def let_go(self) -> LetGo | None:
        """Let go of the oldest that waits, if more waits than may."""
        if not self._waiting or (self._waiting_events <= self._most_events and self._waiting_bytes <= self._most_bytes):
            return None
        page = self._waiting[0]
        record, size = page.drop()
        if not page.rows:
            self._waiting.popleft()
            if page is self._open:
                self._open = None
        self._waiting_events -= 1
        self._waiting_bytes -= size
        if record.position != self._hole_end + 1:
            self._hole = record.position
        self._hole_end = record.position
        return LetGo(record, self._hole)

    @property
    def is_written(self) -> bool:
        """Whether nothing waits for the disk."""
        return not self._waiting

    @property
    def first(self) -> int:
        """The position of the oldest event that is in memory, or of the next one."""
        line = self._kept or self._waiting
        return line[0].first if line else self.end + 1

    def read(self, after: int, upto: int) -> tuple[list[EventRecord], int]:
        """The next page of what is in memory, and how far that has looked."""
        found: list[EventRecord] = []
        size = 0
        for line in (self._kept, self._waiting):
            for index in range(bisect_left(line, after + 1, key=_last), len(line)):
                page = line[index]
                if page.first > upto:
                    return found, upto
                found += page.records(after, upto)
                size += page.size
                if len(found) >= PAGE or size >= PAGE_BYTES:
                    return found, found[-1].position
        return found, upto

    def take(self, most: int) -> list[LogPage]:
        """The next pages for the disk, ``most`` events and a page. Then ``written`` or ``take_back``."""
        pages: list[LogPage] = []
        events = size = 0
        while self._waiting and events < most:
            page = self._waiting.popleft()
            pages.append(page)
            events += len(page.rows)
            size += page.size
        self._move(events, size)
        self._kept.extend(pages)
        if not self._waiting:
            self._open = None
        return pages

    def written(self, pages: Sequence[LogPage]) -> None:
        """The disk has them; what came before was let go, if it is not there."""
        if not self._waiting:
            self.saved = self.end
        elif pages:
            self.saved = pages[-1].last

    def take_back(self) -> None:
        """The disk has them not."""
        while self._kept and self._kept[-1].first > self.saved:
            page = self._kept.pop()
            self._waiting.appendleft(page)
            self._move(-len(page.rows), -page.size)

    def begin_anew(self) -> None:
        """The disk has nothing any more, and gets what is in memory. Then ``take_back``."""
        self.saved = self.first - 1

    def trim(self, read: int) -> None:
        """Of what the disk has, memory keeps what somebody has still to read, who has got to ``read``, and not much."""
        kept = self._kept
        while kept and kept[0].last <= self.saved:
            if kept[0].last > read and self._kept_events <= KEEP_EVENTS and self._kept_bytes <= KEEP_BYTES:
                break
            page = kept.popleft()
            self._kept_events -= len(page.rows)
            self._kept_bytes -= page.size

    def _move(self, events: int, size: int) -> None:
        """So much is kept now, and does not wait."""
        self._waiting_events -= events
        self._waiting_bytes -= size
        self._kept_events += events
        self._kept_bytes += size
