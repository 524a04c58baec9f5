"""A model check: log, cursors and cuts on a real disk, against a list.

Any order of events, writes, deliveries, refusals, cuts, crashes and ends. The list says what the outlet gets next and
what it is told; after a crash it goes on from what the last write knew, with all that was written.
"""

import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
import trio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bridge.core.event_drops import Drops
from bridge.core.event_log import EventLog, LogLimits
from bridge.core.event_log_writer import LogWriter, StoreLimits
from bridge.core.event_queue import Gap
from bridge.core.stats import Stats
from bridge.protocol.event_delivery import Parcel
from bridge.protocol.event_payload import E_JANUS_EVENT, Event, janus_event
from bridge.protocol.event_record import EventRecord
from bridge.transport.event_store import EventStore
from tests.support.examples import examples

Step: TypeAlias = tuple[str, int]

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", examples(8)))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 300)),
        st.tuples(st.just("write"), st.just(0)),
        st.tuples(st.just("deliver"), st.integers(1, 300)),
        st.tuples(st.just("refuse"), st.integers(1, 3)),
        st.tuples(st.just("cut"), st.integers(1, 400)),
        st.tuples(st.just("crash"), st.just(0)),
        st.tuples(st.just("end"), st.just(0)),
    ),
    min_size=4,
    max_size=20,
)


@dataclass
class Model:
    """``events``: number, gateway, and whether it is wanted, of those that are not cut. ``at``: the last that
    is settled; ``losses``: what the outlet has still to be told. Both are kept by a write.
    """

    events: list[tuple[int, str, bool]] = field(default_factory=list)
    written: int = 0  # the last number on the disk
    at: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    kept_at: int = 0
    kept_losses: Counter[str] = field(default_factory=Counter)

    def write(self) -> None:
        self.written = max([self.written, *(number for number, _, _ in self.events)])
        self.kept_at, self.kept_losses = self.at, Counter(self.losses)

    def crash(self) -> None:
        self.events = [one for one in self.events if one[0] <= self.written]
        self.at, self.losses = self.kept_at, Counter(self.kept_losses)

    def next(self, *, full: bool) -> tuple[int, str] | None:
        for number, gateway, wanted in self.events:
            if wanted and number > self.at and (number <= self.written or not full):
                return number, gateway
        return None

    def cut(self, upto: int) -> None:
        """Up to that number; counts what is lost."""
        while self.events and self.events[0][0] <= upto:
            number, gateway, wanted = self.events.pop(0)
            if wanted and number > self.at:
                self.losses[gateway] += 1
        self.at = max(self.at, upto)


class Run:
    """One log and its model, step by step."""

    def __init__(self, path: Path, *, full: bool) -> None:
        self.path, self.full = path, full
        self.model = Model()
        self.number = 0
        self.begin()

    def begin(self) -> None:
        self.store = EventStore(self.path, full=self.full)
        self.log = EventLog(self.store, self.store.open(), Stats(), 1, LogLimits(full=self.full))
        self.writer = LogWriter(self.log, self.store, StoreLimits())
        self.cursor = self.log.outlet("o", Drops("o", Stats()))
        self.cursor.wants, self.cursor.parcel_of = wants, parcel_of

    async def append(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            gateway, wanted = f"g{self.number % 3}", self.number % 5 != 0
            name = E_JANUS_EVENT if wanted else "E_OTHER"
            self.log.append(name, janus_event(gateway, "u", str(self.number)), gateway, self.number)
            self.model.events.append((self.number, gateway, wanted))

    async def write(self, _: int = 0) -> None:
        while self.log.waiting or self.cursor.dirty:
            assert await self.writer._write()
        self.model.write()

    async def deliver(self, count: int, *, refuse: bool = False) -> None:
        for _ in range(count):
            await self.tell()
            expected = self.model.next(full=self.full)
            head = self.cursor.head(0.0) if await self.cursor.fill() else None
            if expected is None:
                assert head is None
                return
            assert isinstance(head, Parcel)
            assert (int(head.payload), head.event.origin) == expected
            self.model.at = expected[0]
            if refuse:
                self.cursor.refuse(head, "refused", 0.0)
                self.model.losses[expected[1]] += 1
            else:
                self.cursor.pop(head)

    async def tell(self) -> None:
        await self.cursor.fill()
        head = self.cursor.head(0.0)
        told: Counter[str] = Counter()
        for (gateway, _, _), lost in head.items() if isinstance(head, Gap) else ():
            told[gateway] += lost
        assert told == self.model.losses
        if isinstance(head, Gap):
            self.cursor.announce([Parcel(Event("E_LOST", (), "", 1), b"", 0.0)])
            notice = self.cursor.head(0.0)
            assert isinstance(notice, Parcel)
            self.cursor.pop(notice)
        self.model.losses.clear()

    async def refuse(self, count: int) -> None:
        await self.deliver(count, refuse=True)

    async def cut(self, count: int) -> None:
        await self.write()
        kept = (await self.everything())[:count]
        ends = [one for one in self.ends() if kept and one <= kept[-1].position]
        if not ends:
            return
        position = ends[-1]
        (last,) = [number_of(one) for one in kept if one.position == position]
        self.model.cut(last)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.write_on)
            await self.writer._cut_to(position, "store_age")
            nursery.cancel_scope.cancel()
        await self.write()

    async def write_on(self) -> None:
        while await self.writer._write():
            await trio.lowlevel.checkpoint()

    def ends(self) -> list[int]:
        """Of the pages on the disk: where the log can be cut."""
        assert self.store._reader is not None
        return [last for (last,) in self.store._reader.execute("SELECT last FROM janus_page ORDER BY last")]

    async def everything(self) -> list[EventRecord]:
        found: list[EventRecord] = []
        after, end = 0, self.log.end
        while after < end:
            records, after = await self.store.read(after, end)
            found += records
        return found

    async def crash(self, _: int) -> None:
        self.store.close()
        self.model.crash()
        self.begin()
        written = [number_of(one) for one in await self.everything()]
        assert written == [number for number, _, _ in self.model.events]

    async def end(self, _: int) -> None:
        await self.write()
        await self.crash(0)


def number_of(record: EventRecord) -> int:
    return int(dict(record.params)["janus_body"])


def wants(record: EventRecord) -> bool:
    return record.name == E_JANUS_EVENT


def parcel_of(record: EventRecord) -> Parcel:
    return Parcel(Event(record.name, (), "", 1, record.origin, record.seq), b"%d" % number_of(record), 0.0)


async def play(steps: list[Step], full: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "events.db", full=full)
        for name, count in [*steps, ("end", 0), ("deliver", 10_000)]:
            await getattr(run, name)(count)
        assert await run.cursor.fill() is False
        run.store.close()


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes
@given(STEPS, st.booleans())
def test_log_cursors_and_cuts_are_a_list(steps: list[Step], full: bool) -> None:
    trio.run(partial(play, steps, full))
