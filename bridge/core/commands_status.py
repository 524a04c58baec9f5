"""The MI method janus_status: how the bridge is beside its gateways, which janus_list shows.

Owns its result. Must not know who measures.
"""

from collections.abc import Callable
from typing import Any

from bridge.core.mi import Command, MiRequest
from bridge.protocol.caller import Role
from bridge.protocol.snapshot import Snapshot


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
    )
