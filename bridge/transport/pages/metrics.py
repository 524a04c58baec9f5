"""``/metrics``: the figures of the bridge as Prometheus reads them.

Owns the names of the metrics: the tables below are the only place where they are written down; changing one breaks
somebody's dashboard. The only file that knows prometheus_client, of which it uses neither the global registry nor the
instruments: the bridge has counted already. Authority: contract 8.2; Prometheus's text format 0.0.4.
"""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import accumulate
from typing import Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import trio
from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.utils import floatToGoString

from bridge.protocol.event_delivery import DROP_REASONS
from bridge.protocol.snapshot import (
    BUCKETS,
    NODE_STATES,
    STATES,
    ClusterSnapshot,
    GatewaySnapshot,
    Snapshot,
    StoreSnapshot,
    SubscriberSnapshot,
)
from bridge.protocol.statistics import COUNTERS
from bridge.transport.http_messages import Reply
from bridge.transport.pages.cooperative import TURN, map_cooperatively

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
PREFIX: Final = "janus_bridge_"
_HEADERS: Final = (
    b"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n"
)

T = TypeVar("T")
MetricType: TypeAlias = Literal["gauge", "counter", "histogram"]
Samples: TypeAlias = Iterable[tuple[Sequence[str], float]]


class MetricRow(NamedTuple, Generic[T]):
    """A metric. ``statistic`` is the one of MI that has its sum, ``*`` in it the value of the last label.

    ``read`` gives the values of one gateway, subscriber or bridge: label values, number.
    """

    name: str
    kind: MetricType
    labels: tuple[str, ...]
    statistic: str
    help: str
    read: Callable[[T], Samples]


COMMAND_SECONDS: Final = MetricRow[GatewaySnapshot](
    "command_seconds", "histogram", ("janus_id",), "command_us",
    "Time from a command's acceptance to Janus's answer, where one came", lambda g: [((g.janus_id,), g.seconds)],
)  # fmt: skip

GATEWAY: Final[Sequence[MetricRow[GatewaySnapshot]]] = (
    MetricRow("gateway_up", "gauge", ("janus_id",), "gateways_ready",
        "1 while commands can be sent to the gateway", lambda g: [((g.janus_id,), g.state == "ready")]),
    MetricRow("gateway_state", "gauge", ("janus_id", "state"), "",
        "1 for the state that the gateway is in", lambda g: [((g.janus_id, s), s == g.state) for s in STATES]),
    MetricRow("gateway_draining", "gauge", ("janus_id",), "gateways_draining",
        "1 while the gateway takes no new sessions and handles", lambda g: [((g.janus_id,), g.draining)]),
    MetricRow("gateway_rtt_seconds", "gauge", ("janus_id",), "",
        "Round trip of the last keepalive on the present connection",
        lambda g: [] if g.rtt is None else [((g.janus_id,), g.rtt)]),
    MetricRow("gateway_sessions", "gauge", ("janus_id",), "sessions",
        "Janus sessions kept, the managed one and those of callers", lambda g: [((g.janus_id,), g.session_count)]),
    MetricRow("gateway_handles", "gauge", ("janus_id",), "handles",
        "Plugin handles known",
        lambda g: [((g.janus_id,), g.handle_count)]),
    MetricRow("in_flight", "gauge", ("janus_id",), "in_flight",
        "Commands accepted and not answered yet", lambda g: [((g.janus_id,), g.in_flight)]),
    MetricRow("commands_total", "counter", ("janus_id", "outcome"), "commands_*",
        "Commands by what became of them", lambda g: [((g.janus_id, one), n) for one, n in g.outcomes.items()]),
    MetricRow("reconnects_total", "counter", ("janus_id",), "reconnects",
        "Connections re-established", lambda g: [((g.janus_id,), g.reconnects)]),
    MetricRow("events_total", "counter", ("janus_id",), "events",
        "Messages of Janus that answer no command", lambda g: [((g.janus_id,), g.events)]),
)  # fmt: skip

SUBSCRIBER: Final[Sequence[MetricRow[SubscriberSnapshot]]] = (
    MetricRow("queue_events", "gauge", ("subscriber",), "queue_events",
        "Events that wait to be delivered", lambda s: [((s.subscriber,), s.queued)]),
    MetricRow("queue_bytes", "gauge", ("subscriber",), "queue_bytes",
        "Bytes of the events that wait", lambda s: [((s.subscriber,), s.queued_bytes)]),
    MetricRow("events_sent_total", "counter", ("subscriber",), "events_sent",
        "Events delivered", lambda s: [((s.subscriber,), s.sent)]),
    MetricRow("event_drops_total", "counter", ("subscriber", "reason"), "event_drops",
        "Events not delivered", lambda s: [((s.subscriber, one), s.drops.get(one, 0)) for one in DROP_REASONS]),
)  # fmt: skip


