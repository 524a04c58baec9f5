"""The MI methods for whoever looks after the gateways: janus_drain, janus_history.

Owns their results. Must not know transports, or where it is kept which gateways drain.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.core.link import JanusLink
from bridge.core.mi import Command, MiRequest
from bridge.core.registry import LinkRegistry
from bridge.protocol import codec
from bridge.protocol.caller import Role
from bridge.protocol.history import Happening
from bridge.protocol.numbers import read_decimal
from bridge.protocol.recipe import Parameter, bad_type
from bridge.protocol.session import shorten

# Keeps which gateways drain for the next start. Raises BridgeError.
SaveDraining = Callable[[Collection[str]], Awaitable[None]]

_SWITCH = {"on": True, "off": False}


def maintenance_commands(registry: LinkRegistry, save: SaveDraining) -> tuple[Command, ...]:
    """``save`` gets the janus_ids of all gateways that drain."""
    methods = _MaintenanceMethods(registry, save)
    janus_id = Parameter("janus_id", "string")
    return (
        Command(
            "janus_drain",
            "janus:drain",
            ((janus_id,), (janus_id, Parameter("switch", "string"))),
            methods.drain,
            "Drains a gateway (on) or ends that (off): attach and create get 503, living handles go on. Says how many "
            "are left. Kept over restarts and reloads. Parameters: janus_id; switch.",
            "janus",
            Role.EVERYTHING,
        ),
        Command(
            "janus_history",
            "janus:history",
            ((janus_id,), (janus_id, Parameter("handle_id", "string"))),
            methods.history,
            "Lists what became of a gateway's sessions and handles, the newest last. Parameters: janus_id; handle_id.",
            "janus",
            Role.READ_ONLY,
        ),
    )


@dataclass(frozen=True, slots=True)
class _MaintenanceMethods:
    registry: LinkRegistry
    save: SaveDraining

    async def drain(self, call: MiRequest) -> Any:
        janus_id = call.arguments["janus_id"]
        link = self.registry.find(janus_id)
        if "switch" in call.arguments:
            switch = _SWITCH.get(call.arguments["switch"])
            if switch is None:
                raise bad_type("switch", " or ".join(_SWITCH))
            await self.save(self.registry.drain(janus_id, switch))
        clients = [session for session in link.book if session.session_id is not None]
        return {
            "janus_id": janus_id,
            "draining": link.book.draining,
            "sessions": sum(not session.managed for session in clients),
            "handles": sum(len(session.handles) for session in clients),
            "in_flight": link.requests.in_flight,
        }

    def history(self, call: MiRequest) -> Any:
        link = self.registry.find(call.arguments["janus_id"])
        return {"janus_id": link.gateway.janus_id, "History": _history(link, call.arguments.get("handle_id"))}


def _history(link: JanusLink, handle_id: str | None) -> list[Any]:
    if handle_id is None:
        return [_shown(*entry) for entry in link.history]
    number = read_decimal(handle_id, codec.INT64_MAX)
    if number is None:
        raise bad_type("handle_id", "a handle's number")
    return [_shown(*entry) for entry in link.history.of(number)]


def _shown(when: float, happening: Happening) -> codec.JsonObject:
    row: codec.JsonObject = {
        "time": datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds"),
        "what": happening.what,
    }
    if happening.session_id is not None:
        row["session"] = shorten(happening.session_id)
    for name in ("handle_id", "plugin", "reason", "transaction"):
        value = getattr(happening, name)
        if value:
            row[name] = value
    if happening.handles:
        row["handles"] = len(happening.handles)
    shown: codec.JsonObject = codec.widen(row)
    return shown
