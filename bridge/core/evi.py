"""The Event Interface: events by name, their subscribers, one delivery a socket.

Owns what is raised, who gets it and the numbering. Must not know sockets (``open_sender`` makes their senders) or MI.
Authority: OpenSIPS evi/event_interface.c; contract 7. Raising is synchronous and never waits: an event
is put into bytes once for each encoding that is subscribed, and into the queue of each subscriber.
"""

import functools
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import trio

from bridge.core.event_log import EventLog
from bridge.core.event_outlets import LoggedOutlets, first_to_end
from bridge.core.event_pool import Pools
from bridge.core.event_queue import Gap
from bridge.core.event_sender import Delivery, DeliverySnapshot, QueueLimits
from bridge.core.event_window import delivery_by
from bridge.core.stats import Stats
from bridge.core.supervise import supervise
from bridge.protocol.codec import JsonObject
from bridge.protocol.event_delivery import Sender
from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_payload import (
    E_JANUS_EVENT,
    E_JANUS_STATUS,
    Event,
    Params,
    body_of,
    encoding_of,
    janus_event,
    janus_status,
)
from bridge.protocol.event_record import EventRecord
from bridge.protocol.reply_socket import ReplySocket
from bridge.protocol.subscriptions import MAX_SUBSCRIPTIONS, NO_FILTERS, Filters, Subscription, SubscriptionTable

log = logging.getLogger("bridge.evi")
OpenSender: TypeAlias = Callable[[ReplySocket], Sender]
DEFAULT_LIMITS = QueueLimits()
HOUSEKEEPING = 10.0  # seconds between looks for lapsed subscriptions and drops to be logged