def _total(name: str, statistic: str, help: str) -> MetricRow[Snapshot]:
    return MetricRow(f"{name}_total", "counter", (), statistic, help, lambda b: [((), b.counters[statistic])])


def _room(name: str, statistic: str, help: str, member: str) -> MetricRow[Snapshot]:
    def read(figures: Snapshot) -> Samples:
        value = getattr(figures.room, member)
        return [] if value is None else [((), value)]

    return MetricRow(name, "gauge", (), statistic, help, read)


def _cluster(
    name: str, labels: tuple[str, ...], help: str, read: Callable[[ClusterSnapshot], Samples]
) -> MetricRow[Snapshot]:
    return MetricRow(
        f"cluster_{name}", "gauge", labels, "", help, lambda b: [] if b.cluster is None else read(b.cluster)
    )


def _store(name: str, help: str, read: Callable[[StoreSnapshot], float]) -> MetricRow[Snapshot]:
    return MetricRow(f"store_{name}", "gauge", (), "", help, lambda b: [] if b.store is None else [((), read(b.store))])


BRIDGE: Final[Sequence[MetricRow[Snapshot]]] = (
    MetricRow("build_info", "gauge", ("version", "python"), "",
        "1; the labels tell the version", lambda b: [((b.version, platform.python_version()), 1)]),
    MetricRow("table_fresh", "gauge", (), "table_fresh",
        "1 if the gateways are what the database said when it was last asked", lambda b: [((), b.table.current)]),
    MetricRow("table_age_seconds", "gauge", (), "table_age",
        "Time since the janus table was read from the database; absent if it never was",
        lambda b: [] if b.table.age is None else [((), b.table.age)]),
    MetricRow("loop_lag_seconds", "gauge", (), "loop_lag_us",
        "The longest that the event loop ran late in the last minute", lambda b: [((), b.loop_lag)]),
    MetricRow("pending_bytes", "gauge", ("budget",), "pending_*",
        "Bytes held of the budgets that are called pending_bytes, by section of the configuration",
        lambda b: [((one.name,), one.used) for one in b.budgets]),
    MetricRow("pending_bytes_limit", "gauge", ("budget",), "",
        "Bytes that may be held of them", lambda b: [((one.name,), one.total) for one in b.budgets]),
    MetricRow("pending_refusals_total", "counter", ("budget",), "",
        "Requests and messages that found no room in them",
        lambda b: [((one.name,), one.refused) for one in b.budgets]),
    _room("memory_bytes", "memory_used", "Memory of the control group that is nearest to its limit", "memory"),
    _room("memory_limit_bytes", "memory_limit", "Its limit, as MemoryMax=; absent if there is none", "memory_limit"),
    _room("tasks", "tasks_used", "Tasks of the control group that is nearest to its limit", "tasks"),
    _room("tasks_limit", "tasks_limit", "Its limit, as TasksMax=; absent if there is none", "tasks_limit"),
    _store("up", "1 while events are kept on disk; this and the next are absent without [events] store",
        lambda store: store.trouble is None),
    _store("events", "Events in the log on disk", lambda store: store.events),
    _store("bytes", "Size of that log, which store_bytes bounds, and of its WAL", lambda store: store.bytes),
    _store("waiting_events", "Events that wait to be written to it", lambda store: store.waiting),
    _store("commit_seconds", "Time that the last write took", lambda store: store.commit),
    _store("oldest_seconds", "Age of the oldest event that a subscriber with a place in the log has not got",
        lambda store: store.oldest),
    _cluster("valid_seconds", (),
        "Time for which this bridge may still claim and destroy; not above 0 when its fence is shut. This and the next "
        "are absent without [cluster]", lambda cluster: [((), cluster.valid)]),
    _cluster("serves", (), "1 while this bridge writes to Janus at all", lambda cluster: [((), cluster.serves)]),
    _cluster("node_up", ("node",), "1 while the bridge of this node_id beats",
        lambda cluster: [((str(n.node_id),), n.state in ("active", "draining")) for n in cluster.nodes]),
    _cluster("node_state", ("node", "state"), "1 for the state that the bridge of this node_id is in",
        lambda cluster: [((str(n.node_id), s), s == n.state) for n in cluster.nodes for s in NODE_STATES]),
    _cluster("node_still_seconds", ("node",), "Time since its beat last moved, as this bridge sees it",
        lambda cluster: [((str(n.node_id),), n.still) for n in cluster.nodes]),
    _total("commands_accepted", "commands", "Commands accepted"),
    _total("notifications_done", "notifications_done", "Commands without an id whose ack or success was dropped"),
    _total("status_events", "status_events", "E_JANUS_STATUS raised"),
    _total("malformed_messages", "malformed", "Messages of Janus that were no JSON object, too deep, or binary"),
    _total("oversized_messages", "oversized", "Messages of Janus over a size limit"),
    _total("connect_failures", "connect_failures", "Attempts to connect to a Janus that failed"),
    _total("sessions_lost", "sessions_lost", "Sessions that Janus no longer knew"),
    _total("mi_requests", "mi_requests", "MI requests"),
    _total("mi_errors", "mi_errors", "MI requests answered with an error"),
    _total("token_failures", "token_failures", "HTTP requests with a wrong token"),
    _total("log_lines_dropped", "log_drops", "Lines of the log that were not read fast enough, or that failed"),
)  # fmt: skip

