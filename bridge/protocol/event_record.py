"""An event as the log keeps it.

Owns the shape of what is kept of an event and of an outlet, the way from parameters to columns and back, and what a
store is. Must not know files or queues. Authority: contract 12; the columns are those of ``janus_event`` in
transport/event_pages.py.

Events are kept, written and read by pages, so that memory, threads and the disk have a 256th to do of what it would be
with each event on its own.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from bridge.errors import BridgeError, MalformedMessage
from bridge.protocol import codec
from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_payload import BODY, E_JANUS_EVENT, Params, janus_event
from bridge.protocol.numbers import read_decimal

LARGEST = 2**53 - 1  # of an epoch or a number: what every reader of JSON holds exactly
MOST_EVENTS: Final = 1 << 52  # that a log ever counts: a larger position is damage
PAGE: Final = 256  # events of a page, at most
PAGE_BYTES: Final = 1 << 20  # from which on a page is full
OVERHEAD: Final = 512  # bytes that an event takes in memory beside its body

# An event but for its position: at, name, origin, epoch, n, url, body
Row: TypeAlias = tuple[float, str, str | None, int, int, str | None, str]
Names: TypeAlias = Mapping[str, EventFilter | None]  # events, each with its filter


class EventRecord(NamedTuple):
    """``position`` counts all events of the log; ``at`` is in unix seconds. ``origin``, ``epoch`` and ``n`` make its
    ``janus_seq``; what MI raised has neither: None, 0, 0. ``url`` and ``body`` hold its parameters.
    """

    position: int
    at: float
    name: str
    origin: str | None
    epoch: int
    n: int
    url: str | None
    body: str

    @property
    def seq(self) -> str | None:
        """Its ``janus_seq``."""
        return None if self.origin is None else f"{self.epoch}-{self.n}"

    @property
    def message(self) -> str:
        """Janus's message, as JSON text; "" where there is none."""
        return self.body if self.url is not None else self.text_of(BODY)

    def text_of(self, name: str) -> str:
        """A parameter as text; "" where there is none, or they cannot be read."""
        try:
            return next((str(value) for one, value in self.params if one == name), "")
        except MalformedMessage:
            return ""

    @property
    def params(self) -> Params:
        """Its parameters, in order. Raises MalformedMessage: it has too many elements, or is damaged."""
        if self.url is not None and self.origin is not None:
            return janus_event(self.origin, self.url, self.body)
        pairs = codec.parse(self.body)
        try:
            return [(name, value) for name, value in pairs]
        except (TypeError, ValueError):
            raise MalformedMessage("not a list of pairs") from None


class LogPage:
    """Events side by side: ``rows[i]`` has the position ``first + i``. ``size`` is what they take, in bytes."""

    __slots__ = ("first", "rows", "size")

    def __init__(self, first: int, rows: Sequence[Row] = ()) -> None:
        self.first = first
        self.rows: list[Row] = []
        self.size = 0
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> int:
        """The next event; returns its size."""
        size = len(row[6]) + OVERHEAD
        self.rows.append(row)
        self.size += size
        return size

    def drop(self) -> tuple[EventRecord, int]:
        """Let go of the first event: what it was, and its size."""
        record = EventRecord(self.first, *self.rows.pop(0))
        size = len(record.body) + OVERHEAD
        self.first += 1
        self.size -= size
        return record, size

    @property
    def last(self) -> int:
        """The position of its last event."""
        return self.first + len(self.rows) - 1

    def records(self, after: int = 0, upto: int = LARGEST) -> list[EventRecord]:
        """Those behind ``after``, up to ``upto``."""
        first, rows = self.first, self.rows
        chosen = range(max(0, after + 1 - first), min(len(rows), upto + 1 - first))
        return [EventRecord(first + index, *rows[index]) for index in chosen]


class Loss(NamedTuple):
    """What an outlet has still to be told, before what is behind the position ``before``; ``last``: the newest one's
    janus_seq.
    """

    janus_id: str
    janus_url: str
    reason: str
    lost: int
    last: str | None
    before: int


