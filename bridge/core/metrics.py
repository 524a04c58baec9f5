"""The figures of the bridge, gathered from its parts when somebody asks.

Owns which part knows which figure, and the gauges of the MI's statistics. Must not know who shows them. Authority:
contract 8.2 (metrics and statistics are the same figures), 6.4 (what of a gateway may be shown).
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from operator import add
from typing import NamedTuple

import trio

from bridge.core.commands_core import Process
from bridge.core.event_pool import Pools
from bridge.core.evi import EventInterface
from bridge.core.link import JanusLink
from bridge.core.loop_lag import LoopLagMonitor
from bridge.core.recent import Ring, quantile
from bridge.core.registry import LinkRegistry
from bridge.core.stats import Stats
from bridge.core.table import Table
from bridge.protocol.budget import Budget
from bridge.protocol.history import Happening
from bridge.protocol.humanize import plural
from bridge.protocol.session import JanusSession, shorten
from bridge.protocol.snapshot import (
    BUCKETS,
    MOST_SESSIONS,
    BudgetSnapshot,
    ClusterSnapshot,
    GatewayRecentSnapshot,
    GatewaySnapshot,
    HistorySnapshot,
    RecentSnapshot,
    Room,
    SessionSnapshot,
    Snapshot,
    StoreSnapshot,
    SubscriberSnapshot,
    TableSnapshot,
)

log = logging.getLogger("bridge")

TURN = 50  # gateways that are sampled in one turn of the event loop
NEWEST = 10  # entries of a gateway's history that are shown with it


class Budgets(NamedTuple):
    """What has its ``pending_bytes``, by the section of the configuration."""

    mi: Budget
    janus: Budget
    events: Pools


class MetricsCollector:
    """``figures()`` is a moment's view. ``run`` must be running for rates and the loop's lag."""

    def __init__(
        self,
        process: Process,
        stats: Stats,
        links: LinkRegistry,
        evi: EventInterface,
        table: Table,
        budgets: Budgets,
        room: Callable[[], Room],
        log_drops: Callable[[], int] = lambda: 0,
        store: Callable[[], StoreSnapshot] | None = None,
        cluster: Callable[[], ClusterSnapshot] | None = None,
    ) -> None:
        """``room`` asks the system; ``log_drops()``: lines of the log that could not be written; ``store``: the log of
        events, and ``cluster``, where there is one.
        """
        self._process = process
        self._budgets: dict[str, Budget | Pools] = budgets._asdict()
        self._told = dict.fromkeys(self._budgets, 0)  # how often a budget had no room, as of the last line about it
        self._room = room
        self._log_drops = log_drops
        self._store = store
        self._cluster = cluster
        self._stats = stats
        self._links = links
        self._evi = evi
        self._table = table
        self._recent = Ring(len(RecentSnapshot._fields))
        self._sampled = (-math.inf, 0)  # when, by the loop's clock, and the drops until then
        self._monitor = LoopLagMonitor(self._sample)
        self.run = self._monitor.run
        for name, read in {
            "gateways": lambda: len(links),
            "gateways_draining": lambda: sum(link.book.draining for link in links),
            "gateways_ready": lambda: sum(link.roster.ready for link in links),
            "sessions": lambda: sum(link.book.counts[0] for link in links),
            "handles": lambda: sum(link.book.counts[1] for link in links),
            "in_flight": lambda: sum(link.requests.in_flight for link in links),
            "queue_events": lambda: sum(item.queued for item in evi.figures()),
            "queue_bytes": lambda: sum(item.queued_bytes for item in evi.figures()),
            "events_sent": lambda: sum(item.sent for item in evi.figures()),
            "table_fresh": lambda: int(self._table_figures().current),
            "table_age": self._table_age,
            "log_drops": log_drops,
            "loop_lag_us": lambda: round(self._monitor.lag * 1e6),
            "memory_used": lambda: _known(room().memory),
            "memory_limit": lambda: _known(room().memory_limit),
            "tasks_used": lambda: _known(room().tasks),
            "tasks_limit": lambda: _known(room().tasks_limit),
        }.items():
            stats.gauge(name, read)
        for name, budget in self._budgets.items():
            stats.gauge(f"pending_{name}", partial(getattr, budget, "used"))

    def figures(self) -> Snapshot:
        """Everything that metrics and status page say, now."""
        process = self._process
        return Snapshot(
            version=process.version,
            now=process.now(),
            started=process.started,
            loop_lag=self._monitor.lag,
            table=self._table_figures(),
            counters={**self._stats.totals(), "log_drops": self._log_drops()},
            budgets=[BudgetSnapshot(name, b.used, b.total, b.refused) for name, b in self._budgets.items()],
            room=self._room(),
            subscribers=self._subscribers(),
            gateways=map(_gateway, self._links),
            store=None if self._store is None else self._store(),
            cluster=None if self._cluster is None else self._cluster(),
            recent=RecentSnapshot(*self._recent.columns),
        )

    async def _sample(self, now: float, lag: float) -> None:
        for name, budget in self._budgets.items():
            if budget.refused > self._told[name]:
                more, self._told[name] = budget.refused - self._told[name], budget.refused
                log.warning(
                    "[%s] pending_bytes: no room %s; held: %s",
                    name,
                    plural(more, "time"),
                    plural(budget.used, "byte"),
                )
        before, drops_before = self._sampled
        self._sampled = (now, self._stats.counts["event_drops"])
        answers, commands, events = [0] * (len(BUCKETS) + 1), 0.0, 0.0
        for number, link in enumerate(self._links):
            counters = link.requests.counters
            if since := counters.sample(now):
                answers = list(map(add, answers, since))
            commands += counters.command_rate
            events += counters.event_rate
            if number % TURN == TURN - 1:
                await trio.lowlevel.checkpoint()
        drops = (self._sampled[1] - drops_before) / (now - before)
        self._recent.add(commands, quantile(answers, 0.5), quantile(answers, 0.99), events, drops, lag)

    def _table_figures(self) -> TableSnapshot:
        table = self._table
        age = None if table.read_at is None else max(0.0, self._process.now() - table.read_at)
        return TableSnapshot(table.freshness, age, table.error, table.freshness != "none" or table.error is not None)

    def _table_age(self) -> int:
        age = self._table_figures().age
        return -1 if age is None else int(age)

    def _subscribers(self) -> list[SubscriberSnapshot]:
        """By the socket's text: a reliable one and a plain one of the same text are one to the reader."""
        found: dict[str, SubscriberSnapshot] = {}
        troubles, subscriptions = self._evi.troubles(), self._subscriptions()
        for name, queued, queued_bytes, sent, drops in self._evi.figures():
            events = subscriptions.get(name, {})
            ttl = None if None in events.values() else max((left for left in events.values() if left), default=0)
            twin = found.get(name, SubscriberSnapshot(name, list(events), ttl, 0, 0, 0, {}, troubles.get(name)))
            found[name] = twin._replace(
                queued=twin.queued + queued,
                queued_bytes=twin.queued_bytes + queued_bytes,
                sent=twin.sent + sent,
                drops=Counter(twin.drops) + Counter(drops),
            )
        return list(found.values())

    def _subscriptions(self) -> dict[str, dict[str, int | None]]:
        """By the socket's text: its events, each with the seconds that it has left; None: for ever.

        One pass: looking for each socket through all subscriptions blocked the loop for 80 ms with 256 of them.
        """
        found: dict[str, dict[str, int | None]] = {}
        for event in self._evi.events():
            for subscription, ttl in self._evi.subscribers(event):
                events = found.setdefault(str(subscription.socket), {})
                before = events.get(event, 0)
                events[event] = None if ttl is None or before is None else max(ttl, before)
        return found


