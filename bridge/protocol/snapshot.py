"""What can be told of the bridge at one moment, as plain values.

Owns the words for it: outcomes of a command, the steps of the histogram, and the records that metrics, status page and
statistics are made of. Must not know who counts (``core/metrics.py`` gathers) or who shows (``transport/pages``).
Authority: contract 8.2; nothing in here is secret: session ids are shortened, URLs have no query (contract 6.4).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from bridge.protocol.life import Visible

Freshness: TypeAlias = Literal["none", "stale", "fresh"]

STATES: Final[Sequence[str]] = get_args(Visible)  # of a gateway

NODE_STATES: Final = ("active", "draining", "silent", "over", "taken")  # of a bridge of a cluster

# outcome -> what it says; there are no others. A label of the metrics, and the end of the name of a statistic. Every
# command that reached a gateway has exactly one.
OUTCOMES: Final[Mapping[str, str]] = {
    "answered": "Janus answered",
    "error": "Janus answered with an error",
    "timeout": "no answer within its time limit (408)",
    "lost": "sent, then the connection was lost (502)",
    "unsent": "not sent: the gateway was not connected (503)",
    "busy": "not sent: as many were in flight as max_in_flight allows (503)",
    "invalid": "not sent: it would have harmed a session that the bridge keeps (400)",
    "removed": "its gateway was taken out of the table (404)",
    "left": "not sent: its caller went away first",
}

# Upper ends of the histogram's steps, in seconds; one more step has no end. A Janus nearby answers in under 1 ms, a
# plugin that asks others in tens, and 5 s is the default time limit.
BUCKETS: Final[Sequence[float]] = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


MOST_SESSIONS: Final = 20  # of one gateway that are told singly


class SessionSnapshot(NamedTuple):
    """``session`` is shortened; ``plugins`` says how many handles each plugin has, "" for those not known."""

    session: str
    managed: bool
    plugins: Mapping[str, int]


class HistorySnapshot(NamedTuple):
    """One entry of a gateway's history, as in ``protocol/history.py``. ``when`` in unix seconds; ``session`` is
    shortened, "" where it is about none; ``handles``: how many ended with it. Reason and transaction may be any text.
    """

    when: float
    what: str
    session: str
    handle_id: int | None
    plugin: str
    reason: str
    transaction: str
    handles: int


SAMPLE: Final = 5.0  # seconds between two samples


class GatewayRecentSnapshot(NamedTuple):
    """A gateway's samples, the oldest first: commands and events a second, and the seconds within which 99 of 100
    answers came; NaN where there was none.
    """

    commands: Sequence[float] = ()
    events: Sequence[float] = ()
    p99: Sequence[float] = ()


class RecentSnapshot(NamedTuple):
    """The bridge's samples, the oldest first: commands, events and dropped events a second; the seconds within which
    half and 99 of 100 answers came, NaN where there was none; the worst delay of the event loop in seconds.
    """

    commands: Sequence[float] = ()
    p50: Sequence[float] = ()
    p99: Sequence[float] = ()
    events: Sequence[float] = ()
    drops: Sequence[float] = ()
    lag: Sequence[float] = ()


class GatewaySnapshot(NamedTuple):
    """One gateway. ``state`` is one of STATES, ``since`` in unix seconds, ``rtt`` (of the last keepalive) in seconds.

    Rates are a second. ``buckets`` are the answers by BUCKETS, not summed up, and one more for those that took longer;
    ``seconds`` is the time that all these answers took. ``last_error`` may hold any text that Janus sent.
    ``sessions`` are the first MOST_SESSIONS of ``session_count``.
    ``serving_url``: where the connection in service leads, while the row says another URL. ``history``: its last
    entries, the newest first.
    """

    janus_id: str
    janus_url: str
    state: str
    draining: bool
    since: float
    rtt: float | None
    sessions: Sequence[SessionSnapshot]
    session_count: int
    handle_count: int
    in_flight: int
    reconnects: int
    last_error: str | None
    outcomes: Mapping[str, int]
    buckets: Sequence[int]
    seconds: float
    events: int
    command_rate: float
    event_rate: float
    serving_url: str | None = None
    history: Sequence[HistorySnapshot] = ()
    recent: GatewayRecentSnapshot = GatewayRecentSnapshot()


class SubscriberSnapshot(NamedTuple):
    """One socket that events go to. ``events`` are those it is subscribed to, none while only its queue is left.

    ``ttl``: seconds that its subscription by MI has left, None for a configured one. ``drops`` by reason.
    ``trouble``: that it cannot be reached now, or that events were dropped in the last minute.
    """

    subscriber: str
    events: Sequence[str]
    ttl: int | None
    queued: int
    queued_bytes: int
    sent: int
    drops: Mapping[str, int]
    trouble: str | None = None


class TableSnapshot(NamedTuple):
    """The janus table. ``age``: seconds since the database gave it, None if it never did.

    ``error``: why the last attempt to read it failed; ``attempted``: whether there was one yet.
    """

    freshness: Freshness
    age: float | None
    error: str | None
    attempted: bool

    @property
    def state(self) -> Freshness:
        """Freshness and trouble in one word: a table that could not be read when it was last asked for is not fresh."""
        return "stale" if self.freshness == "fresh" and self.error is not None else self.freshness

    @property
    def current(self) -> bool:
        """Whether the gateways are what the database said when it was last asked."""
        return self.state == "fresh"


class BudgetSnapshot(NamedTuple):
    """A budget of bytes by its name: what is held, what may be, and how often there was no room."""

    name: str
    used: int
    total: int
    refused: int


class Room(NamedTuple):
    """What the system lets this process have: bytes of memory and tasks, used and allowed; None: nothing is known."""

    memory: int | None = None
    memory_limit: int | None = None
    tasks: int | None = None
    tasks_limit: int | None = None


class StoreSnapshot(NamedTuple):
    """The log of events: events and bytes on the disk, events that wait for it, seconds that the last write took,
    seconds since the oldest event was raised that an outlet is at; ``trouble``: why nothing is kept on disk now.
    """

    events: int
    bytes: int
    waiting: int
    commit: float
    oldest: float
    trouble: str | None


class NodeSnapshot(NamedTuple):
    """A bridge of the cluster, as this one sees it. ``state``: active, draining, silent (its beat stands still), over
    (its sessions are still to be taken) or taken; ``still``: seconds since its beat last moved, by our own clock.
    """

    node_id: int
    url: str
    state: str
    still: float
    epoch: int
    beat: int


class ClusterSnapshot(NamedTuple):
    """The cluster, all its nodes, ourselves too. ``valid``: seconds for which this bridge may still claim and destroy,
    not above 0 when its fence is shut; ``serves``: whether it writes to Janus at all; ``trouble``: why it cannot beat.
    """

    cluster_id: int
    node_id: int
    valid: float
    serves: bool
    trouble: str | None
    nodes: Sequence[NodeSnapshot]


class Snapshot(NamedTuple):
    """The whole bridge. ``now`` and ``started`` in unix seconds, ``loop_lag`` in seconds (the worst of a minute).

    ``counters`` are the totals since the start by statistic. ``gateways`` are read one by one as they are asked for,
    so that whoever shows a thousand of them can let other tasks run in between. ``store`` and ``cluster``: None where
    there is none.
    """

    version: str
    now: float
    started: float
    loop_lag: float
    table: TableSnapshot
    counters: Mapping[str, int]
    budgets: Sequence[BudgetSnapshot]
    room: Room
    subscribers: Sequence[SubscriberSnapshot]
    gateways: Iterator[GatewaySnapshot]
    store: StoreSnapshot | None = None
    cluster: ClusterSnapshot | None = None
    recent: RecentSnapshot = RecentSnapshot()
