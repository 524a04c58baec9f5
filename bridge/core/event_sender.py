"""One socket's way out: its queue, its task, its sender.

Owns when to try, to try again and to give up, and what of that is logged. Must not know sockets (a ``Sender`` does) or
who is subscribed. Authority: contract 7.3, 7.4.

The fast path is ``try_send`` in a loop: no checkpoint, timer or task for an event, but a checkpoint after each burst.
Age is looked at between attempts, never in the middle of one: an answer on its way is still worth waiting for, and a
queue whose events are all about to be too old would else never recover from an outage.
"""

import functools
import logging
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.core.event_cursor import LogCursor
from bridge.core.event_drops import LOG_INTERVAL, Drops
from bridge.core.event_pool import Pool
from bridge.core.event_queue import EventQueue, Gap
from bridge.core.event_wanted import WantedEvents
from bridge.core.stats import Stats
from bridge.errors import MalformedMessage
from bridge.protocol.event_delivery import EventRefused, NotSent, Parcel, Sender
from bridge.protocol.event_payload import Encoding, Event, TooLarge, encoding_of
from bridge.protocol.event_record import EventRecord, StoreFailed
from bridge.protocol.reply_socket import ReplySocket
from bridge.throttle import Throttle

log = logging.getLogger("bridge.evi")

BURST = 64  # events handed over before other tasks get their turn
PAUSES = (0.25, 0.5, 1.0, 2.0)  # seconds from one attempt to the next; the last for all that follow


class QueueLimits(NamedTuple):
    """What one socket's queue may hold: events, bytes, seconds."""

    queue_events: int = 65536
    queue_bytes: int = 64 * 2**20
    max_age: float = 30.0


class DeliverySnapshot(NamedTuple):
    """What the metrics say of one socket: events and bytes that wait, events delivered, drops by reason."""

    subscriber: str
    queued: int
    queued_bytes: int
    sent: int
    drops: dict[str, int]


