"""Does what is decided about the connections of one gateway, and reports what happens to them.

Owns the connections, by number, and every task and timer of theirs; ``_act`` is the one place where a decision of
``protocol/failover.py`` becomes a deed. Decides nothing. Must not know what the outside is told: words go
to its audience.
"""

from collections import deque
from typing import TYPE_CHECKING, Protocol

import trio

from bridge.core.connection import JanusConnection, Reader
from bridge.core.environment import LinkEnvironment
from bridge.core.join import JoinFailed, Joining, JoinRefused, JoinUnable, retire
from bridge.core.keepalive import Keepalive
from bridge.core.requests import Requests
from bridge.errors import ConnectFailed
from bridge.protocol.failover import Failover
from bridge.protocol.life import Action, Cause, Deed
from bridge.protocol.session import JanusSession
from bridge.protocol.session_book import SessionBook

if TYPE_CHECKING:
    from bridge.core.timers import Timer


class Audience(Protocol):
    """Who hears of what is done."""

    def tell(self, action: Action) -> None:
        """The deed is words."""

    def changed(self) -> None:
        """All that was decided is done."""

    def session_over(self, session: JanusSession, reason: str) -> None:
        """A claim, or another row, has ended a session."""

    def events_lost(self, reason: str) -> None:
        """What Janus said on a connection of the last process cannot be read."""