class EventInterface:
    """``clock`` gives unix seconds; ages are measured on the loop's clock. E_JANUS_EVENT and E_JANUS_STATUS are there
    from the start, with ids 0 and 1. ``limits`` bound each queue, ``pending_bytes`` all of them together.
    """

    def __init__(
        self,
        open_sender: OpenSender,
        stats: Stats,
        limits: QueueLimits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.time,
        pending_bytes: int = 256 * 2**20,
        epoch: int = 1,
        numbered: bool = False,
        events_log: EventLog | None = None,
    ) -> None:
        """``epoch``: of this life alone; ``numbered``: all kinds, not ``mi:`` alone; ``events_log`` keeps all."""
        self._open_sender = open_sender
        self._stats = stats
        self._clock = clock
        self._limits = limits
        self.pools = Pools(pending_bytes)
        self._most_deliveries = 2 * MAX_SUBSCRIPTIONS
        self._deliveries: dict[ReplySocket, Delivery] = {}
        self._nursery: trio.Nursery | None = None
        self.epoch = epoch
        self._numbered = numbered
        self._log = events_log
        self._table = SubscriptionTable()
        self._logged = None if events_log is None else LoggedOutlets(events_log, self._table, self._revived)
        # Ids of raises are not to be guessed: whoever could, would answer for an OpenSIPS on an abstract unix socket.
        self._id_prefix = secrets.token_hex(8)
        self._number = 0
        self._numbers: Counter[str] = Counter()  # janus_id -> its events so far
        self.register(E_JANUS_EVENT)
        self.register(E_JANUS_STATUS)

    # Events

    def register(self, name: str) -> None:
        """Make an event known. Raises ValueError for a name over 64 bytes."""
        self._table.register(name)

    def begin(self, epoch: int) -> None:
        """Number by another epoch than that of the start, before there is any event of a gateway."""
        self.epoch = epoch
        if self._log is not None:
            self._log.epoch = epoch

    def events(self) -> list[str]:
        """All events; the id of one is its place here."""
        return self._table.events()

    def wanted(self, name: str) -> bool:
        """Whether somebody is subscribed, or all are kept. KeyError for an unknown event."""
        return self._log is not None or bool(self._active(name))

    def raise_event(
        self, name: str, params: Params, origin: str | None = None, members: JsonObject | None = None
    ) -> None:
        """Queue an event for everybody who is subscribed. KeyError for an unknown event.

        ``origin`` is the janus_id of the gateway it comes from. Without one it was raised through MI, and goes to no
        ``mi:`` socket: it may have come from the very OpenSIPS that would get it back. ``members``: what its body is
        the text of, where that is known.
        """
        n, seq = 0, None
        if origin is not None:
            n = self._numbers[origin] = self._numbers[origin] + 1
            seq = f"{self.epoch}-{n}"
        subscriptions = self._active(name)
        if self._log is not None:
            self._log.append(name, params, origin, n)
        event, now = None, 0.0
        for subscription in subscriptions:
            delivery, wanted = self._deliveries[subscription.socket], subscription.filter
            if delivery.is_logged or (origin is None and subscription.socket.is_mi):
                continue
            if wanted is not None and not wanted.passes(name, origin, body_of(params), members):
                continue
            if event is None:
                event, now = self._event(name, params, origin, seq), trio.current_time()
                event.members = members
            delivery.put(event, now)
        if event is not None:
            event.seal()

    def gateway_event(self, janus_id: str, janus_url: str, body_text: str, members: JsonObject | None = None) -> None:
        """Raise E_JANUS_EVENT. ``body_text`` is the compact JSON text of Janus's message, ``members`` the message."""
        self.raise_event(E_JANUS_EVENT, janus_event(janus_id, janus_url, body_text), janus_id, members)

    def gateway_status(self, janus_id: str, janus_url: str, status: str, reason: str, detail: str) -> None:
        """Raise E_JANUS_STATUS. ``detail`` is compact JSON text; whether it fits says ``event_payload.status_fits``."""
        self._stats.add("status_events")
        self.raise_event(E_JANUS_STATUS, janus_status(janus_id, janus_url, status, reason, detail), janus_id)

    # Subscriptions

    def subscribe(self, event: str, socket: ReplySocket, expire: int, wanted: EventFilter | None = None) -> None:
        """Subscribe by MI for ``expire`` seconds, or renew. Raises ValueError: no such event, or too many of them."""
        if socket not in self._deliveries and len(self._deliveries) >= self._most_deliveries and not self._make_way():
            raise ValueError(
                f"{len(self._deliveries)} sockets are served, some of which have ended their subscriptions"
            )
        self._table.subscribe(event, socket, expire, self._now(), wanted)
        self._reconcile()

    async def subscribe_as(
        self,
        name: str,
        event: str,
        socket: ReplySocket,
        expire: int,
        wanted: EventFilter | None = None,
        start: tuple[int, int] | None = None,
    ) -> None:
        """As ``subscribe``, under a name: it goes on where it was after a restart of the bridge, too. A new one begins
        with what is numbered ``start`` or later. Raises ValueError, also for what cannot have the name; StoreFailed.
        """
        if self._logged is None:
            raise ValueError("a name needs [events] store")
        await self._logged.name(socket, name, start, functools.partial(self.subscribe, event, socket, expire, wanted))

    def restore(self) -> None:
        """Take up what had a name in the life before. Before ``configure``, which forgets the others."""
        if self._logged is not None:
            self._logged.restore(self._now(), self._deliver)
            self._reconcile()

    def configure(self, wanted: Iterable[tuple[str, ReplySocket]], filters: Filters = NO_FILTERS) -> None:
        """Make the configured subscriptions these; acts on the difference. Raises ValueError for an unknown event."""
        self._table.configure(wanted, filters)
        self._reconcile()
        if self._logged is not None:
            self._logged.keep_only(self._deliveries)

    def is_configured(self, socket: ReplySocket) -> bool:
        """Whether the configuration names this socket, so that ``[events].allow`` does not bind it."""
        return self._table.is_configured(socket)

    def subscribers(self, event: str) -> list[tuple[Subscription, int | None]]:
        """Subscriptions to an event, newest first, with the seconds that are left (None: never expires). KeyError."""
        now = self._now()
        return [(subscription, subscription.ttl(now)) for subscription in self._active(event)]

    def figures(self) -> list[DeliverySnapshot]:
        """What the metrics say of each socket."""
        return [delivery.figures() for delivery in self._deliveries.values()]

    def troubles(self) -> dict[str, str]:
        """What is wrong with which socket, by its text."""
        return {str(one.socket): text for one in self._deliveries.values() if (text := one.trouble()) is not None}

    # Life

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver, until cancelled. Events raised before wait in their queues."""
        async with trio.open_nursery() as self._nursery:
            for delivery in self._deliveries.values():
                self._start_delivery(delivery)
            task_status.started()
            while True:
                await trio.sleep(HOUSEKEEPING)
                self._reconcile()
                for delivery in self._deliveries.values():
                    delivery.report(trio.current_time())

    async def drain(self, deadline: float) -> None:
        """Wait until all queues are empty, or ``deadline`` (loop's clock). What is left is dropped as ``run`` ends."""
        with trio.move_on_at(deadline):
            if self._log is not None:
                await self._log.flushed()
            for delivery in list(self._deliveries.values()):
                if not delivery.can_wait:
                    await delivery.drained()

    def _now(self) -> int:
        return int(self._clock())

    def _active(self, name: str) -> Sequence[Subscription]:
        return self._table.active(name, self._now())

    def _event(self, name: str, params: Params, origin: str | None, seq: str | None) -> Event:
        self._number += 1
        return Event(name, params, f"{self._id_prefix}-{self._number}", self._number, origin, seq)

    def _announce(self, socket: ReplySocket, gap: Gap) -> list[Event]:
        """The events_lost of a gap, for a socket that listens to them. They have no numbers of their own, which would
        be gaps to all others: their ``seq`` says up to where events are lost.
        """
        if not any(subscription.socket == socket for subscription in self._active(E_JANUS_STATUS)):
            return []
        events: list[Event] = []
        for key, lost in gap.items():
            janus_id, janus_url, reason = key
            self._stats.add("status_events")
            params = janus_status(janus_id, janus_url, "events_lost", reason, f'{{"lost":{lost}}}')
            events.append(self._event(E_JANUS_STATUS, params, janus_id, f"{gap.last[key]}.lost"))
        return events

    def _reconcile(self) -> None:
        """One delivery for each socket that is subscribed; those of others end when their queues are empty."""
        self._table.sweep(self._now())
        wanted = dict.fromkeys(self._table.sockets())
        for socket in wanted:
            (self._deliveries.get(socket) or self._deliver(socket)).renew(socket)
        configured = self._table.configured()
        for socket, delivery in self._deliveries.items():
            delivery.share(self.pools.configured if socket in configured else self.pools.subscribed)
            delivery.retire(socket not in wanted)
            if self._logged is not None and socket in wanted:
                self._logged.serve(delivery)
        self._divide(len(configured))

    def _deliver(self, socket: ReplySocket) -> Delivery:
        """A new delivery."""
        sender, encoding = self._open_sender(socket), encoding_of(socket, numbered=self._numbered)
        delivery = self._deliveries[socket] = delivery_by(
            socket, sender, self._announce, self._stats, self._limits, self.pools.subscribed, encoding
        )
        self._start_delivery(delivery)
        return delivery

    def _make_way(self) -> bool:
        """Give up one that has ended, if the log serves one; whether it does."""
        first = first_to_end(self._deliveries.values())
        if first is None:
            return False
        first.give_up()
        self._gone(first)
        return True

    def _revived(self, record: EventRecord) -> Event:
        return self._event(record.name, record.params, record.origin, record.seq)

    def _divide(self, configured: int) -> None:
        """Whoever is not configured has to do with the rest, also who is served to the end of its queue alone."""
        self.pools.configured.divide(configured)
        self.pools.subscribed.divide(len(self._deliveries) - configured)
        self._most_deliveries = configured + 2 * MAX_SUBSCRIPTIONS

    def _start_delivery(self, delivery: Delivery) -> None:
        if self._nursery is not None:
            run = functools.partial(delivery.run, self._gone)
            self._nursery.start_soon(supervise, run, f"sender of {delivery.socket}", log)

    def _gone(self, delivery: Delivery) -> None:
        if self._deliveries.get(delivery.socket) is delivery:  # else it was given up
            del self._deliveries[delivery.socket]
            if self._logged is not None:
                self._logged.gone(delivery)
            self._divide(len(self._table.configured()))
