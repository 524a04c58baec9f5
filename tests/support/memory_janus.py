"""A model of Janus in memory, for tests of links under a mock clock: which connection has which session, and no more.

It follows what was observed on a real Janus 1.1.2: requests of all connections are executed in the order in which
they arrived; a session's events go to the connection that claimed it last; where nothing is reclaimed, a session dies
with the connection that has it, and Janus is the last to know that a network forgot a connection.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeAlias

import trio

from bridge.core.connection import Reports, WebSocket
from bridge.errors import ConnectFailed
from bridge.protocol import codec
from bridge.protocol.gateway import Gateway

Message: TypeAlias = dict[str, Any]

PATIENCE = 5.0  # seconds that a client waits for an upgrade
LATENCY = 0.001


class FaultOfTheBridge(Exception):
    """It ends the task of a connection, and with it that of its link."""


class MemorySocket:
    """One connection, as the bridge holds it."""

    def __init__(self, janus: "MemoryJanus", url: str, reports: Reports, number: int, *, adopted: bool = False) -> None:
        self.url = url
        self.number = number
        self.adopted = adopted
        self.last_received = trio.current_time()
        self.reports = reports
        self.forgotten = False  # the network lost it: nothing gets through, and nobody is told
        self.unreadable = False  # what it says makes no sense
        self.stalled = False
        self.faulty = False
        self.ended = False
        self._janus = janus
        self._over = trio.Event()
        self._reason = ""

    def send_text(self, text: bytes) -> None:
        assert not self.stalled, "nothing is written after a write that stalled"
        self._janus.arrives(self, codec.parse(text.decode()))

    def send_ping(self) -> None:
        assert not self.stalled, "nothing is written after a write that stalled"
        self._janus.arrives(self, None)

    def close(self) -> None:
        self.end("the bridge closed it")

    async def freeze(self) -> None:
        self._over.set()

    def fail(self) -> None:
        """Its task ends by a fault of the bridge."""
        self.faulty = True
        self._over.set()

    def end(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._over.set()

    def stall(self) -> None:
        """A write did not complete: the bridge is told."""
        self.stalled = True
        self.reports.on_stalled()

    def hears(self, message: Message | None) -> None:
        """A message of Janus, or (None) a frame without one."""
        if self.forgotten or self.unreadable or self.ended:
            return
        self.last_received = trio.current_time()
        if message is not None:
            self.reports.on_text(codec.render(message))
        self.reports.on_frames()

    async def run(self) -> str:
        try:
            await self._over.wait()
            if self.faulty:
                raise FaultOfTheBridge
        finally:
            self.ended = True
            if self._janus.store is not None and not self._reason:
                self._janus.store.append(self)
            else:
                self._janus.arrives(self, "closed")
        return self._reason


Arrival: TypeAlias = Message | str | None


class MemoryJanus:
    """``connect`` is a core.connection.Connect. Change the switches at any time, then ``look``."""

    def __init__(self, *, reclaim: bool) -> None:
        self.reclaim = reclaim
        self.frozen = False
        self.refusing = False  # connects
        self.unanswered = False  # upgrades
        self.store: list[MemorySocket] | None = None  # where sockets of processes that end are kept open
        self.out_of_step = False  # what comes on an adopted connection
        self.deaf = False  # on adopted connections
        self.closing = False  # connections, right after the upgrade
        self.closing_after = ""  # the verb whose answer is the last on a connection
        self.mute: set[str] = set()  # verbs that get no answer, though they are executed
        self.errors: dict[str, tuple[int, str]] = {}  # by verb
        self.connects = 0
        self.sockets: list[MemorySocket] = []
        self.sessions: dict[int, MemorySocket | None] = {}
        self.executed: list[Any] = []  # bodies of plugin messages
        self.lost: list[int] = []  # sessions that died
        self._ids = count(1001)
        self._queue: deque[tuple[MemorySocket, Arrival]] = deque()
        self._wake = trio.Event()

    def held(self, gateway: Gateway) -> list[int]:
        """The numbers of the sockets that the last process left."""
        return sorted(socket.number for socket in self.store or () if socket.url == gateway.janus_url)

    async def connect(
        self, gateway: Gateway, reports: Reports, opened: Callable[[WebSocket], None], number: int
    ) -> str:
        if self.store is not None and number:
            [held] = [socket for socket in self.store if socket.number == number]
            self.store.remove(held)
            return await self._adopt(held, reports, opened)
        self.connects += 1
        await trio.sleep(LATENCY)
        if self.refusing:
            raise ConnectFailed("connection refused", refused=True)
        with trio.move_on_after(PATIENCE) as patience:
            while self.frozen or self.unanswered:  # noqa: ASYNC110 - virtual time
                await trio.sleep(0.1)
        if patience.cancelled_caught:
            raise ConnectFailed("the WebSocket upgrade was not answered")
        socket = MemorySocket(self, gateway.janus_url, reports, self.connects)
        self.sockets.append(socket)
        opened(socket)
        if self.closing:
            socket.end("Janus closed the connection")
        return await socket.run()

    async def _adopt(self, old: MemorySocket, reports: Reports, opened: Callable[[WebSocket], None]) -> str:
        socket = MemorySocket(self, old.url, reports, old.number, adopted=True)
        socket.forgotten = self.deaf
        self.sockets.append(socket)
        self.sessions |= {session_id: socket for session_id, owner in self.sessions.items() if owner is old}
        self._queue = deque((socket if one is old else one, what) for one, what in self._queue)
        opened(socket)
        if self.out_of_step:
            socket.unreadable = socket.stalled = True
            reports.on_out_of_step("Reserved bit set")
        return await socket.run()

    @property
    def open_sockets(self) -> list[MemorySocket]:
        return [socket for socket in self.sockets if not socket.ended]

    def arrives(self, socket: MemorySocket, what: Arrival) -> None:
        if not socket.forgotten:
            self._queue.append((socket, what))
            self.look()

    def look(self) -> None:
        """Something changed."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._queue and not self.frozen:
                await trio.sleep(LATENCY)
                self._execute(*self._queue.popleft())

    def end_session(self, session_id: int) -> None:
        """Its time is over, as Janus sees it."""
        owner = self.sessions.pop(session_id)
        if owner is not None:
            owner.hears({"janus": "timeout", "session_id": session_id})

    def _execute(self, socket: MemorySocket, what: Arrival) -> None:
        if what is None:
            socket.hears(None)
        elif isinstance(what, str):
            for session_id in [one for one, owner in self.sessions.items() if owner is socket]:
                if self.reclaim:
                    self.sessions[session_id] = None
                else:
                    del self.sessions[session_id]
                    self.lost.append(session_id)
        else:
            for answer in self._answers(socket, what):
                if what["janus"] not in self.mute:
                    socket.hears(answer)
            if what["janus"] == self.closing_after:
                socket.end("Janus closed the connection")

    def _answers(self, socket: MemorySocket, request: Message) -> Iterator[Message]:
        verb, session_id = request["janus"], request.get("session_id")
        answer = {"transaction": request["transaction"]} | ({} if session_id is None else {"session_id": session_id})
        if verb in self.errors:
            code, reason = self.errors[verb]
            yield {"janus": "error", **answer, "error": {"code": code, "reason": reason}}
        elif verb == "info":
            yield {"janus": "server_info", **answer, "reclaim-session-timeout": 600 if self.reclaim else 0}
        elif verb == "ping":
            yield {"janus": "pong", **answer}
        elif verb == "create":
            session_id = next(self._ids)
            self.sessions[session_id] = socket
            yield {"janus": "success", **answer, "data": {"id": session_id}}
        elif session_id not in self.sessions:
            yield {"janus": "error", **answer, "error": {"code": 458, "reason": f"No such session {session_id}"}}
        elif verb == "claim":
            self.sessions[session_id] = socket
            yield {"janus": "success", **answer}
        elif verb == "destroy":
            del self.sessions[session_id]
            yield {"janus": "success", **answer}
        elif verb == "message":
            yield from self._message(request, answer)
        else:
            yield {"janus": "ack", **answer}

    def _message(self, request: Message, answer: Message) -> Iterator[Message]:
        body = request["body"]
        self.executed.append(body)
        said = {**answer, "sender": request["handle_id"], "plugindata": {"plugin": "p", "data": body}}
        if not body.get("later"):
            yield {"janus": "success", **said}
            return
        yield {"janus": "ack", **answer}
        owner = self.sessions[request["session_id"]]
        if owner is not None:  # else it is dropped
            owner.hears({"janus": "event", **said})
