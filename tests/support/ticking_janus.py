"""A Janus in memory for tests of rhythm: it writes down what arrives when, on the autojump clock.

Stands where the WebSocket client stands (core.connection.Connect). Knows sessions without owners, and how to be silent,
mute or unwilling. Which connection has which session is the matter of memory_janus.py.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import trio

from bridge.core.connection import Reports, WebSocket
from bridge.protocol.gateway import Gateway
from tests.support.linkbed import LinkBed

FRAME = ""  # no message, but a frame: a pong, or a part of something long


@dataclass
class TickingJanus:
    """``heard`` is what arrived and when: the verb, or "(ping)" for a WebSocket ping. Times in seconds."""

    info: dict[str, Any] = field(default_factory=lambda: {"session-timeout": 60, "reclaim-session-timeout": 0})
    latency: float = 0.05
    answers: bool = True  # requests
    pongs: bool = True  # WebSocket pings
    refuses: int | None = None  # create, with this code
    sessions: set[int] = field(default_factory=set)
    heard: list[tuple[float, str]] = field(default_factory=list)
    sockets: list["TickingSocket"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ids = count(1000)

    async def connect(
        self, _gateway: Gateway, reports: Reports, opened: Callable[[WebSocket], None], _socket: int
    ) -> str:
        """core.connection.Connect."""
        socket = TickingSocket(self, reports)
        self.sockets.append(socket)
        opened(socket)
        return await socket.run()

    def times(self, what: str) -> list[float]:
        """When it arrived, to the millisecond."""
        return [round(time, 3) for time, heard in self.heard if heard == what]

    def execute(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request, without its transaction."""
        session_id = request.get("session_id")
        match request["janus"]:
            case "info":
                return {"janus": "server_info", **self.info}
            case "create" if self.refuses is not None:
                return {"janus": "error", "error": {"code": self.refuses, "reason": "refused"}}
            case "create":
                self.sessions.add(created := next(self._ids))
                return {"janus": "success", "data": {"id": created}}
        if session_id not in self.sessions:
            return {"janus": "error", "error": {"code": 458, "reason": "No such session"}}
        return {"janus": "ack" if request["janus"] == "keepalive" else "success", "session_id": session_id}


class TickingSocket:
    """One connection. ``say`` makes Janus say something by itself."""

    adopted = False
    number = 0

    def __init__(self, janus: TickingJanus, reports: Reports) -> None:
        self.last_received = trio.current_time()
        self.closed = False
        self._janus = janus
        self._reports = reports
        self._coming: deque[tuple[float, str]] = deque()
        self._changed = trio.Event()

    def send_text(self, text: bytes) -> None:
        request = json.loads(text)
        self._janus.heard.append((trio.current_time(), request["janus"]))
        if self._janus.answers:
            self.say(json.dumps({**self._janus.execute(request), "transaction": request["transaction"]}))

    def send_ping(self) -> None:
        self._janus.heard.append((trio.current_time(), "(ping)"))
        if self._janus.pongs:
            self.say(FRAME)

    def close(self) -> None:
        self.closed = True
        self._changed.set()

    async def freeze(self) -> None:
        self.close()

    def say(self, text: str) -> None:
        """It arrives after the latency."""
        self._coming.append((trio.current_time() + self._janus.latency, text))
        self._changed.set()

    async def run(self) -> str:
        """Deliver until it is closed."""
        while not self.closed:
            self._changed = trio.Event()
            with trio.move_on_at(self._coming[0][0] if self._coming else float("inf")):
                await self._changed.wait()
            while self._coming and self._coming[0][0] <= trio.current_time():
                _, text = self._coming.popleft()
                self.last_received = trio.current_time()
                if text != FRAME:
                    self._reports.on_text(text)
                self._reports.on_frames()
        return "closed"


def ticking_bed(janus: TickingJanus, **arguments: Any) -> LinkBed:
    """A LinkBed whose links connect to this Janus, whatever their URLs say."""

    class TickingBed(LinkBed):
        async def _connect(
            self, gateway: Gateway, reports: Reports, opened: Callable[[WebSocket], None], socket: int
        ) -> str:
            return await janus.connect(gateway, reports, opened, socket)

    return TickingBed(**arguments)
