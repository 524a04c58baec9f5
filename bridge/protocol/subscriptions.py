"""Who is subscribed to which event, until when.

Owns OpenSIPS's rules of expiry, renewal and listing. Must not know the clock (``now``, in whole seconds, is an
argument), or how anything is sent. Authority: OpenSIPS evi/event_interface.c; contract 7.6.

An MI subscription lapses when ``subscribed + expire < now``, and is looked at only when its event is raised or listed:
with ``expire`` 0, the way to unsubscribe, events of the same second are still delivered. A configured one never lapses;
one that was made by both ways lives until both have ended it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from bridge.protocol.event_filter import EventFilter
from bridge.protocol.reply_socket import MAX_EVENT_NAME, ReplySocket

Filters: TypeAlias = Mapping[tuple[str, ReplySocket], EventFilter]

DEFAULT_EXPIRE = 3600  # seconds
MAX_SUBSCRIPTIONS = 256  # by MI; each may hold a queue


NO_FILTERS: Filters = MappingProxyType({})


@dataclass(slots=True)
class Subscription:
    """One socket's wish for one event. ``expire`` is None where it was not subscribed by MI; ``filter``: None: all."""

    socket: ReplySocket
    configured: bool = False
    subscribed: int = 0
    expire: int | None = None
    filter: EventFilter | None = None

    def lapsed(self, now: int) -> bool:
        """Whether it has ended."""
        return not self.configured and self.over(now)

    def over(self, now: int) -> bool:
        """Whether MI has not subscribed it, or not for so long."""
        return self.expire is None or self.subscribed + self.expire < now

    def ttl(self, now: int) -> int | None:
        """Seconds that are left; 0 or less is what OpenSIPS shows as "expired"; None for one that never expires."""
        if self.configured or self.expire is None:
            return None
        return self.subscribed + self.expire - now


class SubscriptionTable:
    """Events by name, in the order of their registration, and the subscriptions to each, newest first."""

    def __init__(self) -> None:
        self._events: dict[str, list[Subscription]] = {}

    def register(self, event: str) -> None:
        """Make an event known. Twice is the same as once. Raises ValueError for a name OpenSIPS could not hold."""
        if not event or len(event.encode()) > MAX_EVENT_NAME:
            raise ValueError(f"event name {event!r} is empty or longer than {MAX_EVENT_NAME} bytes")
        self._events.setdefault(event, [])

    def events(self) -> list[str]:
        """The names; an event's id is its place here."""
        return list(self._events)

    def subscribe(
        self, event: str, socket: ReplySocket, expire: int, now: int, wanted: EventFilter | None = None
    ) -> None:
        """Subscribe by MI, or renew; what is configured keeps its filter, and a configured socket its password. Raises
        ValueError: no such event, or too many subscriptions.
        """
        if event not in self._events:
            raise ValueError(f"there is no event {event!r}")
        subscription = self.find(event, socket)
        is_new = subscription is None
        if subscription is None:
            self.sweep(now)
            if sum(item.expire is not None for item in self._all()) >= MAX_SUBSCRIPTIONS:
                raise ValueError(f"there are {MAX_SUBSCRIPTIONS} subscriptions already")
            subscription = Subscription(self._as_configured(socket) or socket)
            self._events[event].insert(0, subscription)
        subscription.subscribed, subscription.expire = now, expire
        if not subscription.configured and (is_new or expire):  # who ends it has not to say what it was
            subscription.filter = wanted
        if not self.is_configured(socket):
            self._renew(socket)

    def configure(self, wanted: Iterable[tuple[str, ReplySocket]], filters: Filters = NO_FILTERS) -> None:
        """Make the configured subscriptions these. One that stays is not touched, but for its filter.

        Raises ValueError for an event that is not registered; nothing has changed then.
        """
        pairs = dict.fromkeys(wanted)
        for event, _ in pairs:
            if event not in self._events:
                raise ValueError(f"there is no event {event!r}; there are {', '.join(self._events)}")
        for event, subscriptions in self._events.items():
            for subscription in subscriptions:
                subscription.configured = (event, subscription.socket) in pairs
        for event, socket in pairs:
            if self.find(event, socket) is None:
                self._events[event].insert(0, Subscription(socket, configured=True))
        for event, subscriptions in self._events.items():
            for subscription in subscriptions:
                if subscription.configured:
                    subscription.filter = filters.get((event, subscription.socket))
        for _, socket in pairs:
            self._renew(socket)

    def active(self, event: str, now: int) -> Sequence[Subscription]:
        """The subscriptions to an event, newest first, the lapsed ones removed. KeyError for an unknown event."""
        subscriptions = self._events[event]
        for subscription in subscriptions:
            if subscription.lapsed(now):
                self.sweep(now)
                break
        return subscriptions

    def sweep(self, now: int) -> None:
        """Remove what has lapsed."""
        for subscriptions in self._events.values():
            subscriptions[:] = [item for item in subscriptions if not item.lapsed(now)]
            for item in subscriptions:
                if item.over(now):
                    item.expire = None  # the configuration alone has it now

    def find(self, event: str, socket: ReplySocket) -> Subscription | None:
        """The subscription of exactly this socket."""
        return next((item for item in self._events[event] if item.socket == socket), None)

    def sockets(self) -> list[ReplySocket]:
        """Every socket that is subscribed to something, once."""
        return list(dict.fromkeys(item.socket for item in self._all()))

    def filters(self, socket: ReplySocket) -> dict[str, EventFilter | None]:
        """The events that this socket is subscribed to, each with its filter."""
        found = ((event, self.find(event, socket)) for event in self._events)
        return {event: subscription.filter for event, subscription in found if subscription is not None}

    def ends(self, socket: ReplySocket) -> dict[str, tuple[int, EventFilter | None]]:
        """The events that MI has subscribed it to: until which second, and the filter."""
        found = ((event, self.find(event, socket)) for event in self._events)
        return {
            event: (one.subscribed + one.expire, one.filter)
            for event, one in found
            if one is not None and one.expire is not None
        }

    def configured(self) -> set[ReplySocket]:
        """The sockets that the configuration names."""
        return {item.socket for item in self._all() if item.configured}

    def is_configured(self, socket: ReplySocket) -> bool:
        """Whether the configuration names this socket."""
        return self._as_configured(socket) is not None

    def _as_configured(self, socket: ReplySocket) -> ReplySocket | None:
        """The same one as the configuration has it, with the password there."""
        return next((item.socket for item in self._all() if item.configured and item.socket == socket), None)

    def _renew(self, socket: ReplySocket) -> None:
        """Who is subscribed as this one has its password, which takes no part in whether they are the same."""
        for subscription in self._all():
            if subscription.socket == socket:
                subscription.socket = socket

    def _all(self) -> Iterator[Subscription]:
        for subscriptions in self._events.values():
            yield from subscriptions
