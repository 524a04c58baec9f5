"""One broker's way out: many events on their way at a time, because a broker confirms each only once it is safe.

Owns what may follow what: while all is well, a window of events that are not confirmed yet; after a fault, from the
first of them on again, one by one where the broker may have minded one of them. Must not know brokers (a ``Publisher``
does). Authority: contract 7.3, 7.4.

One by one is what every other socket has, with its attempts and pauses (``Delivery``), so that a fault has one place.
In a window the events behind the one that came back may have been taken: they come again behind it, and are known by
their numbers.
"""

from collections import deque
from collections.abc import Callable, Iterable

import trio

from bridge.core.event_cursor import LogCursor
from bridge.core.event_pool import Pool
from bridge.core.event_queue import Gap
from bridge.core.event_sender import BURST, Delivery, QueueLimits
from bridge.core.stats import Stats
from bridge.protocol.event_delivery import NotSent, NotTaken, Parcel, Publisher, Sender
from bridge.protocol.event_payload import Encoding, Event
from bridge.protocol.event_record import EventRecord
from bridge.protocol.reply_socket import ReplySocket


class WindowDelivery(Delivery):
    """Delivers to one broker. As Delivery, but for the sender."""

    def __init__(
        self,
        socket: ReplySocket,
        publisher: Publisher,
        announce: Callable[[ReplySocket, Gap], Iterable[Event]],
        stats: Stats,
        limits: QueueLimits,
        pool: Pool | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        super().__init__(socket, publisher, announce, stats, limits, pool, encoding)
        self._publisher = publisher
        self._stats = stats
        self._singly = 0  # so many go one by one
        publisher.wake = self._news

    def follow(self, cursor: LogCursor, event_of: Callable[[EventRecord], Event]) -> None:
        """Its events come from the log from now on, which waits."""
        self._publisher.patient = True
        super().follow(cursor, event_of)

    def renew(self, socket: ReplySocket) -> None:
        """It is that one: the same, but perhaps with another password."""
        self.socket = socket
        self._publisher.renew(socket)

    def trouble(self) -> str | None:
        """What is wrong now, also that the broker takes nothing for a while."""
        return self._publisher.trouble or super().trouble()

    def _wake(self) -> None:
        super()._wake()
        self._work.set()  # there may be room in the window

    def _news(self) -> None:
        if self._publisher.trouble is not None:
            self._say("reach", self._publisher.trouble)
        self._work.set()

    async def _flush(self) -> None:
        while (parcel := self._head()) is not None:
            if self._singly == 0 and self._publisher.can_publish:
                await self._stream()
            elif await self._deliver(parcel):
                self._singly = max(0, self._singly - 1)

    async def _stream(self) -> None:
        """Until nothing is left that is known of, or not everything is well."""
        queue, publisher, out = self._queue, self._publisher, deque[Parcel]()
        try:
            while True:
                while count := publisher.confirmed():
                    for _ in range(count):
                        self._delivered(out.popleft())
                while publisher.can_publish and (parcel := await self._ahead()) is not None:
                    publisher.publish(parcel)
                    out.append(parcel)
                    queue.out += 1
                    if queue.out % BURST == 0:
                        await trio.lowlevel.checkpoint()
                if not out:
                    return
                with trio.move_on_at(publisher.deadline):
                    await self._work.wait()
        except NotSent as exc:
            self._failed(exc)
            self._singly = len(out) if isinstance(exc, NotTaken) else 0
        finally:
            publisher.withdraw()
            queue.out = 0

    async def _ahead(self) -> Parcel | None:
        queue = self._queue
        parcel = queue.ahead()
        if parcel is None and queue is self._cursor and await self._more(self._cursor):
            parcel = queue.ahead()
        return parcel

    def _failed(self, exc: NotSent) -> None:
        if isinstance(exc, NotTaken):
            self._stats.add("events_returned")
        super()._failed(exc)


def delivery_by(
    socket: ReplySocket,
    sender: Sender,
    announce: Callable[[ReplySocket, Gap], Iterable[Event]],
    stats: Stats,
    limits: QueueLimits,
    pool: Pool,
    encoding: Encoding,
) -> Delivery:
    """The delivery that goes with a sender, of the parameters that both kinds have."""
    if isinstance(sender, Publisher):
        return WindowDelivery(socket, sender, announce, stats, limits, pool, encoding)
    return Delivery(socket, sender, announce, stats, limits, pool, encoding)
