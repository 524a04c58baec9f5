"""The requests to one Janus that wait for an answer.

Owns their transactions, lanes, time limits and outcomes (contract 5.4, 5.5), and which connection each went out on.
Must not know how connections are kept, nor what messages mean: ``core/inbound.py`` says which request is answered.
"""

from collections.abc import Mapping
from typing import Final

import trio

from bridge.core import command_log
from bridge.core.connection import JanusConnection
from bridge.core.environment import LinkEnvironment
from bridge.core.gateway_counters import GatewayCounters
from bridge.core.lanes import Lanes
from bridge.core.late_answers import LateAnswers
from bridge.core.pending import Asker, AwaitedAnswer, CallerLeft, PendingRequest, Progress
from bridge.core.time_limits import TimeLimits
from bridge.errors import BridgeError, LinkDown, TooManyInFlight, TransactionLost, TransactionTimeout
from bridge.protocol import codec
from bridge.protocol.budget import Holding
from bridge.protocol.codec import JsonObject
from bridge.protocol.command import JanusCommand
from bridge.protocol.roster import Roster
from bridge.protocol.session_book import SessionBook
from bridge.protocol.transactions import TransactionTable

_WAITING: Final = Progress.WAITING  # bound once: Python 3.11 looks an Enum's members up the long way
_SENT: Final = Progress.SENT
_ACKED: Final = Progress.ACKED


