"""What waits for one socket: events in order, and the gaps that drops left between them.

Owns order, bounds, ageing and what is known of each gap. Must not know senders, tasks or the clock (``now`` is an
argument, seconds on the loop's clock). Authority: contract 7.4: a full queue drops the newest, age drops the oldest;
a socket that listens to E_JANUS_STATUS is told of a gap, by an ``events_lost`` at its place.

A gap becomes a notice once it has reached the head of the queue. A notice never changes, because a copy of it may have
arrived already, and never ages; what is lost behind it makes another gap.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from bridge.core.event_drops import Drops
from bridge.core.event_pool import OVERHEAD, Pool
from bridge.protocol.event_delivery import Parcel
from bridge.protocol.event_payload import Event
from bridge.protocol.event_record import EventRecord, Loss


class Gap(Counter[tuple[str, str, str]]):
    """Lost events of gateways: (janus_id, janus_url, reason) -> how many, and in ``last`` the newest one's ``seq``.
    Others have nobody to be told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[tuple[str, str, str], str | None] = {}

    def lose(self, event: Event, reason: str) -> None:
        """Count one."""
        if event.origin is not None:
            key = event.origin, event.janus_url, reason
            self[key] += 1
            self.last[key] = event.seq

    def count(self, record: EventRecord, reason: str) -> None:
        """Count one of the log."""
        if record.origin is not None:
            url = record.url if record.url is not None else record.text_of("janus_url")
            key = record.origin, url, reason
            self[key] += 1
            self.last[key] = record.seq

    def losses(self, before: int) -> Iterator[Loss]:
        """As an outlet keeps them, behind that position."""
        return (Loss(*key, lost, self.last[key], before) for key, lost in self.items())

    def absorb(self, later: "Gap") -> None:
        """What is lost behind it belongs to it, too."""
        self.update(later)
        self.last.update(later.last)


class EventQueue:
    """A bounded queue. ``head`` shows what to deliver next; ``pop`` or ``refuse`` settles that."""

    def __init__(self, max_events: int, max_bytes: int, drops: Drops, pool: Pool) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._drops = drops
        self._pool = pool
        self._held = 0  # of the pool
        self._notices: deque[Parcel] = deque()  # go before everything in _line
        self._line: deque[Parcel | Gap] = deque()  # no two gaps side by side
        self.events = 0  # that wait; notices are not counted
        self.bytes = 0
        self.out = 0  # of those at the head: handed over, and not settled

    def put(self, parcel: Parcel, now: float) -> None:
        """Append, or drop where the queue is full."""
        size = len(parcel.payload)
        if not self.has_room(size):
            self.lose(parcel.event, "full", now)
            return
        held = size + OVERHEAD
        self._line.append(parcel)
        self.events += 1
        self.bytes += size
        self._held += held
        self._pool.used += held

    def has_room(self, size: int) -> bool:
        """Whether so many bytes find room; the pool counts those for which it has none."""
        if self.events >= self._max_events or self.bytes + size > self._max_bytes:
            return False
        held, pool = size + OVERHEAD, self._pool
        if self._held + held > pool.share or pool.used + held > pool.total:
            pool.refused += 1
            return False
        return True

    def join(self, pool: Pool) -> None:
        """What waits here counts there from now on."""
        self._pool.used -= self._held
        self._pool = pool
        pool.used += self._held

    def lose(self, event: Event, reason: str, now: float) -> None:
        """Count an event as dropped at the end of the queue."""
        self._drops.add(reason, now)
        tail = self._line[-1] if self._line else None
        if not isinstance(tail, Gap):
            tail = Gap()
            self._line.append(tail)
        tail.lose(event, reason)

    def head(self, now: float) -> Parcel | Gap | None:
        """What comes next: a parcel to deliver, a gap to ``announce``, or nothing. Drops what is too old."""
        gap: Gap | None = None
        while self._line:
            first = self._line[0]
            if isinstance(first, Gap):
                gap = first if gap is None else _merged(gap, first)
                self._line.popleft()
            elif first.deadline <= now:
                gap = Gap() if gap is None else gap
                self._drop_first(first, "unanswered" if first.sent else "age", gap, now)
            else:
                break
        if gap is not None:
            self._line.appendleft(gap)
        if self._notices:
            return self._notices[0]
        return self._line[0] if self._line else None

    def ahead(self) -> Parcel | None:
        """What can be handed over behind the ``out`` ones: nothing beyond a gap. Whoever does, counts it there."""
        line: deque[Parcel] | deque[Parcel | Gap] = self._notices or self._line
        item = line[self.out] if self.out < len(line) else None
        return item if isinstance(item, Parcel) else None

    def announce(self, notices: Iterable[Parcel]) -> None:
        """Put notices in the place of the gap at the head; none, where nobody wants to be told."""
        assert isinstance(self._line[0], Gap)
        self._line.popleft()
        self._notices.extend(notices)

    def pop(self, parcel: Parcel) -> None:
        """This parcel, the head, was delivered."""
        if self._is_notice(parcel):
            self._notices.popleft()
            self.out = max(0, self.out - 1)
        else:
            self._take_first(parcel)

    def refuse(self, parcel: Parcel, reason: str, now: float) -> None:
        """This parcel, the head, will not be taken. A refused notice leaves no gap: it would be refused as well."""
        if self._is_notice(parcel):
            self._notices.popleft()
            self._drops.add(reason, now)
            return
        gap = Gap()
        self._drop_first(parcel, reason, gap, now)
        if self._line and isinstance(behind := self._line[0], Gap):
            gap.absorb(behind)
            self._line.popleft()
        self._line.appendleft(gap)

    def forget_notices(self) -> None:
        """No subscriber listens to them; they alone would wait for ever."""
        if self._notices:
            self._notices.clear()
            self.out = 0

    def clear(self, reason: str, now: float) -> None:
        """Drop everything, count the events. Notices and gaps tell of events that were counted already."""
        if self.events:
            self._drops.add(reason, now, self.events)
        self._line.clear()
        self._notices.clear()
        self._pool.used -= self._held
        self.events = self.bytes = self._held = self.out = 0

    def _is_notice(self, parcel: Parcel) -> bool:
        return bool(self._notices) and self._notices[0] is parcel

    def _take_first(self, parcel: Parcel) -> None:
        if self._line and self._line[0] is parcel:  # else it was a notice that was forgotten meanwhile
            self._line.popleft()
            self.out = max(0, self.out - 1)
            self.events -= 1
            self.bytes -= len(parcel.payload)
            self._held -= len(parcel.payload) + OVERHEAD
            self._pool.used -= len(parcel.payload) + OVERHEAD

    def _drop_first(self, parcel: Parcel, reason: str, gap: Gap, now: float) -> None:
        self._take_first(parcel)
        self._drops.add(reason, now)
        gap.lose(parcel.event, reason)


def _merged(gap: Gap, other: Gap) -> Gap:
    gap.absorb(other)
    return gap