class Performer:
    """``reader`` reads what Janus says; it is set before the first connection is opened."""

    reader: Reader

    def __init__(
        self, janus_id: str, environment: LinkEnvironment, failover: Failover, book: SessionBook, audience: Audience
    ) -> None:
        self.connections: dict[int, JanusConnection] = {}
        self.requests = Requests(janus_id, environment, book, failover, self.connections)
        self._env = environment
        self._failover = failover
        self._book = book
        self._audience = audience
        self._nursery: trio.Nursery | None = None
        self._scopes: dict[int, trio.CancelScope] = {}  # of what is under way on a connection: opening or joining it
        self._joining = trio.Lock()
        self._todo: deque[Action] = deque()
        self._performing = False
        self._alarm: Timer | None = None

    async def run(self) -> None:
        """Keep the gateway connected until cancelled, or until a fault of the bridge."""
        try:
            async with trio.open_nursery() as self._nursery:
                self.perform(self._failover.due(trio.current_time()))
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._todo.clear()
            numbers = list(self._failover.connections)
            self._failover.reset("the link is being restarted")
            for number in numbers:
                self.requests.suspend(number, self._failover.down_because)
            self.connections.clear()

    def perform(self, actions: list[Action]) -> None:
        """Do what was decided, in order; what follows from a deed comes after it."""
        self._todo += actions
        if self._performing or self._nursery is None:
            return
        self._performing = True
        try:
            while self._todo:
                self._act(self._nursery, self._todo.popleft())
        finally:
            self._performing = False
        self.set_alarm()
        self._audience.changed()

    def _act(self, nursery: trio.Nursery, action: Action) -> None:
        number = action.number
        connection, record = self.connections.get(number), self._failover.connections.get(number)
        match action.deed:
            case Deed.OPEN if record is not None:
                connection = self.connections[number] = JanusConnection(number, record.target, self.reader, self)
                nursery.start_soon(self._connect, connection, self._scope(number))
            case Deed.CANCEL:
                self._scopes.pop(number, trio.CancelScope()).cancel()
            case Deed.SUSPEND:
                self.requests.suspend(number, action.text)
            case Deed.JOIN if connection is not None:
                nursery.start_soon(self._join, connection, self._scope(number))
            case Deed.CLOSE if connection is not None:
                connection.close()
            case Deed.PING if connection is not None:
                connection.ping()
            case Deed.WATCH if connection is not None:
                self._watch(connection)
            case Deed.RETIRE if connection is not None:
                nursery.start_soon(self._retire, connection)
            case Deed.RETARGET if connection is not None and record is not None:
                connection.gateway, connection.credentials = record.target
            case _:
                self._audience.tell(action)

    # What is done

    def _scope(self, number: int) -> trio.CancelScope:
        scope = self._scopes[number] = trio.CancelScope()
        return scope

    def set_alarm(self) -> None:
        """Wake up when the next decision is due."""
        if self._alarm is not None:
            self._alarm.cancel()
        at = None if self._failover.stopping else self._failover.wake_at
        self._alarm = None if at is None else self._env.timers.call_at(at, self._on_alarm)

    async def _connect(self, connection: JanusConnection, scope: trio.CancelScope) -> None:
        number = connection.number
        await trio.lowlevel.checkpoint_if_cancelled()  # the end of all: what ended with it is not replaced
        with scope:
            try:
                await connection.run(self._env.connect)
            except ConnectFailed as exc:
                self.connections.pop(number, None)
                self.perform(self._failover.failed(number, trio.current_time(), exc.reason, refused=exc.refused))
        self.connections.pop(number, None)  # where it was cancelled before it was open

    async def _join(self, connection: JanusConnection, scope: trio.CancelScope) -> None:
        """Bring the sessions onto the connection."""
        failover, number = self._failover, connection.number
        async with self._joining:  # the exchange before, which was cancelled, is over
            with scope:
                beside = failover.serves_beside(number)
                over = self._audience.session_over
                joining = Joining(connection, self.requests, self._book, over, serves_beside=beside)
                try:
                    if connection.info is None:
                        await joining.greet()
                        failover.greeted(number, max(connection.times, default=0))
                    await joining.claim()
                    await joining.create()
                except JoinFailed as exc:
                    actions = failover.failed(number, trio.current_time(), str(exc))
                except JoinRefused as exc:
                    actions = failover.refused(number, trio.current_time(), str(exc))
                except JoinUnable as exc:
                    actions = failover.unable(number, trio.current_time(), str(exc))
                else:
                    self._leave_behind(connection)
                    actions = failover.joined(number, trio.current_time())
                self.perform(actions)

    def _leave_behind(self, connection: JanusConnection) -> None:
        """The row points here now: what stayed behind another URL ends, and is destroyed there."""
        for session in self._book.misplaced(connection.gateway):
            carrier = self.connections.get(session.carrier or 0)
            if carrier is not None and session.session_id is not None:
                carrier.misplaced.append(session.session_id)
            self._audience.session_over(session, "the row points to another Janus")

    async def _retire(self, connection: JanusConnection) -> None:
        current = self._failover.current
        await retire(connection, 0 if current is None else current.number, self.requests)
        self.perform(self._failover.retired(connection.number, trio.current_time()))

    def _watch(self, connection: JanusConnection) -> None:
        if not connection.watched:
            connection.watched = True
            timers, interval = self._env.timers, self._env.settings.ping_interval
            Keepalive(connection, self.requests, self._book, timers, interval, self._on_silence).start()

    # What happens

    def _on_alarm(self) -> None:
        self.perform(self._failover.due(trio.current_time()))

    def on_opened(self, connection: JanusConnection) -> None:
        """Its WebSocket is open. One that is not wanted any more is closed."""
        self._scopes.pop(connection.number, None)
        opened = self._failover.adopted if connection.adopted else self._failover.opened
        self.perform(opened(connection.number, trio.current_time()))
        if connection.number not in self._failover.connections:
            connection.close()

    def on_frames(self, connection: JanusConnection) -> None:
        """Something came. Of consequence where it was silent, once."""
        record = self._failover.connections.get(connection.number)
        if record is not None and record.cause is Cause.SILENCE and not (record.heard or record.stalled):
            self.perform(self._failover.spoke(connection.number, trio.current_time()))

    def on_stalled(self, connection: JanusConnection, reason: str) -> None:
        """Nothing more is written to it."""
        self._tell_service(connection)
        self.perform(self._failover.stalled(connection.number, trio.current_time(), reason))

    def on_out_of_step(self, connection: JanusConnection, reason: str) -> None:
        """It is neither read nor written any more."""
        self._audience.events_lost(reason)
        self.on_stalled(connection, reason)

    def on_ended(self, connection: JanusConnection, reason: str) -> None:
        """It is gone."""
        self._tell_service(connection)
        self.connections.pop(connection.number, None)
        actions = self._failover.ended(connection.number, trio.current_time(), reason)
        self.requests.lose(connection.number, reason)
        self.perform(actions)

    def _on_silence(self, connection: JanusConnection) -> None:
        connection.watched = False
        self._tell_service(connection)
        self.perform(self._failover.silent(connection.number, trio.current_time()))

    def _tell_service(self, connection: JanusConnection) -> None:
        if connection.served:
            self._failover.served(connection.number)