def _known(figure: int | None) -> int:
    """A statistic is an integer: -1 where nothing is known."""
    return -1 if figure is None else figure


def _sessions(link: JanusLink) -> Iterator[JanusSession]:
    return (session for session in link.book if session.session_id is not None)


def _gateway(link: JanusLink) -> GatewaySnapshot:
    gateway, counters = link.gateway, link.requests.counters
    return GatewaySnapshot(
        janus_id=gateway.janus_id,
        janus_url=gateway.shown_url,
        state=link.shown_state,
        draining=link.book.draining,
        since=link.since,
        rtt=link.rtt,
        sessions=[
            SessionSnapshot(
                shorten(session.session_id),
                session.managed,
                Counter(plugin or "" for plugin in session.handles.values()),
            )
            for session in islice(_sessions(link), MOST_SESSIONS)
        ],
        session_count=link.book.counts[0],
        handle_count=link.book.counts[1],
        in_flight=link.requests.in_flight,
        reconnects=link.reconnects,
        last_error=link.last_error,
        outcomes=counters.outcomes,
        buckets=counters.buckets,
        seconds=counters.seconds,
        events=counters.events,
        command_rate=counters.command_rate,
        event_rate=counters.event_rate,
        serving_url=None if link.serving is None else link.serving.shown_url,
        history=[_entry(*entry) for entry in link.history.newest(NEWEST)],
        recent=GatewayRecentSnapshot(*counters.recent.columns),
    )


def _entry(when: float, happening: Happening) -> HistorySnapshot:
    return HistorySnapshot(
        when,
        happening.what,
        "" if happening.session_id is None else shorten(happening.session_id),
        happening.handle_id,
        happening.plugin or "",
        happening.reason,
        happening.transaction or "",
        len(happening.handles),
    )
