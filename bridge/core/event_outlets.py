"""Which sockets are served from the log of events, and under which name each has its place there.

Owns that choice: configured sockets that answer, and those that MI has given a name; a name and its place outlive the
process. Must not know who delivers, or files. Authority: contract 12.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter

from bridge.core.event_log import EventLog
from bridge.core.event_sender import Delivery
from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_payload import Event
from bridge.protocol.event_record import EventRecord, NamedSubscription, Wish
from bridge.protocol.reply_socket import ReplySocket
from bridge.protocol.subscriptions import SubscriptionTable

log = logging.getLogger("bridge.evi")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # never the text of a socket, which is the name of a configured one


def first_to_end(deliveries: Iterable[Delivery]) -> Delivery | None:
    """Of those that have ended; the log would keep what they have not got for a day."""
    ended = [(at, one) for one in deliveries if (at := one.ended_at) is not None]
    return min(ended, key=itemgetter(0))[1] if ended else None


class LoggedOutlets:
    """``event_of`` makes an event of what was kept of it."""

    def __init__(
        self, events_log: EventLog, table: SubscriptionTable, event_of: Callable[[EventRecord], Event]
    ) -> None:
        self._log = events_log
        self._table = table
        self._event_of = event_of
        self._names: dict[ReplySocket, str] = {}  # of those that MI has named: one name each, one socket a name
        self._places: dict[str, int] = {}  # behind where a new one begins

    async def name(
        self, socket: ReplySocket, name: str, start: tuple[int, int] | None, subscribe: Callable[[], None]
    ) -> None:
        """Name a socket and subscribe it; the name again is the same as once. A new one begins with what is numbered
        ``start`` or later.

        Raises ValueError: it cannot have that name, or not be subscribed; StoreFailed.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"the name {name!r} is not of 1 to 64 letters, digits, _, . and -")
        if not socket.answers:
            raise ValueError(
                f"{socket} cannot have a name: it does not say what it has got; mi:, tcp: and rabbitmq: do"
            )
        if self._table.is_configured(socket):
            raise ValueError(f"{socket} is configured, and needs no name")
        place = None if start is None else await self._log.place_of(*start)
        if self._names.get(socket, name) != name:
            raise ValueError(f"{socket} is subscribed as {self._names[socket]}")
        twin = next((other for other, known in self._names.items() if known == name and other != socket), None)
        if twin is not None:
            if twin in self._table.sockets():
                raise ValueError(f"{name} is the subscription of {twin}: end that one first, by expire 0")
            raise ValueError(f"{name} has ended, and {twin} has still to get events of it: take another name")
        is_new = socket not in self._names
        self._names[socket] = name
        if place is not None:
            self._places.setdefault(name, place)
        try:
            subscribe()
        except ValueError:
            if is_new:
                self.unname(socket)
            raise

    def serve(self, delivery: Delivery) -> None:
        """A delivery of what is subscribed: from the log, if it is one of those."""
        socket = delivery.socket
        is_ours = socket in self._names or self._table.is_configured(socket)
        if not (socket.answers and (is_ours or delivery.is_logged)):  # from the log once is from the log on
            return
        self._follow(delivery, self._table.filters(socket))
        name, ends = self._names.get(socket), self._table.ends(socket)
        if name is None:
            return
        if ends:
            wishes = [Wish(event, until, one.lists() if one else None) for event, (until, one) in ends.items()]
            self._log.outlets[name].named(NamedSubscription(socket.secret_text, tuple(wishes)))
        else:  # MI has ended it, the configuration has not: it goes on as what it is to that
            self._log.rename(name, str(socket))
            self.unname(socket)

    def _follow(self, delivery: Delivery, names: Mapping[str, EventFilter | None]) -> None:
        name = self._name_of(delivery.socket)
        cursor = self._log.outlet(name, delivery.drops, self._places.get(name))
        if not delivery.is_logged:
            delivery.wanted.restore(cursor.wanted)
        delivery.wanted.change(names, cursor.position, self._log.end)
        cursor.keep_wanted(delivery.wanted.kept())
        if not delivery.is_logged:
            delivery.follow(cursor, self._event_of)

    def gone(self, delivery: Delivery) -> None:
        """It has everything, and is over."""
        if delivery.is_logged:
            self._log.forget(self._name_of(delivery.socket))
        self.unname(delivery.socket)

    def unname(self, socket: ReplySocket) -> None:
        """It is not named any more."""
        self._places.pop(self._names.pop(socket, ""), None)

    def keep_only(self, sockets: Iterable[ReplySocket]) -> None:
        """Forget the places of all others."""
        self._log.forget_others([self._name_of(socket) for socket in sockets])

    def restore(self, now: int, deliver: Callable[[ReplySocket], Delivery]) -> None:
        """Subscribe again what had a name in the life before, and has not lapsed at ``now`` (unix seconds). What has,
        gets a delivery by ``deliver``, which ends with what it had not got.
        """
        for name, subscription in self._log.subscriptions().items():
            text = subscription.socket
            try:
                socket = ReplySocket.parse(text, reliable=text.startswith("tcp:"))
                wanted = {
                    one.event: None if one.filter is None else EventFilter.read(one.filter)
                    for one in subscription.wishes
                }
                live = [one for one in subscription.wishes if one.until >= now]
                for one in live:
                    self._table.subscribe(one.event, socket, one.until - now, now, wanted[one.event])
            except ValueError as exc:
                log.warning("the saved subscription %s is not resumed: %s", name, exc)
            else:
                self._names[socket] = name
                if not live:
                    delivery = deliver(socket)
                    delivery.retire(True)
                    self._follow(delivery, wanted)

    def _name_of(self, socket: ReplySocket) -> str:
        return self._names.get(socket, str(socket))