_WRITTEN: Final[Sequence[MetricRow[Any]]] = (*BRIDGE, *GATEWAY, COMMAND_SECONDS, *SUBSCRIBER)
# Counters that have no row above: their name and their words serve here as well.
COUNTED: Final = [
    _total(name, name, words[0].upper() + words[1:])
    for name, words in COUNTERS.items()
    if not any(fnmatchcase(name, row.statistic) for row in _WRITTEN)
]

ROWS: Final[Sequence[MetricRow[Any]]] = (*BRIDGE, *COUNTED, *GATEWAY, COMMAND_SECONDS, *SUBSCRIBER)

_PLAIN: Final[Mapping[str, type[GaugeMetricFamily | CounterMetricFamily]]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
}
_ENDS: Final = [*map(floatToGoString, BUCKETS), "+Inf"]


class Metrics:
    """The page. ``figures`` is asked at each request."""

    def __init__(self, figures: Callable[[], Snapshot]) -> None:
        self._figures = figures
        self._process = ProcessCollector(registry=None)

    async def __call__(self, _query: bytes = b"") -> Reply:
        """All metrics, those of the process last."""
        figures = self._figures()
        gateways = await map_cooperatively(lambda gateway: gateway, figures.gateways)
        text = [_rendered(_family(row, [figures])) for row in (*BRIDGE, *COUNTED)]
        for row in SUBSCRIBER:
            text += await _in_turns(partial(_family, row), figures.subscribers)
        for each in GATEWAY:
            text += await _in_turns(partial(_family, each), gateways)
        text += await _in_turns(_histogram, gateways)
        text += [_rendered(family) for family in self._process.collect()]
        return Reply(200, CONTENT_TYPE, b"".join(text), headers=_HEADERS)


async def _in_turns(family_of: Callable[[Sequence[T]], Family], items: Sequence[T]) -> list[bytes]:
    """One metric of many items, with a checkpoint after every few."""
    text = []
    for start in range(0, max(len(items), 1), TURN):
        lines = _rendered(family_of(items[start : start + TURN]))
        text.append(lines.split(b"\n", 2)[2] if start else lines)  # HELP and TYPE stand once
        await trio.lowlevel.checkpoint()
    return text


def _family(row: MetricRow[T], items: Iterable[T]) -> Family:
    family = _PLAIN[row.kind](PREFIX + row.name, row.help, labels=row.labels)
    for item in items:
        for labels, value in row.read(item):
            family.add_metric(labels, value)
    return family


def _histogram(gateways: Sequence[GatewaySnapshot]) -> Family:
    """Without those that never answered: a thousand idle gateways would have 16,000 lines of zeros."""
    family = HistogramMetricFamily(PREFIX + COMMAND_SECONDS.name, COMMAND_SECONDS.help, labels=COMMAND_SECONDS.labels)
    for gateway in gateways:
        if any(gateway.buckets):
            steps = zip(_ENDS, accumulate(gateway.buckets), strict=True)
            family.add_metric([gateway.janus_id], list(steps), gateway.seconds)
    return family


class _Only(NamedTuple):
    """What generate_latest takes for a registry."""

    family: Family

    def collect(self) -> Iterable[Family]:
        return [self.family]


def _rendered(family: Family) -> bytes:
    text: bytes = generate_latest(_Only(family))
    return text
