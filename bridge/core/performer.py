"""Does what is decided about the connections of one gateway, and reports what happens to them.

Owns the connections, by number, and every task and timer of theirs; ``_act`` is the one place where an action of
``protocol/failover.py`` takes effect. Decides nothing. Must not know what the outside is told: words go to an observer.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import trio

from bridge.core.connection import JanusConnection, Reader
from bridge.core.environment import LinkEnvironment
from bridge.core.fence import Fence
from bridge.core.join import Joining, JoinStopped, greeted, greeting, retire
from bridge.core.keepalive import Keepalive
from bridge.core.requests import Requests
from bridge.errors import ConnectFailed
from bridge.protocol.decisions import Incident
from bridge.protocol.failover import Failover
from bridge.protocol.life import Action, Effect, Input
from bridge.protocol.session import JanusSession
from bridge.protocol.session_book import SessionBook

if TYPE_CHECKING:
    from bridge.core.timers import Timer


class LinkObserver(Protocol):
    """Who hears of what is done."""

    def tell(self, action: Action) -> None:
        """An action that is words."""

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
        self, janus_id: str, environment: LinkEnvironment, failover: Failover, book: SessionBook, observer: LinkObserver
    ) -> None:
        self.connections: dict[int, JanusConnection] = {}
        self.requests = Requests(janus_id, environment, book, failover.roster, self.connections)
        self.events_lost = observer.events_lost
        self._env = environment
        self._failover = failover
        self._roster = failover.roster
        self._book = book
        self._audience = observer
        self._nursery: trio.Nursery | None = None
        self._starts = False
        self._joining = trio.Lock()
        self._todo: deque[Action] = deque()
        self._performing = False
        self._alarm: Timer | None = None

    async def run(self) -> None:
        """Keep the gateway connected until cancelled, or until a fault of the bridge."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._starts = True
                try:
                    sockets = self._env.sockets(self._roster.wanted.gateway)
                    self.perform(self._failover.begin(trio.current_time(), sockets))
                    await trio.sleep_forever()
                finally:
                    self._starts = False
        finally:
            self._nursery = None
            self._todo.clear()
            numbers = list(self._roster.connections)
            self._failover.reset("the link is being restarted")
            for number in numbers:
                self.requests.suspend(number, self._roster.down_because)
            self.connections.clear()
            self._audience.changed()

    def perform(self, actions: list[Action]) -> None:
        """Do what was decided, in order; what follows from an action comes after it."""
        self._todo += actions
        if self._performing or self._nursery is None:
            return
        self._performing = True
        try:
            while self._todo:
                self._act(self._todo.popleft())
        finally:
            self._performing = False
        self.set_alarm()
        self._audience.changed()

    def _act(self, action: Action) -> None:
        number = action.number
        connection, record = self.connections.get(number), self._roster.connections.get(number)
        match action.effect:
            case Effect.OPEN if record is not None:
                connection = self.connections[number] = JanusConnection(record, self.reader, self, self._env.fence)
                self._start(self._connect, connection, connection.task)
            case Effect.CANCEL if connection is not None:
                connection.task.cancel()
            case Effect.SUSPEND:
                self.requests.suspend(number, action.text)
            case Effect.JOIN if connection is not None:
                connection.task = trio.CancelScope()
                self._start(self._join, connection, connection.task)
            case Effect.GREET if connection is not None:
                self._start(self._greet, connection)
            case Effect.CLOSE if connection is not None:
                self._close(connection)
            case Effect.PING if connection is not None:
                connection.ping()
            case Effect.WATCH if connection is not None:
                self._watch(connection)
            case Effect.RETIRE if connection is not None:
                self._start(self._retire, connection)
            case _:
                self._audience.tell(action)

    def _start(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """While it ends, nothing is begun: a nursery that closes takes no task, and who reports may not know."""
        if self._starts and self._nursery is not None:
            self._nursery.start_soon(task, *arguments)

    # What is done

    def _close(self, connection: JanusConnection) -> None:
        """Where Janus reclaims nothing, that ends sessions: behind a fence, they may be another bridge's by now."""
        if self._env.fence is None or self._env.fence.valid():
            connection.close()
        else:
            self._start(self._close_when_valid, self._env.fence, connection)

    async def _close_when_valid(self, fence: Fence, connection: JanusConnection) -> None:
        await fence.validated()
        connection.close()

    def set_alarm(self) -> None:
        """Wake up when the next decision is due."""
        if self._alarm is not None:
            self._alarm.cancel()
        at = None if self._failover.stopping else self._roster.wake_at
        self._alarm = None if at is None else self._env.timers.call_at(at, self._on_alarm)

    def _on_alarm(self) -> None:
        self.perform(self._failover.due(trio.current_time()))

    async def _connect(self, connection: JanusConnection, scope: trio.CancelScope) -> None:
        number = connection.number
        await trio.lowlevel.checkpoint_if_cancelled()  # the end of all: what ended with it is not replaced
        with scope:
            try:
                try:
                    reason = await connection.run(self._env.connect)
                finally:
                    del self.connections[number]
            except ConnectFailed as exc:
                self.happened(connection, Input.FAILED, exc.reason, refused=exc.refused)
            else:
                self.happened(connection, Input.ENDED, reason)
                self.requests.lose(number, reason)

    async def _join(self, connection: JanusConnection, scope: trio.CancelScope) -> None:
        """Bring the sessions onto the connection."""
        async with self._joining:  # the exchange before, which was cancelled, is over
            with scope:
                beside, over = self._roster.serves_beside(connection.number), self._audience.session_over
                try:
                    await Joining(connection, self.requests, self._book, over, beside, self._env.cluster).run()
                except JoinStopped as exc:
                    self.happened(connection, exc.what, str(exc))
                else:
                    self._leave_behind(connection)
                    self.happened(connection, Input.JOINED)

    async def _greet(self, connection: JanusConnection) -> None:
        """Another process's, and not the one that is to be current: it serves once its Janus has answered."""
        answer = greeting(connection, self.requests)
        await answer.wait()
        if connection.usable and connection.record.untested:
            greeted(connection, answer)
            self._book.carriers.confirmed(connection.number)
            self.happened(connection, Input.SPOKE)

    def _leave_behind(self, connection: JanusConnection) -> None:
        """The row points here now: what stayed behind another URL ends, and is destroyed there."""
        for session in self._book.carriers.misplaced(connection.record.target.gateway, self._book):
            carrier = self.connections.get(session.carrier or 0)
            if carrier is not None and session.session_id is not None:
                carrier.misplaced.append(session.session_id)
            self._audience.session_over(session, "the row points to another Janus")

    async def _retire(self, connection: JanusConnection) -> None:
        current = self._roster.current
        await retire(connection, 0 if current is None else current.number, self.requests)
        self.happened(connection, Input.RETIRED)

    def _watch(self, connection: JanusConnection) -> None:
        if not connection.watched:
            connection.watched = True
            timers, interval = self._env.timers, self._env.settings.ping_interval
            Keepalive(connection, self.requests, self._book, timers, interval, self._on_silence).start()

    # What happens

    def happened(self, connection: JanusConnection, what: Input, reason: str = "", *, refused: bool = False) -> None:
        """It is decided, and done."""
        incident = Incident(what, trio.current_time(), reason, refused)
        self.perform(self._failover.happened(connection.number, incident))

    def _on_silence(self, connection: JanusConnection) -> None:
        connection.watched = False
        self.happened(connection, Input.SILENT, "Janus is silent")