class Requests:
    """``connections``: those that are open, by number; ``roster`` says which of them a command goes out on."""

    def __init__(
        self,
        janus_id: str,
        environment: LinkEnvironment,
        book: SessionBook,
        roster: Roster,
        connections: Mapping[int, JanusConnection],
    ) -> None:
        self.counters = GatewayCounters(environment.stats, trio.current_time())
        self._janus_id = janus_id
        self._book = book
        self._roster = roster
        self._connections = connections
        self._fenced = None if environment.cluster is None else environment.cluster.fenced
        self._max_in_flight = environment.settings.max_in_flight
        self._totals = environment.stats.counts
        self._now = trio.lowlevel.current_clock().current_time
        self._table: TransactionTable[PendingRequest] = TransactionTable(environment.start)
        self.waiting: Final = self._table.waiting  # what was sent, by the text of its transaction
        self._lanes = Lanes()
        self.of_callers: Final[dict[PendingRequest, None]] = {}  # waiting and sent: a set in their order
        self._limits = TimeLimits(environment.timers, self.of_callers.keys())
        self.late: Final = LateAnswers(environment.start)
        self._next_end: trio.Event | None = None  # of any request, where somebody waits for that

    @property
    def in_flight(self) -> int:
        """Commands of callers that were accepted and have no outcome yet."""
        return len(self.of_callers)

    async def drained(self) -> None:
        """Wait until nothing of callers is in flight."""
        while self.of_callers:
            await self._end_of_one()

    async def idle(self, number: int) -> None:
        """Wait until nothing is in flight on a connection."""
        while self._sent_on(number):
            await self._end_of_one()

    async def _end_of_one(self) -> None:
        if self._next_end is None:
            self._next_end = trio.Event()
        await self._next_end.wait()

    # For callers

    def request(self, command: JanusCommand, timeout: float, asker: Asker | None) -> PendingRequest:
        """Send a command, now or when it may go; ``asker`` is told Janus's answer, or within ``timeout`` seconds why
        there is none: TransactionLost, TransactionTimeout, LinkDown. Raises InvalidCommand, LinkDown, TooManyInFlight
        where it is not accepted; nothing was sent then.
        """
        began = self._now()
        deadline = began + timeout
        pending = PendingRequest(command, command.kind, self, asker, began, deadline)
        try:
            connection = self._admit(pending)
        except BridgeError as refusal:
            self._failed(pending, refusal)
            raise
        self._totals["commands"] += 1
        self.of_callers[pending] = None
        if deadline < self._limits.next:
            self._limits.look_at(deadline)
        if self._lanes.enter(pending):
            self._transmit(pending, connection)
        else:
            command.fold()
        return pending

    def post(self, command: JanusCommand, timeout: float, holding: Holding | None = None) -> None:
        """Send a command for which nobody waits. Raises as ``request`` where it is not accepted.

        What its request holds is handed on to it, until it is over.
        """
        pending = self.request(command, timeout, None)
        if holding is not None and not pending.finished:
            pending.holding = holding.handed_on()

    def _admit(self, pending: PendingRequest) -> JanusConnection:
        """The connection that it would go out on now."""
        if not self._connections:
            raise LinkDown(self._roster.down_because)
        if len(self.of_callers) >= self._max_in_flight:
            raise TooManyInFlight(f"as many commands are in flight as max_in_flight allows: {self._max_in_flight}")
        if pending.kind not in ("message", "other"):
            self._book.check(pending.command)
        try:
            pending.session_id, carrier = self._book.address(pending.command)
        except LinkDown as exc:
            raise LinkDown(self._roster.down_because if self._roster.serving is None else exc.data) from None
        number = self._roster.route(carrier)
        connection = None if number is None else self._connections.get(number)
        if connection is None:
            raise self._down()
        return connection

    def _route(self, session_id: int | None) -> JanusConnection | None:
        """The connection that a command for this session goes out on; None: none that can be written to."""
        number = self._roster.route(self._book.carrier_of(session_id))
        return None if number is None else self._connections.get(number)

    def _down(self) -> LinkDown:
        """Why there is no route."""
        silent = "the connection that carries this session is silent"
        return LinkDown(self._roster.down_because if self._roster.serving is None else silent)

    # What becomes of connections

    def suspend(self, number: int, reason: str) -> None:
        """Nothing goes out on this connection: what waits was never sent, what was sent has no known outcome."""
        for pending in [pending for pending in self.of_callers if pending.progress is _WAITING]:
            if self._route(pending.session_id) is None:
                self.fail(pending, LinkDown(reason))
        of = self._connections.get(number)
        self.lose(number, reason, of.greeting if of is not None and of.usable else None)

    def close(self, error: BridgeError) -> None:
        """The gateway goes away. An error that says "nothing was sent" is only for what was not."""
        for pending in [pending for pending in self.of_callers if pending.progress is _WAITING]:
            self.fail(pending, error)
        for pending in list(self.of_callers):
            self.fail(pending, TransactionLost(error.data) if isinstance(error, LinkDown) else error)

    def move(self, old: int, new: int) -> None:
        """Wait on another connection for the events of what was acknowledged: they follow their session there."""
        for pending in self._sent_on(old):
            session = self._book.find(pending.session_id)
            if pending.progress is _ACKED and session is not None and session.carried_by(new):
                pending.connection = new

    def lose(self, number: int, reason: str, but: AwaitedAnswer | None = None) -> None:
        """What is in flight on a connection that ended or was given up has no known outcome, ``but`` a first answer."""
        for pending in [one for one in self._sent_on(number) if but is None or one.asker is not but]:
            self.fail(pending, TransactionLost(reason))

    def _sent_on(self, number: int) -> list[PendingRequest]:
        """What waits for an answer on this connection."""
        return [pending for pending in self.waiting.values() if pending.connection == number]

    # Sending

    def _transmit(self, pending: PendingRequest, connection: JanusConnection) -> None:
        """Put into a command what is known only now, and send it."""
        command = pending.command
        if self._fenced is not None and self._fenced.keeps(self, pending, connection.number):
            return
        members = command.members
        if pending.session_id is not None:
            members["session_id"] = pending.session_id
        pending.transaction = members["transaction"] = self._table.open(pending, pending.kind, pending.caller)
        pending.progress = _SENT
        pending.connection = connection.number
        credentials = connection.record.target.credentials
        if not credentials.empty:
            credentials.apply(members)
        if command.text:
            text = command.take()
        else:  # as nearly always
            text, command.members = codec.render_bytes(members), {}
        if not connection.send(text):
            self.fail(pending, TransactionLost(connection.end_reason or "the connection cannot be written to"))

    def resume(self, pending: PendingRequest, number: int) -> None:
        """It was kept behind a closed fence; it was to go out on the connection with that number."""
        connection = self._connections.get(number) if pending.kind == "internal" else self._route(pending.session_id)
        if connection is None:
            self.fail(pending, self._down())
        else:
            self._transmit(pending, connection)

    def ask(self, connection: JanusConnection, request: JsonObject) -> AwaitedAnswer:
        """Send a request of the bridge's own; its answer is nobody's event."""
        command = JanusCommand(request["janus"], request)
        answer = AwaitedAnswer(command.name)
        self._transmit(PendingRequest(command, "internal", self, answer), connection)
        return answer

    def keepalive(self, connection: JanusConnection, session_id: int) -> None:
        """Keep a session alive. Its transaction names the session, so that nothing has to be remembered. Behind a
        closed fence it is left out.
        """
        transaction = self._table.name("internal", str(session_id))
        request: JsonObject = {"janus": "keepalive", "session_id": session_id, "transaction": transaction}
        connection.record.target.credentials.apply(request)
        connection.keepalive_sent(transaction, self._now())
        connection.send(codec.render_bytes(request))

    # Outcomes

    def detach_of(self, handle_id: int | None) -> PendingRequest | None:
        """A caller's command in flight that detaches this handle."""
        return next((one for one in self.of_callers if one.kind == "detach" and one.handle_id == handle_id), None)

    def acknowledge(self, pending: PendingRequest) -> None:
        """The plugin has it: the next command of its handle may go."""
        pending.progress = _ACKED
        self._go(self._lanes.leave(pending))

    def settle(self, pending: PendingRequest, answer: JsonObject, *, error: bool) -> None:
        """Janus answered it, by an ``error`` or not. Whoever reads Janus tells its asker, when all is done."""
        self._over(pending)
        if pending.kind != "internal":
            seconds = self._now() - pending.began
            self.counters.answered(seconds, error=error)
            if command_log.ON():
                command_log.answered(self._janus_id, pending, answer, seconds)

    def fail(self, pending: PendingRequest, error: BridgeError) -> None:
        """It ended without an answer. A caller is told in the next turn of the event loop: it may ask again at once,
        and what fails here is not over yet.
        """
        if pending.finished:
            return
        if pending.kind == "internal":
            pending.fail(error)
        else:
            if pending.asker is not None:
                trio.lowlevel.current_trio_token().run_sync_soon(pending.fail, error)
            self.late.expect(pending)
            self._failed(pending, error)
        self._over(pending)

    def _failed(self, pending: PendingRequest, error: BridgeError) -> None:
        self.counters.failed(error)
        if command_log.ON():
            command_log.failed(self._janus_id, pending, error, self._now() - pending.began)

    def abandon(self, pending: PendingRequest) -> None:
        """Its caller left. What was sent keeps its lane until it is answered, or its time is over."""
        pending.asker = None
        if pending.progress is not _WAITING:
            pending.abandoned = True
        elif not pending.finished:
            self.fail(pending, CallerLeft("its caller left"))

    def expire(self, pending: PendingRequest) -> None:
        """Its time is over."""
        self.fail(pending, TransactionTimeout(pending.progress.value))

    def _over(self, pending: PendingRequest) -> None:
        pending.finished = True
        if pending.transaction is not None:
            self.waiting.pop(pending.transaction, None)
        if pending.holding is not None:
            pending.holding.release()
        if self._fenced is not None:
            self._fenced.forget(pending)
        if self._next_end is not None:
            self._next_end.set()
            self._next_end = None
        if pending.kind != "internal":
            self.of_callers.pop(pending, None)
            if following := self._lanes.leave(pending):
                self._go(following)

    def _go(self, following: list[PendingRequest]) -> None:
        for pending in following:
            if not pending.finished:
                connection = self._route(pending.session_id)
                if connection is None:
                    self.fail(pending, self._down())
                else:
                    self._transmit(pending, connection)