class Delivery:
    """Delivers to one socket. ``announce(socket, gap)`` makes the notices of a gap, none if they are not wanted."""

    def __init__(
        self,
        socket: ReplySocket,
        sender: Sender,
        announce: Callable[[ReplySocket, Gap], Iterable[Event]],
        stats: Stats,
        limits: QueueLimits,
        pool: Pool | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        """``pool`` is what its queue shares with others; unset, nothing. ``encoding``: unset, that of the socket."""
        self.socket = socket
        self._name = str(socket)
        self._sender = sender
        self._announce = announce
        self._max_age = limits.max_age
        self._encoding = encoding or encoding_of(socket)
        self._unbounded = self._encoding.form in ("stream", "reliable")
        self.drops = Drops(self._name, stats)
        self._memory = EventQueue(limits.queue_events, limits.queue_bytes, self.drops, pool or Pool(sys.maxsize))
        self._queue: EventQueue | LogCursor = self._memory
        self._cursor: LogCursor | None = None
        self.is_logged = False  # its events come from the log, and are not ``put``
        self.wanted = WantedEvents(is_mi=socket.is_mi)  # from the log
        self._sent = 0
        self._retired = False
        self._work = AutoResetEvent()  # wakes the task
        self._drained = trio.Event()  # set while the task sleeps
        self._failures = 0  # attempts in a row that failed
        self._failure = ""  # the last of them, in words
        self._not_before = 0.0  # when the next attempt may start
        self._troubles: dict[str, Throttle] = {}  # by topic

    def put(self, event: Event, now: float) -> None:
        """Queue an event; never waits."""
        # What has no room is not put into bytes first: it may be megabytes, for each method of hundreds of sockets.
        if self._unbounded and not self._memory.has_room(event.least):
            self._memory.lose(event, "full", now)
            self._wake()
            return
        parcel = self._parcel(event, now + self._max_age)
        if parcel is None:
            self._memory.lose(event, "too_large", now)
        else:
            self._memory.put(parcel, now)
        self._wake()

    def share(self, pool: Pool) -> None:
        """Its queue is one of that pool from now on."""
        self._memory.join(pool)

    @property
    def can_wait(self) -> bool:
        """Whether it cannot be reached now, and the log has all that it has not got."""
        return self.is_logged and self._failures > 0 and not self._memory.events

    def follow(self, cursor: LogCursor, event_of: Callable[[EventRecord], Event]) -> None:
        """Its events come from the log from now on, behind what its queue has."""
        cursor.wants, cursor.wake = self.wanted.passes, self._wake
        cursor.parcel_of = functools.partial(self._logged, event_of)
        cursor.retire(self._retired)
        self._cursor = cursor
        self.is_logged = True
        self._wake()

    def renew(self, socket: ReplySocket) -> None:
        """It is that one: the same, but perhaps with another secret."""

    def retire(self, retired: bool) -> None:
        """No subscription is left: ``run`` returns once the queue is empty. Or there is one again."""
        self._retired = retired
        if self._cursor is not None:
            self._cursor.retire(retired)
        if retired:
            self._memory.forget_notices()
            self._queue.forget_notices()
            self._wake()

    @property
    def ended_at(self) -> int | None:
        """Up to where the log has what it is to get, if it is served from there, and has ended."""
        return None if self._cursor is None or not self._retired else self._cursor.until

    def give_up(self) -> None:
        """Another one needs its place: what it has not got is dropped, and counted."""
        now = trio.current_time()
        self._memory.clear("ended", now)
        if self._cursor is not None:
            self._cursor.give_up("ended", now)

    def report(self, now: float) -> None:
        """Log the drops that were held back."""
        self.drops.report(now)

    def figures(self) -> DeliverySnapshot:
        """What the metrics say."""
        queues: list[EventQueue | LogCursor] = [self._memory]
        if self._cursor is not None:
            queues.append(self._cursor)
        waiting = sum(queue.events for queue in queues), sum(queue.bytes for queue in queues)
        return DeliverySnapshot(self._name, *waiting, self._sent, self.drops.snapshot())

    def trouble(self) -> str | None:
        """What is wrong now: it cannot be reached, or events were dropped in the last minute. None: nothing."""
        return self._failure if self._failures else self.drops.trouble(trio.current_time())

    async def drained(self) -> None:
        """Wait until nothing is left to deliver."""
        await self._drained.wait()

    async def run(self, gone: Callable[["Delivery"], None]) -> None:
        """Deliver until retired, then call ``gone``. Cancelled, it counts what is left as dropped."""
        try:
            while await self._wait():
                await self._flush()
            gone(self)
        except trio.Cancelled:
            self._memory.clear("stopped", trio.current_time())
            raise
        finally:
            self.drops.close()
            self._sender.close()

    def _wake(self) -> None:
        if self._drained.is_set():
            self._drained = trio.Event()
            self._work.set()

    async def _wait(self) -> bool:
        """Wait for work; False when there will be none."""
        while self._head() is None:
            if self._cursor is not None and await self._more(self._cursor):
                continue
            self._drained.set()
            if self._retired and (self._cursor is None or self._cursor.is_over):
                return False
            await self._work.wait()
        return True

    async def _more(self, cursor: LogCursor) -> bool:
        """Read on in the log; whether it is worth a look at the head."""
        self._queue = cursor
        try:
            return await cursor.fill()
        except StoreFailed as exc:
            self._say("log", str(exc))
            await trio.sleep(PAUSES[-1])
            return True

    def _logged(self, event_of: Callable[[EventRecord], Event], record: EventRecord) -> Parcel | None:
        try:
            event = event_of(record)
        except MalformedMessage as exc:
            self._say("size", f"an {record.name} of the log cannot be read: {exc}")
            return None
        parcel = self._parcel(event, float("inf"))
        event.seal()
        return parcel

    def _head(self) -> Parcel | None:
        while isinstance(head := self._queue.head(trio.current_time()), Gap):
            notices = [self._parcel(event, float("inf")) for event in self._announce(self.socket, head)]
            self._queue.announce(notice for notice in notices if notice is not None)
        return head

    def _parcel(self, event: Event, deadline: float) -> Parcel | None:
        try:
            return Parcel(event, event.encoded(self._encoding), deadline)
        except TooLarge as exc:
            self._say("size", str(exc))
            return None

    async def _flush(self) -> None:
        """Deliver all there is."""
        count = 0
        while (parcel := self._head()) is not None:
            if await self._deliver(parcel):
                count += 1
                if count % BURST == 0:
                    await trio.lowlevel.checkpoint()

    async def _deliver(self, parcel: Parcel) -> bool:
        """Try to deliver the head; whether it is settled."""
        try:
            if self._failures or not self._sender.try_send(parcel):
                await self._attempt(parcel)
        except NotSent as exc:
            self._failed(exc)
            if self._cursor is not None:
                self._cursor.rest()
            await trio.sleep_until(self._not_before)  # then look again: something may be too old by now
            return False
        except EventRefused as exc:
            self._queue.refuse(parcel, exc.reason, trio.current_time())
            self._say(parcel.event.name, str(exc))
            self._failures = 0
            self._over("reach")
        else:
            self._delivered(parcel)
        return True

    def _failed(self, exc: NotSent) -> None:
        self._failures += 1
        self._failure = str(exc)
        self._say("reach", self._failure)

    def _delivered(self, parcel: Parcel) -> None:
        self._queue.pop(parcel)
        self._sent += 1
        self._failures = 0
        self._over(parcel.event.name)
        self._over("reach")

    async def _attempt(self, parcel: Parcel) -> None:
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._not_before = trio.current_time() + pause
        await self._sender.send(parcel, pause)

    def _say(self, topic: str, text: str) -> None:
        """Log a trouble once, until it is over or another; at most once a minute."""
        if topic not in self._troubles:
            self._troubles[topic] = Throttle(LOG_INTERVAL)
        if self._troubles[topic].due(text, trio.current_time()):
            log.warning("%s: events do not arrive: %s", self._name, text)

    def _over(self, topic: str) -> None:
        trouble = self._troubles.get(topic) if self._troubles else None
        if trouble is not None and (said := trouble.over()) is not None:
            log.info("%s: events arrive again after: %s", self._name, said)
