"""An outlet's place in the log: what it has, what comes next, and what it lost.

Owns the cursor, and has the face of an EventQueue towards the delivery. Must not know files, senders or tasks.
Authority: contract 12: at least once, in order, from where it was; what was cut off is told with its number.

``position`` is what is kept: everything up to there was delivered, or is among the losses. Behind it comes a page that
was read, up to ``read_to``; bytes are made of its first record alone, or of those that are on their way.
"""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

import trio

from bridge.core.event_drops import Drops
from bridge.core.event_queue import Gap
from bridge.protocol.event_delivery import Parcel
from bridge.protocol.event_record import EventRecord, Log, NamedSubscription, Names, OutletState

_FOR_EVER = 2**63 - 1  # beyond all positions
_MOST_HOLES = 256  # that are told each in its place; a disk that comes and goes so often has the rest in the last


class LogCursor:
    """The delivery's are ``wants(record)``: whether it delivers this one; ``parcel_of(record)``: in bytes, None if it
    is too large; and ``wake()``: there may be more to read.
    """

    def __init__(self, state: OutletState, log: Log, drops: Drops) -> None:
        self.name = state.name
        self.position = self.read_to = state.position
        self.subscription, self.wanted = state.subscription, state.wanted
        self.dirty = True
        self.wants: Callable[[EventRecord], bool] = lambda record: False
        self.parcel_of: Callable[[EventRecord], Parcel | None] = lambda record: None
        self.wake: Callable[[], None] = lambda: None
        self.out = 0  # of the first records, or of the notices: handed over, and not settled
        self._log = log
        self._drops = drops
        self._page: deque[EventRecord] = deque()
        self._parcels: deque[Parcel] = deque()  # the first of them
        self._notices: deque[Parcel] = deque()  # go before everything in _page
        self._losses = Gap()  # before everything in _page, behind the notices
        self._told = Gap()  # what the notices say
        self._holes: deque[tuple[int, Gap]] = deque()  # what is to be read no more, each behind its position
        self._cut: trio.Event | None = None  # while its losses by a cut are counted
        self._cut_off, self._cut_events = Gap(), 0  # these
        self._until = _FOR_EVER if state.until is None else state.until
        for loss in state.losses:
            gap = self._losses if loss.before <= self.position else self._hole(loss.before)
            key = loss.janus_id, loss.janus_url, loss.reason
            gap[key], gap.last[key] = loss.lost, loss.last

    def state(self) -> OutletState:
        """What is to be kept of it."""
        gap = Gap()
        gap.absorb(self._told)
        gap.absorb(self._losses)
        losses = [loss for before, hole in [(self.position, gap), *self._holes] for loss in hole.losses(before)]
        return OutletState(self.name, self.position, tuple(losses), self.subscription, self.until, self.wanted)

    def named(self, subscription: NamedSubscription | None) -> None:
        """It belongs to this one; None: the configuration has it."""
        if subscription != self.subscription:
            self.subscription = subscription
            self._move()

    def keep_wanted(self, wanted: tuple[tuple[int, Names], ...]) -> None:
        """The next life is to know this of what it wants."""
        if wanted != self.wanted:
            self.wanted = wanted
            self._move()

    # As a queue

    @property
    def events(self) -> int:
        """Events of the log behind it, of every kind."""
        return max(0, min(self._until, self._log.end) - self.position)

    @property
    def bytes(self) -> int:
        """Of what it has read and not delivered."""
        return sum(len(record.body) for record in self._page)

    @property
    def oldest_at(self) -> float | None:
        """When the event was raised that comes next, unix seconds."""
        return self._page[0].at if self._page else None

    def head(self, now: float) -> Parcel | Gap | None:
        """What comes next of what was read."""
        if self._notices:
            return self._notices[0]
        while self._page and not self._parcels and not self._losses:
            parcel = self.parcel_of(self._page[0])
            if parcel is None:
                self._drops.add("too_large", now)
                self._losses.count(self._page.popleft(), "too_large")
                self._settle()
            else:
                self._parcels.append(parcel)
        return self._losses or (self._parcels[0] if self._parcels else None)

    def ahead(self) -> Parcel | None:
        """What can be handed over behind the ``out`` ones: nothing beyond a gap. Whoever does, counts it there."""
        line, out = self._notices or self._parcels, self.out
        if not self._notices:
            if self._losses:
                return None
            if len(line) == out < len(self._page) and (parcel := self.parcel_of(self._page[out])) is not None:
                line.append(parcel)  # one without bytes is a loss once it is at the head
        return line[out] if out < len(line) else None

    async def fill(self) -> bool:
        """Read on where nothing is left; whether there is something now. Raises StoreFailed."""
        while not self._is_filled():
            if self._cut is not None:
                await self._cut.wait()
                continue
            hole, after = self._holes[0] if self._holes else None, self.read_to
            if hole is not None and hole[0] <= after:
                self._losses.absorb(hole[1])
                self._holes.popleft()
                self._move()
                continue
            upto = self._until if hole is None else min(self._until, hole[0])
            records, seen = await self._log.read(after, upto)
            if self.read_to != after or self._cut is not None:
                continue  # a cut came in between
            if seen == after:
                return False
            self.read_to = seen
            self._page.extend(filter(self.wants, records))
            self._settle()
        return True

    def announce(self, notices: Iterable[Parcel]) -> None:
        """Put notices in the place of the losses at the head; none, where nobody wants to be told."""
        self._notices.extend(notices)
        if self._notices:
            self._told.absorb(self._losses)
        self._losses = Gap()
        self._move()

    def pop(self, parcel: Parcel) -> None:
        """This parcel, the head, was delivered."""
        if self._notices and self._notices[0] is parcel:
            self._notices.popleft()
            self.out = max(0, self.out - 1)
            if not self._notices:
                self._told = Gap()
                self._move()
        elif self._parcels and parcel is self._parcels[0]:  # else a cut came in between
            self._next()

    def refuse(self, parcel: Parcel, reason: str, now: float) -> None:
        """This parcel, the head, will not be taken. A refused notice leaves no gap: it would be refused as well."""
        self._drops.add(reason, now)
        if self._parcels and parcel is self._parcels[0]:
            self._losses.count(self._page[0], reason)
        self.pop(parcel)

    def rest(self) -> None:
        """Whoever it is for is away: what comes next stays in memory, all behind it is read again."""
        if len(self._page) > 1 and self._cut is None:  # a cut counts from where it has read to
            self._page, self._parcels = deque([self._page[0]]), deque(islice(self._parcels, 1))
            self.read_to = self._page[0].position

    def forget_notices(self) -> None:
        """Nobody listens to them any more."""
        if self._notices:
            self._notices.clear()
            self.out = 0
        self._told = Gap()
        self._move()

    def clear(self, reason: str, now: float) -> None:
        """The bridge stops: the log has it all."""
        self._page.clear()
        self._parcels.clear()
        self.out = 0

    def retire(self, retired: bool) -> None:
        """It ends with what is in the log now; or does not."""
        if retired == (self._until == _FOR_EVER):
            self._until = self._log.end if retired else _FOR_EVER
            self._move()

    @property
    def until(self) -> int | None:
        """Up to which position it gets events; None: it has not ended."""
        return None if self._until == _FOR_EVER else self._until

    def give_up(self, reason: str, now: float) -> None:
        """What it has not got, of every kind, is not delivered."""
        if self.events:
            self._drops.add(reason, now, self.events)
        self.clear(reason, now)
        self._holes.clear()
        self._losses = Gap()
        self.forget_notices()
        self.read_to = self._until = max(self.read_to, min(self._until, self._log.end))
        self._settle()

    @property
    def is_over(self) -> bool:
        """Whether it has read up to where it ends."""
        return self.read_to >= self._until

    # What is lost

    def begin_cut(self) -> int:
        """The log is about to be cut: nothing is read until ``end_cut``. Returns behind where it has not read."""
        self._cut = trio.Event()
        self._cut_off, self._cut_events = Gap(), 0
        return self.read_to

    def count(self, record: EventRecord, reason: str) -> None:
        """This one would be cut off before it was read."""
        if record.position <= self._until and self.wants(record):
            self._cut_events += 1
            self._cut_off.count(record, reason)

    def cut(self, after: int, cut: int, reason: str) -> None:
        """All up to ``cut`` is counted, from ``after`` on: it is lost, and what was read of it and not delivered."""
        now = trio.current_time()
        while self._page and self._page[0].position <= cut:
            sent = bool(self._parcels) and self._parcels[0].sent
            self._drops.add("unanswered" if sent else reason, now)
            self._losses.count(self._page[0], reason)
            self._next()
        if self._cut_events and self.read_to == after:  # else the log has begun anew meanwhile, and that is told
            self._drops.add(reason, now, self._cut_events)
            self._losses.absorb(self._cut_off)
        self.read_to = max(self.read_to, cut)
        self._settle()

    def end_cut(self) -> None:
        """It reads on: behind the cut, or where it was, if that came to nothing."""
        if self._cut is not None:
            self._cut.set()
            self._cut = None
        self.wake()

    def miss(self, record: EventRecord, reason: str, hole: int) -> None:
        """This one will never be on the disk, and is let go by memory; ``hole``: the first one before it of which that
        is true without a gap.
        """
        if record.position <= self.read_to or record.position > self._until or not self.wants(record):
            return
        self._drops.add(reason, trio.current_time())
        self._hole(max(hole - 1, self.read_to)).count(record, reason)
        self._move()

    def leave(self, records: Iterable[EventRecord], reason: str, saved: int) -> None:
        """These, behind what is ``saved``, are not on the disk at the end, and lost if they were not delivered."""
        owed = [one for one in records if self.position < one.position <= self._until and self.wants(one)]
        if owed:
            self._drops.add(reason, trio.current_time(), len(owed))
        for record in owed:
            self._hole(max(saved, self.position)).count(record, reason)

    def skip(self, position: int) -> None:
        """All up to there is gone, and what it was is not known."""
        if position > self.read_to:
            self._drops.add("store_lost", trio.current_time(), position - self.read_to)
            self.read_to = position
            self._settle()

    def _hole(self, before: int) -> Gap:
        """What is lost behind that position. Holes come in order."""
        if not self._holes or (self._holes[-1][0] < before and len(self._holes) < _MOST_HOLES):
            self._holes.append((before, Gap()))
        return self._holes[-1][1]

    def _is_filled(self) -> bool:
        if self.out:
            return bool(self._notices or self._losses) or self.out < len(self._page)
        return self.head(0.0) is not None

    def _next(self) -> None:
        if self._parcels:
            self._parcels.popleft()
        if self.out and not self._notices:
            self.out -= 1
        self._page.popleft()
        self._settle()

    def _settle(self) -> None:
        self.position = self._page[0].position - 1 if self._page else self.read_to
        self._move()

    def _move(self) -> None:
        self.dirty = True
        self._log.moved()
