"""The MI methods that this program exists for: janus_send_request, janus_list, janus_reload, janus_reconnect.

Owns their results (contract 6.3, 6.4). Must not know transports. Authority: OpenSIPS janus module, whose
``janus_send_request(janus_id, janus_command[, ...])`` these stand for.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import trio

from bridge.core.errands import Errands
from bridge.core.link import JanusLink
from bridge.core.mi import Command, MiRequest
from bridge.core.registry import LinkRegistry, TableChanges
from bridge.errors import InvalidCommand
from bridge.protocol import codec
from bridge.protocol.caller import Role
from bridge.protocol.command import JanusCommand, read_command
from bridge.protocol.plugin_types import PluginTypes
from bridge.protocol.recipe import Parameter, bad_type
from bridge.protocol.session import shorten

log = logging.getLogger("bridge.link")

MAX_TIMEOUT = 600_000  # ms
TURN = 50  # gateways, or sessions of one, that are listed in one turn of the event loop

# Reads the table again; returns what that changed, and a line for each row that is bad. Raises TableUnavailable.
Reload = Callable[[], Awaitable[tuple[TableChanges, list[str]]]]


def janus_commands(
    registry: LinkRegistry,
    reload: Reload,
    cmd_timeout: float,
    types_of: Callable[[str], PluginTypes],
    errands: Errands | None = None,
) -> tuple[Command, ...]:
    """``cmd_timeout`` in seconds; ``types_of(janus_id)`` says what the gateway's plugins take (contract 5.6);
    ``errands`` of a cluster of bridges.
    """
    methods = _JanusMethods(registry, reload, cmd_timeout, types_of, errands)
    janus_id = Parameter("janus_id", "string")
    command = Parameter("janus_command", "json")
    return (
        Command(
            "janus_send_request",
            "janus:send_request",
            ((janus_id, command), (janus_id, command, Parameter("timeout", "int"))),
            methods.send_request,
            "Sends a command to a Janus and returns its answer. Parameters: janus_id; janus_command, an object or its "
            "text; timeout in ms.",
            "janus",
            Role.COMMANDS,
        ),
        Command(
            "janus_list",
            "janus:list",
            ((), (janus_id,)),
            methods.list,
            "Lists the gateways with their state, sessions and handles. Parameter: janus_id.",
            "janus",
            Role.READ_ONLY,
        ),
        Command(
            "janus_reload",
            "janus:reload",
            ((),),
            methods.reload,
            "Reads the janus table again and acts on the difference.",
            "janus",
            Role.EVERYTHING,
        ),
        Command(
            "janus_reconnect",
            "janus:reconnect",
            ((janus_id,),),
            methods.reconnect,
            "Leaves the connection to a Janus for a new one; its sessions are claimed there. Parameter: janus_id.",
            "janus",
            Role.EVERYTHING,
        ),
    )


@dataclass(frozen=True, slots=True)
class _JanusMethods:
    registry: LinkRegistry
    read_table: Reload
    cmd_timeout: float
    types_of: Callable[[str], PluginTypes]
    errands: Errands | None

    def send_request(self, call: MiRequest) -> Any:
        arguments = call.arguments
        timeout = self.cmd_timeout
        if "timeout" in arguments:
            if not 1 <= arguments["timeout"] <= MAX_TIMEOUT:
                raise bad_type("timeout")
            timeout = arguments["timeout"] / 1000
        janus_id = arguments["janus_id"]
        link = self.registry.find(janus_id)
        command: JanusCommand | None = None
        try:
            value = arguments.pop("janus_command")
            command = read_command(value, self.types_of(janus_id), link.book.plugin_of, clean=call.clean)
            if self.errands is not None and self.errands.take(call, link, command, value, timeout):
                return call.leave
            if call.envelope.notification:
                link.post(command, timeout, call)
                return None
            return link.request(command, timeout, call).abandon
        except InvalidCommand as exc:
            if command is None:  # else it is counted already
                link.requests.counters.failed(exc)
            log.warning("%s: refused a command from %s: %d: %s", janus_id, call.caller.name, exc.code, exc.data)
            raise

    async def list(self, call: MiRequest) -> Any:
        links = [self.registry.find(call.arguments["janus_id"])] if call.arguments else list(self.registry)
        rows = []
        for number, link in enumerate(links, 1):
            rows.append(await describe(link))
            if number % TURN == 0:
                await trio.lowlevel.checkpoint()
        return {"Gateways": rows}

    async def reload(self, _call: MiRequest) -> Any:
        difference, errors = await self.read_table()
        return {
            "added": difference.added,
            "changed": difference.changed,
            "removed": difference.removed,
            "unchanged": difference.unchanged,
            "errors": errors,
        }

    async def reconnect(self, call: MiRequest) -> str:
        link = self.registry.find(call.arguments["janus_id"])
        link.reconnect()
        await link.reconnected()
        return "OK"


async def describe(link: JanusLink) -> codec.JsonObject:
    """A gateway as ``janus_list`` shows it. ``since`` is ISO 8601 in UTC; session ids are shortened (contract 6.4)."""
    gateway = link.gateway
    row: codec.JsonObject = {
        "janus_id": gateway.janus_id,
        "janus_url": gateway.shown_url,
        "state": link.shown_state,
        "draining": link.book.draining,
        "since": datetime.fromtimestamp(link.since, UTC).isoformat(timespec="seconds"),
        "sessions": await _sessions(link),
        "in_flight": link.requests.in_flight,
        "connection": link.roster.serving,
        "rtt_ms": None if link.rtt is None else round(link.rtt * 1000, 3),
        "reconnects": link.reconnects,
        "last_error": link.last_error,
    }
    if link.serving is not None:
        row["serving_url"] = link.serving.shown_url
    return row


async def _sessions(link: JanusLink) -> list[codec.JsonObject]:
    """One gateway may have ten thousand: other callers have their turn in between."""
    rows = []
    for number, session in enumerate(link.book, 1):
        if session.session_id is not None:
            row: codec.JsonObject = {
                "session": shorten(session.session_id),
                "managed": session.managed,
                "connection": session.carrier if link.book.carriers.is_open(session.carrier) else None,
                "handles": [{"handle_id": h, "plugin": plugin} for h, plugin in session.handles.items()],
            }
            rows.append(codec.widen(row))
        if number % TURN == 0:
            await trio.lowlevel.checkpoint()
    return rows
