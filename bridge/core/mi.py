"""The Management Interface: which methods there are, and the way of a request through one of them.

Owns the names of methods and the turning of every outcome into an answer. Must not know transports or any method.
Authority: OpenSIPS mi/mi.c; the two spellings of a name are OpenSIPS 3.x's (``event_subscribe``) and 4.x's
(``evi:subscribe``), of which 4.x also takes the part behind the colon alone where it is unique.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from bridge.core.stats import Stats
from bridge.errors import BridgeError, MalformedMessage, OverBudget
from bridge.protocol import jsonrpc
from bridge.protocol.budget import Budget, Holding
from bridge.protocol.caller import Caller, Role
from bridge.protocol.jsonrpc import InvalidRequest, RpcError
from bridge.protocol.recipe import Recipe, bind
from bridge.protocol.redaction import unchanged

log = logging.getLogger("bridge.mi")

MAX_NAME = 64  # characters of an unknown method's name that are logged
OVERHEAD = 2048  # bytes that a request takes beside its own: its task, its call, its place in tables


@dataclass(frozen=True, slots=True)
class MiRequest:
    """What a handler gets: its recipe's arguments by name, whether nobody will see the result, and who asks.

    ``holding`` is what the request holds of the budget until its handler ends. Whatever holds the request for longer
    takes it over (``handed_on``).
    """

    arguments: dict[str, Any]
    notification: bool
    caller: Caller
    holding: Holding


# Returns the result, a JSON value. A BridgeError becomes the MI error with its code, message and data.
MethodHandler: TypeAlias = Callable[[MiRequest], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Command:
    """One MI method. ``name`` is its 3.x spelling, ``alias`` the 4.x one (``group:local``).

    ``help`` and ``exported_by`` are what MI ``help`` says of it. ``role`` is the least that may call it: there is no
    default, so that none is open by an oversight.
    """

    name: str
    alias: str
    recipes: tuple[Recipe, ...]
    handler: MethodHandler
    help: str
    exported_by: str
    role: Role


def require(caller: Caller, role: Role, what: str) -> None:
    """Raises RpcError where the caller's role is below ``role``; ``what`` is the method, or one use of it."""
    if caller.role < role:
        raise RpcError(403, "Forbidden", f"{what} needs the role {role} ([mi] roles); {caller.name} has {caller.role}")


class Registry:
    """The methods by every spelling of their names. ``dispatch`` is the one door for all transports."""

    def __init__(
        self,
        stats: Stats | None = None,
        pending: Budget | None = None,
        hide: Callable[[str], str] = unchanged,
    ) -> None:
        """``stats`` counts ``mi_requests`` and ``mi_errors``; ``pending`` is the budget of requests, unset: 64 MiB;
        ``hide`` takes secrets out of what errors say.
        """
        self._hide = hide
        self._stats = stats if stats is not None else Stats()
        self._pending = pending if pending is not None else Budget(64 * 2**20)
        self._commands: list[Command] = []
        self._by_name: dict[str, Command] = {}
        self._by_local: dict[str, list[Command]] = {}

    def add(self, *commands: Command) -> None:
        """Add methods. Raises ValueError for a spelling that is taken."""
        for command in commands:
            for name in (command.name, command.alias):
                if name in self._by_name:
                    raise ValueError(f"MI method {name!r} is there already")
                self._by_name[name] = command
            self._commands.append(command)
            self._by_local.setdefault(command.alias.partition(":")[2], []).append(command)

    def find(self, name: str) -> Command:
        """The method of that name. Raises RpcError: -32601 unknown, -32001 ambiguous (naming the candidates)."""
        command = self._by_name.get(name)
        if command is not None:
            return command
        candidates = self._by_local.get(name, [])
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            names = ", ".join(candidate.alias for candidate in candidates)
            raise RpcError(jsonrpc.METHOD_AMBIGUOUS, "Method ambiguous", f"supported names: {names}")
        raise RpcError(jsonrpc.METHOD_NOT_FOUND, "Method not found", "no such method: see which")

    def which(self) -> list[str]:
        """All names, 3.x spellings first: opensips-cli refuses to send what is not listed here."""
        return [command.name for command in self._commands] + [command.alias for command in self._commands]

    def refused(self, who: str, reason: str) -> None:
        """Count and log a request that is refused before any method has seen it, here or by its transport."""
        self._stats.add("mi_refused")
        log.warning("refused a request from %s: %s", who, reason)

    async def dispatch(self, body: bytes, caller: Caller) -> bytes | None:
        """Execute one request (jsonrpc.Dispatch). Raises MalformedMessage for bytes that are no JSON, nothing else."""
        self._stats.add("mi_requests")
        try:
            request = jsonrpc.parse(body)
        except InvalidRequest as exc:
            self._stats.add("mi_errors")
            self.refused(caller.name, f"{exc.code} {exc.message}: {exc.data}")
            return jsonrpc.render_error(exc, exc.id)
        except MalformedMessage as exc:
            self._stats.add("mi_errors")
            self.refused(caller.name, f"{exc.code} {exc.message}: {exc.data}")
            raise
        holding = Holding(self._pending, caller.name)
        size = len(body) + OVERHEAD
        # What the handler does not keep is not kept here while it waits: neither the bytes nor the values they were.
        del body
        started = False
        try:
            command = self.find(request.method)
            require(caller, command.role, command.name)
            arguments = bind(command.recipes, request.params)
            if not holding.resize(size):
                raise OverBudget(f"[mi] pending_bytes allows {caller.name} no {size} bytes more now")
            started = True
            running = command.handler(MiRequest(arguments, request.notification, caller, holding))
            request.params = None
            del arguments
            result = await running
            if request.notification:
                return None
            return jsonrpc.render_result(result, request.id)
        except BridgeError as exc:
            error = exc
        except Exception:
            log.exception("MI method %s failed", request.method)
            error = RpcError(jsonrpc.SERVER_ERROR, "Server error")
        finally:
            holding.resize(0)
        self._stats.add("mi_errors")
        words = f"{error.code} {error.message}: {error.data or 'no details'}"
        if not started:
            self.refused(caller.name, f"method {request.method[:MAX_NAME]!r}: {words}")
        if request.notification:
            if started:
                log.warning("%s, sent as a notification: %s", request.method, words)
            return None
        if error.data is not None:
            error.data = self._hide(error.data)
        return jsonrpc.render_error(error, request.id)
