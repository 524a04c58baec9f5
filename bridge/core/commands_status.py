"""The MI methods janus_status and janus_recent: how the bridge is beside its gateways, which janus_list shows, and how
the last ten minutes were.

Owns their results. Must not know who measures.
"""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import trio

from bridge.core.mi import Command, MiRequest
from bridge.errors import UnknownJanusId
from bridge.protocol.caller import Role
from bridge.protocol.recipe import Parameter
from bridge.protocol.snapshot import SAMPLE, GatewaySnapshot, RecentSnapshot, Snapshot

TURN = 50  # gateways that are told in one turn of the event loop


def status_commands(figures: Callable[[], Snapshot]) -> tuple[Command, ...]:
    """``figures()`` is a moment's view."""

    def status(_call: MiRequest) -> Any:
        now = figures()
        return {
            "Table": {
                "state": now.table.state,
                "age_s": None if now.table.age is None else int(now.table.age),
                "error": now.table.error,
            },
            "Subscribers": [
                {
                    "subscriber": one.subscriber,
                    "events": list(one.events),
                    "queued": one.queued,
                    "sent": one.sent,
                    "dropped": sum(one.drops.values()),
                    "trouble": one.trouble,
                }
                for one in now.subscribers
            ],
        }

    async def recent(call: MiRequest) -> Any:
        now = figures()
        wanted = call.arguments.get("janus_id")
        rows = []
        for number, gateway in enumerate(now.gateways, 1):
            if wanted in (None, gateway.janus_id):
                rows.append(_gateway(gateway, told=wanted is not None))
            if number % TURN == 0:
                await trio.lowlevel.checkpoint()
        if wanted is not None and not rows:
            raise UnknownJanusId(f"no row of the table has janus_id {wanted!r}")
        return {"interval_s": SAMPLE, "Bridge": _bridge(now.recent), "Gateways": rows}

    return (
        Command(
            "janus_status",
            "janus:status",
            ((),),
            status,
            "Shows how old the janus table is, and the subscribers, each with its trouble.",
            "janus",
            Role.READ_ONLY,
        ),
        Command(
            "janus_recent",
            "janus:recent",
            ((), (Parameter("janus_id", "string"),)),
            recent,
            "Shows the last ten minutes in samples, and each gateway's figures now; of one gateway its samples, too. "
            "Parameter: janus_id.",
            "janus",
            Role.READ_ONLY,
        ),
    )


def _bridge(recent: RecentSnapshot) -> dict[str, list[float | None]]:
    return {
        "commands": _samples(recent.commands),
        "p50_ms": _samples(recent.p50, 1000),
        "p99_ms": _samples(recent.p99, 1000),
        "events": _samples(recent.events),
        "drops": _samples(recent.drops),
        "lag_ms": _samples(recent.lag, 1000),
    }


def _gateway(gateway: GatewaySnapshot, *, told: bool) -> dict[str, Any]:
    """``told``: with its samples."""
    commands, events, p99 = gateway.recent
    row: dict[str, Any] = {
        "janus_id": gateway.janus_id,
        "janus_url": gateway.janus_url,
        "serving_url": gateway.serving_url,
        "state": gateway.state,
        "draining": gateway.draining,
        "since": datetime.fromtimestamp(gateway.since, UTC).isoformat(timespec="seconds"),
        "rtt_ms": None if gateway.rtt is None else _rounded(gateway.rtt, 1000),
        "sessions": gateway.session_count,
        "handles": gateway.handle_count,
        "in_flight": gateway.in_flight,
        "commands": _rounded(gateway.command_rate),
        "events": _rounded(gateway.event_rate),
        "p99_ms": _rounded(p99[-1], 1000) if p99 else None,
        "last_error": gateway.last_error,
    }
    if told:
        row["Recent"] = {"commands": _samples(commands), "events": _samples(events), "p99_ms": _samples(p99, 1000)}
    return row


def _samples(column: Sequence[float], scale: float = 1) -> list[float | None]:
    return [_rounded(value, scale) for value in column]


def _rounded(value: float, scale: float = 1) -> float | None:
    """With four digits, which is more than anybody sees; None: nothing is known."""
    return None if math.isnan(value) else float(f"{value * scale:.4g}")
