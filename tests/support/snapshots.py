"""Figures as the core would give them, made up: for pages without a bridge behind them."""

from collections.abc import Iterable
from typing import Any

from bridge.protocol.snapshot import (
    BUCKETS,
    MOST_SESSIONS,
    OUTCOMES,
    BudgetSnapshot,
    ClusterSnapshot,
    GatewaySnapshot,
    NodeSnapshot,
    Room,
    SessionSnapshot,
    Snapshot,
    SubscriberSnapshot,
    TableSnapshot,
)
from bridge.transport.pages.metrics import BRIDGE, COUNTED

NOW = 1_795_363_200.0  # 2026-11-22 16:00:00 UTC
COUNTERS = {row.statistic: 0 for row in (*BRIDGE, *COUNTED)} | dict.fromkeys(
    ("commands_timeout", "commands_lost", "event_drops"), 0
)


def gateway(janus_id: str = "gw1", **changes: Any) -> GatewaySnapshot:
    """A gateway that is ready and has answered ten commands, but for ``changes``. ``outcomes``: those not 0."""
    buckets = [0] * (len(BUCKETS) + 1)
    buckets[1] = 10
    outcomes = {**dict.fromkeys(OUTCOMES, 0), **changes.pop("outcomes", {"answered": 10})}
    sessions = changes.pop(
        "sessions", [SessionSnapshot("7351...", True, {"janus.plugin.videoroom": 12, "janus.plugin.sip": 2})]
    )
    made = GatewaySnapshot(
        janus_id=janus_id,
        janus_url=f"janusws://{janus_id}.example.org:8188/janus",
        state="ready",
        draining=False,
        since=NOW - 7500,
        rtt=0.00042,
        sessions=sessions[:MOST_SESSIONS],
        session_count=len(sessions),
        handle_count=sum(sum(session.plugins.values()) for session in sessions),
        in_flight=0,
        reconnects=0,
        last_error=None,
        outcomes=outcomes,
        buckets=buckets,
        seconds=0.0085,
        events=40,
        command_rate=0.0,
        event_rate=0.0,
    )
    return made._replace(**changes)


def subscriber(name: str = "udp:127.0.0.1:8888", **changes: Any) -> SubscriberSnapshot:
    """A configured subscriber that has got a hundred events."""
    return SubscriberSnapshot(name, ["E_JANUS_EVENT"], None, 0, 0, 100, {})._replace(**changes)


def cluster(*others: NodeSnapshot, **changes: Any) -> ClusterSnapshot:
    """A cluster of this bridge, which beats, and ``others``."""
    own = NodeSnapshot(1, "http://h:1/mi", "active", 0.4, 1795363200001, 1000)
    return ClusterSnapshot(7, 1, 7.5, True, None, [own, *others])._replace(**changes)


def figures(
    gateways: Iterable[GatewaySnapshot] = (), subscribers: Iterable[SubscriberSnapshot] = (), **changes: Any
) -> Snapshot:
    """A bridge with these. ``counters``: those not 0."""
    made = Snapshot(
        version="1.2.3",
        now=NOW,
        started=NOW - 90_000,
        loop_lag=0.0011,
        table=TableSnapshot("fresh", 12.0, None, True),
        counters={**COUNTERS, **changes.pop("counters", {})},
        budgets=[BudgetSnapshot("mi", 4096, 64 * 2**20, 3)],
        room=Room(50 * 2**20, 2**30, 12, 128),
        subscribers=list(subscribers),
        gateways=iter(list(gateways)),
    )
    return made._replace(**changes)
