"""The Management Interface: which methods there are, and the way of a request through one of them.

Owns the names of methods and the turning of every outcome into an answer. Must not know transports or any method.
Authority: OpenSIPS mi/mi.c; the two spellings of a name are OpenSIPS 3.x's (``event_subscribe``) and 4.x's
(``evi:subscribe``), of which 4.x also takes the part behind the colon alone where it is unique.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import trio

from bridge.core.stats import Stats
from bridge.errors import BridgeError, LinkDown, MalformedMessage, OverBudget, TransactionLost
from bridge.protocol import jsonrpc
from bridge.protocol.budget import Budget, Holding
from bridge.protocol.caller import Caller, Role
from bridge.protocol.jsonrpc import Abandon, Envelope, InvalidRequest, RpcError, TakeAnswer
from bridge.protocol.recipe import Recipe, bind
from bridge.protocol.redaction import unchanged

log = logging.getLogger("bridge.mi")

MAX_NAME = 64  # characters of an unknown method's name that are logged
OVERHEAD: Final = 2048  # bytes that a request takes beside its own: its objects, its place in tables


class MiRequest(Holding):
    """What a handler gets: its recipe's arguments by name, whether nobody will see the result, and who asks.

    It holds its bytes of the budget until it is answered. Whatever holds the request for longer takes them over
    (``handed_on``). Once it has its answer, it lets go of what it waited for, which may hold it, too. ``clean``:
    nothing in it has to be looked for that Janus could not read (``codec.read``).
    """

    __slots__ = ("_answer", "_registry", "arguments", "caller", "clean", "envelope", "leave")

    def __init__(
        self,
        registry: "Registry",
        envelope: Envelope,
        clean: bool,
        caller: Caller,
        budget: Budget,
        answer: TakeAnswer,
    ) -> None:
        self.budget = budget
        self.owner = caller.name
        self.size = 0
        self._registry = registry
        self._answer: TakeAnswer | None = answer  # None: it was given, or whoever asked has gone
        self.leave: Abandon | None = None  # ends what it waits for
        self.clean = clean
        self.envelope = envelope
        self.caller = caller
        self.arguments: dict[str, Any] = {}

    @property
    def notification(self) -> bool:
        return self.envelope.notification

    def succeed(self, result: Any) -> None:
        """It has a result. Raises TypeError, and has none, where that is no JSON."""
        answer = self._answer
        if answer is not None:
            envelope = self.envelope
            data = None if envelope.notification else jsonrpc.render_result(result, envelope)
            self._answer = self.leave = None
            self.release()
            _give(answer, data, self.caller)

    def fail(self, error: BridgeError, *, refused: bool = False) -> None:
        """It has an error instead. ``refused``: no method has seen the request."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        self.leave = None
        registry = self._registry
        registry.stats.add("mi_errors")
        words = f"{error.code} {error.message}: {error.data or 'no details'}"
        if refused:
            registry.refused(self.caller.name, f"method {self.envelope.method[:MAX_NAME]!r}: {words}")
        elif self.notification:
            log.warning("%s, sent as a notification: %s", self.envelope.method, words)
        if error.data is not None:
            error.data = registry.hide(error.data)
        self.release()
        _give(answer, None if self.notification else jsonrpc.render_error(error, self.envelope.id), self.caller)

    def abandon(self) -> None:
        """Whoever asked has gone."""
        if self._answer is not None:
            self._answer = None
            self.release()
            leave, self.leave = self.leave, None
            if leave is not None:
                leave()


def _give(answer: TakeAnswer, data: bytes | None, caller: Caller) -> None:
    """Hand an answer over. Its way to the caller is the transport's, whose faults are no one else's: not the method's,
    and not those of the reader of a Janus, from whose turn most answers come.
    """
    try:
        answer(data)
    except Exception:
        log.exception("an answer to %s is lost", caller.name)


# Returns the result, a JSON value; or an awaitable of it, where that takes time; or, where somebody else will have the
# request ``succeed`` or ``fail``, what is to be called if whoever asked goes before. A BridgeError becomes the MI error
# with its code, message and data.
MethodHandler: TypeAlias = Callable[[MiRequest], Any]


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
        self.hide = hide
        self.stats = stats if stats is not None else Stats()
        self._pending = pending if pending is not None else Budget(64 * 2**20)
        self._commands: list[Command] = []
        self._by_name: dict[str, Command] = {}
        self._by_local: dict[str, list[Command]] = {}
        self._nursery: trio.Nursery | None = None
        self._stopped = False

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
        self.stats.add("mi_refused")
        log.warning("refused a request from %s: %s", who, reason)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Host the methods that take time, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def stop(self) -> None:
        """Methods that still take time have taken all of it: whoever asked is told so, and no further one begins."""
        self._stopped = True
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def dispatch(self, body: bytes, caller: Caller, answer: TakeAnswer) -> Abandon | None:
        """Execute one request (jsonrpc.Dispatch). Raises MalformedMessage for bytes that are no JSON, nothing else."""
        self.stats.counts["mi_requests"] += 1
        try:
            envelope, params, clean = jsonrpc.parse(body)
        except InvalidRequest as invalid:
            self._not_understood(caller, invalid)
            _give(answer, jsonrpc.render_error(invalid, invalid.id), caller)
            return None
        except MalformedMessage as malformed:
            self._not_understood(caller, malformed)
            raise
        request = MiRequest(self, envelope, clean, caller, self._pending, answer)
        refused = True
        try:
            command = self._by_name.get(envelope.method) or self.find(envelope.method)
            if caller.role < command.role:
                require(caller, command.role, command.name)
            request.arguments = bind(command.recipes, params)
            size = len(body) + OVERHEAD
            if not request.resize(size):
                raise OverBudget(f"[mi] pending_bytes allows {caller.name} no {size} bytes more now")
            refused = False
            outcome = command.handler(request)
            if not callable(outcome):
                if self._stopped and inspect.iscoroutine(outcome):
                    outcome.close()
                    raise LinkDown("the bridge is stopping")
                if not isinstance(outcome, Awaitable):
                    request.succeed(outcome)
                    return None
                outcome = self._await(request, outcome)
            if request._answer is not None:  # else whoever was to have it answered at once
                request.leave = outcome
                return request.abandon
        except BridgeError as error:
            request.fail(error, refused=refused)
        except Exception:
            log.exception("MI method %s failed", envelope.method)
            request.fail(_fault_of_ours(), refused=refused)
        return None

    def _not_understood(self, caller: Caller, error: BridgeError) -> None:
        self.stats.add("mi_errors")
        self.refused(caller.name, f"{error.code} {error.message}: {error.data}")

    def _await(self, request: MiRequest, outcome: Awaitable[Any]) -> Abandon:
        assert self._nursery is not None, "run() hosts the methods that take time"
        scope = trio.CancelScope()
        self._nursery.start_soon(self._finish, request, outcome, scope)
        return scope.cancel

    async def _finish(self, request: MiRequest, outcome: Awaitable[Any], scope: trio.CancelScope) -> None:
        with scope:
            try:
                request.succeed(await outcome)
            except trio.Cancelled:
                request.fail(
                    TransactionLost("the bridge stopped before there was an answer")
                )  # who has left hears nothing
                raise
            except BridgeError as error:
                request.fail(error)
            except Exception:
                log.exception("MI method %s failed", request.envelope.method)
                request.fail(_fault_of_ours())


def _fault_of_ours() -> RpcError:
    return RpcError(jsonrpc.SERVER_ERROR, "Server error")
