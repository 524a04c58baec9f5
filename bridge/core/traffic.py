"""The commands in flight to one Janus.

Owns their transactions, lanes and outcomes (contract 5.4, 5.5). Must not know how connections are made or kept, nor
what messages mean: ``core/hearing.py`` says which call a message answers.
"""

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial

import trio

from bridge.core import command_log
from bridge.core.calls import Asked, Call, CallerLeft, Progress
from bridge.core.connection import Connection
from bridge.core.environment import LinkEnvironment
from bridge.core.lanes import Lanes
from bridge.core.tally import Tally
from bridge.errors import BridgeError, LinkDown, TooManyInFlight, TransactionLost, TransactionTimeout
from bridge.protocol import codec
from bridge.protocol.budget import Holding
from bridge.protocol.codec import JsonObject
from bridge.protocol.command import JanusCommand
from bridge.protocol.janus import verb_of
from bridge.protocol.session_book import SessionBook
from bridge.protocol.transactions import TransactionTable, WireTransaction, number_of

MAX_LATE = 1024  # requests without an outcome whose late answers are still understood


class Traffic:
    """``connection`` is the one in service, None while there is none. ``closed_because`` is what callers hear then.

    A command goes out on the connection that carries its session, which may be another one; where none does, or for
    one without a session, on the one in service. ``carriers``: those that are open, by number.
    """

    def __init__(
        self, environment: LinkEnvironment, book: SessionBook, closed_because: str, janus_id: str = ""
    ) -> None:
        self.book = book
        self._janus_id = janus_id
        self.tally = Tally(environment.stats, trio.current_time())
        self.connection: Connection | None = None
        self._env = environment
        self._stats = environment.stats
        self._table: TransactionTable[Call] = TransactionTable(environment.start)
        self._lanes: Lanes[Call] = Lanes()
        self._calls: set[Call] = set()  # those of callers, waiting and sent
        self._emptied = trio.Event()
        self.carriers: dict[int, Connection] = {}
        self.closed_because = closed_because
        self._late: OrderedDict[int, Asked] = OrderedDict()  # by number: a text may be long

    @property
    def in_flight(self) -> int:
        """Commands of callers that were accepted and have no outcome yet."""
        return len(self._calls)

    async def drained(self) -> None:
        """Wait until nothing of callers is in flight."""
        while self._calls:
            self._emptied = trio.Event()
            await self._emptied.wait()

    # For callers

    async def request(self, command: JanusCommand, timeout: float) -> JsonObject:
        """Send a command and wait for Janus's answer, at most ``timeout`` seconds.

        Raises InvalidCommand, LinkDown, TooManyInFlight (nothing was sent), TransactionLost or TransactionTimeout.
        """
        call = self._begin(command, timeout, notification=False)
        try:
            await call.wait()
        finally:
            self._forsake(call)
        return call.result()

    def post(self, command: JanusCommand, timeout: float, holding: Holding | None = None) -> None:
        """Send a command for which nobody waits. Raises as ``request`` where it is not accepted.

        What its request holds is handed on to it, until it is over.
        """
        call = self._begin(command, timeout, notification=True)
        if holding is not None and not call.finished:
            call.holding = holding.handed_on()

    def _begin(self, command: JanusCommand, timeout: float, *, notification: bool) -> Call:
        began = trio.current_time()
        call = Call(command, began + timeout, began=began, notification=notification)
        self._accept(call)
        return call

    def _accept(self, call: Call) -> None:
        try:
            self._admit(call)
        except BridgeError as exc:
            self._failed(call, exc)
            raise
        self._stats.add("commands")
        self._calls.add(call)
        call.timer = self._env.timers.call_at(call.deadline, partial(self._expire, call))
        if self._lanes.enter(call):
            self._transmit(call)

    def _admit(self, call: Call) -> None:
        if self.connection is None and not self.carriers:
            raise LinkDown(self.closed_because)
        if len(self._calls) >= self._env.settings.max_in_flight:
            raise TooManyInFlight(f"{len(self._calls)} commands are in flight, as many as max_in_flight allows")
        self.book.check(call.command)
        call.session_id = self.book.address(
            call.command, self.closed_because if self.connection is None else "the managed session is being created"
        )
        if self._route(call.session_id) is None:
            raise self._down()

    # Which connection is in service

    def _route(self, session_id: int | None) -> Connection | None:
        """The connection that a command for this session goes out on; None: none that can be written to."""
        session = self.book.find(session_id)
        carrier = None if session is None or session.carrier is None else self.carriers.get(session.carrier)
        if carrier is None:
            return self.connection
        return carrier if carrier.serves else None

    def _down(self) -> LinkDown:
        """Why there is no route."""
        silent = "the connection that carries this session is silent"
        return LinkDown(self.closed_because if self.connection is None else silent)

    def is_open(self, number: int | None) -> bool:
        """Whether the connection with this number is open."""
        return number in self.carriers

    def serves_beside(self, connection: Connection) -> bool:
        """Whether another connection than this one is in service."""
        return self.connection not in (None, connection)

    def out_of_service(self, connection: Connection, reason: str) -> None:
        """No command can be sent on this connection: what waits was never sent, what was sent has no known outcome."""
        if self.connection is connection:
            self.connection = None
            self.closed_because = reason
        for call in [call for call in self._calls if call.progress is Progress.WAITING]:
            if self._route(call.session_id) is None:
                self.fail(call, LinkDown(reason))
        self.lose(connection, reason)

    def close(self, error: BridgeError) -> None:
        """The gateway goes away. An error that says "nothing was sent" is only for what was not."""
        self.closed_because = str(error)
        self.connection = None
        self.carriers.clear()
        for call in [call for call in self._calls if call.progress is Progress.WAITING]:
            self.fail(call, error)
        for call in list(self._calls):
            self.fail(call, TransactionLost(error.data) if isinstance(error, LinkDown) else error)

    def move(self, old: Connection, new: Connection) -> None:
        """Wait on another connection for the events of what was acknowledged: they follow their session there."""
        for call in [call for call in old.calls if call.progress is Progress.ACKED]:
            session = self.book.find(call.session_id)
            if session is not None and session.carried_by(new.number):
                old.forget(call)
                call.connection = new
                new.calls.add(call)

    def lose(self, connection: Connection, reason: str) -> None:
        """A connection ended or was given up: what is in flight on it has no known outcome."""
        for call in list(connection.calls):
            self.fail(call, TransactionLost(reason))

    # Sending

    def _transmit(self, call: Call) -> None:
        if call.finished:
            return
        connection = self._route(call.session_id)
        if connection is None:
            self.fail(call, self._down())
            return
        text, members = call.command.take()
        if call.session_id is not None:
            members["session_id"] = call.session_id
        self._send(connection, call, members, text)

    def own(self, connection: Connection, request: JsonObject) -> Call:
        """Send a request of the bridge's own; its answer is nobody's event."""
        name = request["janus"]
        call = Call(JanusCommand(b"", name, verb_of(name), request.get("session_id")), float("inf"), kind="own")
        self._send(connection, call, request)
        return call

    def _send(self, connection: Connection, call: Call, members: JsonObject, text: bytes = b"") -> None:
        """``text`` is the rest of the request, as a JSON object without the ``members``."""
        call.wire = members["transaction"] = self._table.open(call)
        call.progress = Progress.SENT
        call.connection = connection
        connection.calls.add(call)
        connection.credentials.apply(members)
        if connection.usable:
            rendered = codec.render_bytes(members)
            connection.send((b"%b,%b" % (text[:-1], rendered[1:]) if text else rendered).decode())
        else:
            self.fail(call, TransactionLost(connection.end_reason or "the connection cannot be written to"))

    def keepalive(self, connection: Connection, session_id: int) -> None:
        """Keep a session alive. Its transaction names the session, so that nothing has to be remembered."""
        number, wire = self._table.number("own", str(session_id))
        request: JsonObject = {"janus": "keepalive", "session_id": session_id, "transaction": wire}
        connection.credentials.apply(request)
        connection.keepalive_sent(number)
        connection.send(codec.render(request))

    # Outcomes

    def find(self, transaction: str | None) -> Call | None:
        """The call that waits under this transaction."""
        return self._table.find(transaction)

    def detach_of(self, handle_id: int | None) -> Call | None:
        """A caller's command in flight that detaches this handle."""
        return next((call for call in self._calls if call.kind == "detach" and call.handle_id == handle_id), None)

    def late(self, wire: WireTransaction) -> Asked | None:
        """What a request was about that had its outcome before Janus answered; known once. None: it was not ours."""
        return self._late.pop(wire.number, None) if wire.start == self._env.start else None

    def acknowledge(self, call: Call) -> None:
        """The plugin has it: the next command of its handle may go."""
        call.progress = Progress.ACKED
        self._go(self._lanes.leave(call))

    def settle(self, call: Call, answer: JsonObject) -> None:
        """Janus answered it."""
        self._over(call)
        if call.kind != "own":
            seconds = trio.current_time() - call.began
            self.tally.answered(seconds, error=answer.get("janus") == "error")
            if command_log.ON():
                command_log.answered(self._janus_id, call, answer, seconds)
        call.settle(answer)

    def fail(self, call: Call, error: BridgeError) -> None:
        """It ended without an answer."""
        if call.finished:
            return
        call.fail(error)
        if call.wire is not None and call.kind != "own":
            self._late[number_of(call.wire)] = call.asked
            if len(self._late) > MAX_LATE:
                self._late.popitem(last=False)
        if call.kind != "own":
            self._failed(call, error)
        self._over(call)

    def _failed(self, call: Call, error: BridgeError) -> None:
        self.tally.failed(error)
        if command_log.ON():
            command_log.failed(self._janus_id, call, error, trio.current_time() - call.began)

    def _forsake(self, call: Call) -> None:
        """Its caller left. What was sent keeps its lane until it is answered, or its time is over."""
        if call.finished:
            return
        if call.progress is Progress.WAITING:
            self.fail(call, CallerLeft("its caller left"))
        else:
            call.forsaken = True

    def _expire(self, call: Call) -> None:
        """Its time is over."""
        self.fail(call, TransactionTimeout(call.progress.value))

    def _over(self, call: Call) -> None:
        if call.timer is not None:
            call.timer.cancel()
        if call.holding is not None:
            call.holding.release()
        if call.wire is not None:
            self._table.close(call.wire)
        if call.connection is not None:
            call.connection.forget(call)
        if call.kind != "own":
            self._calls.discard(call)
            if not self._calls:
                self._emptied.set()
            self._go(self._lanes.leave(call))

    def _go(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self._transmit(call)
