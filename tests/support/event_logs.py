"""A log of events, on a real disk or in memory, and an Event Interface above it: one life of a bridge after another."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from bridge.core.event_log import EventLog, LogLimits
from bridge.core.event_log_writer import LogWriter, StoreLimits
from bridge.core.evi import EventInterface, OpenSender
from bridge.core.stats import Stats
from bridge.protocol.event_payload import janus_event
from bridge.protocol.event_record import (
    PAGE,
    PAGE_BYTES,
    EventRecord,
    GatewayEvents,
    LogPage,
    OutletState,
    Store,
    StoreContents,
    StoreFailed,
    row_of,
)
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_store import EventStore
from tests.support.deadlines import HANG_SECONDS
from tests.support.evi_bed import URL, MemorySender


def record(position: int, body: str | None = None, *, at: float = 0.0, janus_id: str = "g1", n: int = 0) -> EventRecord:
    """An event of a gateway; its n is the position unless it is said."""
    text = f'{{"n":{position}}}' if body is None else body
    row = row_of(at, "E_JANUS_EVENT", janus_event(janus_id, URL, text), janus_id, 7, n or position)
    return EventRecord(position, *row)


def pages(*records: EventRecord, most: int = PAGE) -> list[LogPage]:
    """In as few pages as can be, ``most`` events each."""
    found: list[LogPage] = []
    for one in records:
        last = found[-1] if found else None
        if last is None or one.position != last.last + 1 or len(last.rows) >= most or last.size >= PAGE_BYTES:
            found.append(LogPage(one.position))
        found[-1].add(one[1:])
    return found


class MemoryStore:
    """A disk that can be told to fail or to hang. Fails with ``fault``; hangs while ``held`` is set."""

    def __init__(self) -> None:
        self.records: dict[int, EventRecord] = {}
        self.outlets: dict[str, OutletState] = {}
        self.writes: list[int] = []  # events in each
        self.fault: StoreFailed | None = None
        self.held: trio.Event | None = None
        self.cut: tuple[int, str] | None = None
        self.closed = False

    async def write(
        self, pages: Sequence[LogPage], outlets: Sequence[OutletState], gone: Sequence[str], cut: int
    ) -> None:
        await trio.lowlevel.checkpoint()
        if self.held is not None:
            await self.held.wait()
        if self.fault is not None:
            raise self.fault
        records = [one for page in pages for one in page.records()]
        self.writes.append(len(records))
        self.records.update((one.position, one) for one in records)
        self.outlets.update((one.name, one) for one in outlets)
        for name in gone:
            self.outlets.pop(name, None)
        self.records = {position: one for position, one in self.records.items() if position > cut}

    async def read(self, after: int, upto: int) -> tuple[list[EventRecord], int]:
        await trio.lowlevel.checkpoint()
        if self.fault is not None:
            raise self.fault
        found = [one for position, one in sorted(self.records.items()) if after < position <= upto][:3]
        return found, found[-1].position if len(found) == 3 else upto

    async def replay(self, janus_id: str, epoch: int, n: int, limit: int) -> list[EventRecord]:
        raise NotImplementedError

    async def place_of(self, epoch: int, n: int) -> int | None:
        raise NotImplementedError

    async def gateways(self) -> list[GatewayEvents]:
        raise NotImplementedError

    async def overdue(self, age: float, size: int) -> tuple[int, str] | None:
        await trio.lowlevel.checkpoint()
        cut, self.cut = self.cut, None
        return cut

    async def leave(self, outlets: Sequence[OutletState]) -> None:
        await trio.lowlevel.checkpoint()
        if self.fault is not None:
            raise self.fault
        self.outlets.update((one.name, one) for one in outlets)

    def figures(self) -> tuple[int, int]:
        return len(self.records), 0

    def close(self) -> None:
        self.closed = True


class Life:
    """One life of a bridge, from the opening of its store to its end."""

    def __init__(
        self,
        store: Store,
        contents: StoreContents,
        epoch: int,
        limits: LogLimits,
        keep: StoreLimits,
        open_sender: OpenSender | None = None,
    ) -> None:
        self.stats = Stats()
        self.senders: dict[ReplySocket, MemorySender] = {}
        self.log = EventLog(store, contents, self.stats, epoch, limits)
        self.writer = LogWriter(self.log, store, keep)
        self.evi = EventInterface(open_sender or self._open, self.stats, epoch=epoch, events_log=self.log)

    def _open(self, socket: ReplySocket) -> MemorySender:
        return self.senders.setdefault(socket, MemorySender())

    def sender(self, socket: ReplySocket) -> MemorySender:
        """Of a socket; may be asked for before there is a subscription."""
        return self._open(socket)

    def janus(self, *numbers: int, janus_id: str = "g1") -> None:
        for number in numbers:
            self.evi.gateway_event(janus_id, URL, f'{{"n":{number}}}')

    async def stored(self) -> None:
        """Everything is on the disk."""
        with trio.fail_after(HANG_SECONDS):
            while self.log.waiting or any(one.dirty for one in self.log.outlets.values()):  # noqa: ASYNC110 - threads
                await trio.sleep(0.001)

    async def delivered(self, socket: ReplySocket, number: int) -> None:
        """A subscriber has got so many, whether the others have or not."""
        with trio.fail_after(HANG_SECONDS):
            while len(self.sender(socket).bodies()) < number:  # noqa: ASYNC110 - as in stored()
                await trio.sleep(0.001)

    async def settled(self) -> None:
        """Everything is delivered."""
        with trio.fail_after(HANG_SECONDS):
            await self.evi.drain(trio.current_time() + HANG_SECONDS)
            while any(one.queued for one in self.evi.figures()):  # noqa: ASYNC110 - who cannot be reached is left out
                await trio.sleep(0.05)


def opened(
    path: Path,
    *,
    full: bool = False,
    epoch: int = 7,
    keep: StoreLimits | None = None,
    open_sender: OpenSender | None = None,
    **limits: Any,
) -> Life:
    """A life on this file, with senders in memory or those of ``open_sender``."""
    store = EventStore(path, full=full)
    kept = keep or StoreLimits(delay=0.0)
    return Life(store, store.open(), epoch, LogLimits(full=full, **limits), kept, open_sender)


@asynccontextmanager
async def living(life: Life) -> AsyncIterator[Life]:
    """It runs in here, and ends as at SIGTERM, without the drain."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.writer.run)
        await nursery.start(life.evi.run)
        yield life
        nursery.cancel_scope.cancel()
    life.writer.close()
