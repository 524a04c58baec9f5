"""What it means that an event was delivered, or was not (contract 7.4).

Owns what a sender is, the outcomes that it reports, and the reasons by which drops are counted. Must not know queues
or sockets.

Delivered: handed to the kernel (udp, unix, plain tcp), answered (reliable tcp, mi) or confirmed (rabbitmq). ``NotSent``
is tried again until the event is too old, ``EventRefused`` is final.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bridge.errors import BridgeError
from bridge.protocol.event_payload import Event
from bridge.protocol.reply_socket import ReplySocket

# reason -> what it says; there are no others. A label of the metrics.
DROP_REASONS: dict[str, str] = {
    "full": "its queue was full",
    "age": "older than max_age before it could be delivered",
    "unanswered": "no answer within max_age; it may have arrived (mi: is mi_datagram loaded there, on this socket?)",
    "too_large": "larger than a datagram, and no body to shorten",
    "not_registered": "OpenSIPS answered 404: its script has no event_route for this event",
    "no_subscriber": "OpenSIPS answered 480: it has no event_route and no subscriber for this event",
    "refused": "the subscriber answered with an error",
    "store_full": "the log on disk was full or broken, and so was the memory for what waits for it",
    "store_age": "older than store_age before it could be delivered from the log",
    "store_bytes": "cut from the log, which had reached store_bytes, before it could be delivered",
    "store_lost": "in a log that was damaged, and is set aside",
    "ended": "its subscription had ended, and another one needed its place",
    "stopped": "not known to be delivered when the bridge stopped",
}


class NotSent(BridgeError):
    """An attempt failed; another may succeed. The text says what stood in the way."""


class NotTaken(NotSent):
    """Whoever got it gave it back, for now; of several that were on their way it may be that one alone."""


class EventRefused(BridgeError):
    """The event will not be taken; ``reason`` is one of DROP_REASONS, the text explains."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(slots=True, eq=False)
class Parcel:
    """One event in one socket's queue. ``deadline`` is on the loop's clock, in seconds.

    A sender that awaits an answer sets ``sent`` once a copy has left: from then on only an answer can tell.
    """

    event: Event
    payload: bytes
    deadline: float
    sent: bool = False


class Sender(Protocol):
    """Contact with one reply socket, used by one task. Opens nothing before it is asked to send."""

    def try_send(self, parcel: Parcel) -> bool:
        """Deliver if that is possible without waiting; False if not. Raises EventRefused."""

    async def send(self, parcel: Parcel, patience: float) -> None:
        """One attempt: open what is not open, wait for writability, await an answer where there is one.

        Takes ``patience`` seconds, or as long as the transport's own limits allow. Raises NotSent or EventRefused. May
        be cancelled at any checkpoint, and has none once the parcel is delivered.
        """

    def close(self) -> None:
        """Close what is open. Twice is the same as once; ``send`` would open anew."""


@runtime_checkable
class Publisher(Sender, Protocol):
    """A sender to who confirms events later: many may be on their way at a time. ``send`` is for one alone; no other
    is on its way then, and none of before counts any more.

    ``wake`` is its user's: it is called when there may be news. ``patient``: events wait as long as it takes, so that
    a broker that takes nothing for a while, but is there, is waited for.
    """

    wake: Callable[[], None]
    patient: bool

    def renew(self, socket: ReplySocket) -> None:
        """It connects with the password of this socket, which is the same else, from the next time on."""

    @property
    def can_publish(self) -> bool:
        """Whether the connection is open and the window has room."""

    @property
    def deadline(self) -> float:
        """When ``confirmed`` should be asked, whether or not there is news: on the loop's clock."""

    @property
    def trouble(self) -> str | None:
        """Why nothing is taken just now, though the connection is open."""

    def publish(self, parcel: Parcel) -> None:
        """Send it behind what is on its way; does not wait."""

    def confirmed(self) -> int:
        """How many more are confirmed, in the order in which they were published. Raises NotSent, once all that was
        confirmed before is told: what else is on its way does not count any more.
        """

    def withdraw(self) -> None:
        """Nothing that is on its way counts any more."""