class Wish(NamedTuple):
    """One event of a named subscription: until when, in unix seconds, and a filter's lists by its members, if any."""

    event: str
    until: int
    filter: dict[str, list[str]] | None = None


class NamedSubscription(NamedTuple):
    """What MI has subscribed by name: it outlives the process."""

    socket: str
    wishes: tuple[Wish, ...]


class OutletState(NamedTuple):
    """What is kept of an outlet: up to where it has everything, and what it has still to be told. ``subscription``: of
    one that the configuration does not name; ``until``: up to where it gets events, if that has ended. ``wanted``:
    what it wants, as the last, and wanted before, each up to a position.
    """

    name: str
    position: int
    losses: tuple[Loss, ...] = ()
    subscription: NamedSubscription | None = None
    until: int | None = None
    wanted: tuple[tuple[int, Names], ...] = ()


SEQ_FORM = "EPOCH-N, as 0-0"  # a janus_seq, in words


def read_seq(text: str) -> tuple[int, int] | None:
    """Epoch and number of a ``janus_seq``; None for what is none."""
    parts = text.split("-")
    numbers = [read_decimal(part, LARGEST) for part in parts]
    if len(parts) != 2 or numbers[0] is None or numbers[1] is None:
        return None
    return numbers[0], numbers[1]


def row_of(at: float, name: str, params: Params, origin: str | None = None, epoch: int = 0, n: int = 0) -> Row:
    """What is kept of an event."""
    if name == E_JANUS_EVENT and origin is not None and len(params) == 3 and params[2][0] == BODY:
        return at, name, origin, epoch, n, str(params[1][1]), str(params[2][1])
    pairs = codec.render([[name, value] for name, value in params])
    return at, name, origin, epoch, n, None, pairs


class GatewayEvents(NamedTuple):
    """What a store has of a gateway: its first and its last event."""

    janus_id: str
    first: EventRecord
    last: EventRecord


class StoreFailed(BridgeError):
    """The store could not do it; another attempt may succeed. The text says why."""


class StoreAnew(StoreFailed):
    """What the store had is set aside, and it has begun anew, empty."""


class StoreContents(NamedTuple):
    """What a store has when it is opened: the position of its newest event, its newest epoch, and its outlets."""

    end: int = 0
    epoch: int = 0
    outlets: tuple[OutletState, ...] = ()


class Store(Protocol):
    """The log on a disk. What is awaited raises StoreFailed; ``write`` StoreAnew, too."""

    async def write(
        self, pages: Sequence[LogPage], outlets: Sequence[OutletState], gone: Sequence[str], cut: int
    ) -> None:
        """All of it or nothing: keep pages and outlets, forget those ``gone``, and the pages up to ``cut``."""

    async def read(self, after: int, upto: int) -> tuple[list[EventRecord], int]:
        """The first records with ``after`` < position <= ``upto``, two pages at most, and how far that has looked."""

    async def replay(self, janus_id: str, epoch: int, n: int, limit: int) -> list[EventRecord]:
        """The first events of a gateway from a number on; fewer than ``limit`` also where they are large."""

    async def place_of(self, epoch: int, n: int) -> int | None:
        """The position before the first event of any gateway that is numbered so or later; None: there is none."""

    async def gateways(self) -> list[GatewayEvents]:
        """What it has of each gateway."""

    async def overdue(self, age: float, size: int) -> tuple[int, str] | None:
        """Up to where it should be cut, the end of a page, and the reason (of DROP_REASONS); None while it is young and
        small enough.
        """

    async def leave(self, outlets: Sequence[OutletState]) -> None:
        """Where it takes no ``write`` at the stop: what the next one that opens it is to know of these."""

    def figures(self) -> tuple[int, int]:
        """Events and bytes that it has."""

    def close(self) -> None:
        """Let go of the files, unless what was cancelled is still at them."""


class Log(Protocol):
    """What an outlet needs of the log: its newest position, a page as of ``Store.read``, and to say that it moved."""

    @property
    def end(self) -> int: ...

    async def read(self, after: int, upto: int) -> tuple[list[EventRecord], int]: ...

    def moved(self) -> None: ...
