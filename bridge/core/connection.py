"""One TCP life of a gateway's WebSocket, as the link sees it.

Owns its socket, when it last spoke, and how long Janus took to answer. Decides nothing: every report goes to its owner.
Must not know sockets; ``connect`` is passed in.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import trio

from bridge.core.fence import Fence
from bridge.protocol.codec import JsonObject
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway
from bridge.protocol.janus import session_times
from bridge.protocol.life import Cause, Input, State
from bridge.protocol.roster import ConnectionRecord

if TYPE_CHECKING:
    from bridge.core.pending import AwaitedAnswer

_SILENCE: Final = Cause.SILENCE


class WebSocket(Protocol):
    """An open WebSocket. What is sent goes out in order, and nothing waits for that but ``freeze``."""

    @property
    def adopted(self) -> bool:
        """Whether another process opened it."""

    @property
    def number(self) -> int:
        """Of its socket, for the next process, which has it as well; 0: none will."""

    @property
    def last_received(self) -> float:
        """When the last frame of any kind came, in trio's clock; now, where what came is still being handled."""

    def send_text(self, text: bytes) -> None:
        """A message, in UTF-8."""

    def send_ping(self) -> None: ...

    def close(self) -> None:
        """Close politely, without waiting for the peer longer than a moment."""

    async def freeze(self) -> str | None:
        """Read no more, write out what was sent (a second at most), and end without closing: the next process goes on.
        Returns why it cannot, where it has to claim the sessions on a connection of its own.
        """


class Reports(Protocol):
    """What a WebSocket tells. All of it synchronous, so that reading never stops for a slow handler (contract 5.8), but
    for what is long: its reader waits until it has been read.
    """

    def on_text(self, text: str) -> None: ...

    async def on_long_text(self, text: str) -> None: ...

    def on_frames(self) -> None:
        """Frames of any kind arrived (once a read, after ``on_text``)."""

    def on_refused(self, reason: str, head: str, *, too_large: bool) -> None:
        """A message was thrown away: binary, or over a limit. ``head`` is how it began."""

    def on_stalled(self) -> None:
        """A write could not complete in time; nothing more will be written."""

    def on_out_of_step(self, reason: str) -> None:
        """What comes on an adopted one makes no sense. It is neither read nor written from now on, and stays open."""


# connect(gateway, reports, opened, socket): opens a WebSocket, or goes on with the one of another process that has that
# number, hands it to opened(websocket) and runs it to its end. Returns why it ended; raises ConnectFailed before it was
# open.
Connect = Callable[[Gateway, Reports, Callable[[WebSocket], None], int], Awaitable[str]]


_NONE: Final = object()  # which no transaction of Janus is


class Reader(Protocol):
    """Who reads what Janus says."""

    def text(self, connection: "JanusConnection", text: str) -> None: ...

    async def long_text(self, connection: "JanusConnection", text: str) -> None: ...

    def refused(self, reason: str, head: str, *, too_large: bool) -> None: ...


class Owner(Protocol):
    """Who hears of what becomes of a connection."""

    def happened(self, connection: "JanusConnection", what: Input, reason: str = "") -> None: ...

    def events_lost(self, reason: str) -> None: ...


class JanusConnection:
    """A WebSocket with its record. It is its WebSocket's Reports. ``fence``: nothing is sent while it is closed."""

    def __init__(self, record: ConnectionRecord, reader: Reader, owner: Owner, fence: Fence | None = None) -> None:
        self.record = record
        self.number = record.number
        self.task = trio.CancelScope()  # what is under way: it is being opened, or sessions are brought onto it
        self.watched = False  # its keepalive runs
        self.info: JsonObject | None = None  # what Janus said of itself, once it answered
        self.greeting: AwaitedAnswer | None = None  # it was asked to
        self.known = trio.Event()  # it has answered, or never will
        self.times: list[int] = []  # seconds after which it ends a session
        self.misplaced: list[int] = []  # sessions that are to be destroyed on it: the row points elsewhere
        self.rtt: float | None = None  # seconds, of the last keepalive that was answered
        self.ended = trio.Event()
        self.over = False  # it has ended
        self.end_reason: str | None = None
        self.on_text = partial(reader.text, self)  # bound once: there may be fifty thousand a second
        self.on_long_text = partial(reader.long_text, self)
        self.on_refused = reader.refused
        self._owner = owner
        self._fence = fence
        self._ws: WebSocket | None = None
        self._keepalive: object = _NONE  # the transaction of the last that went out, until it is answered
        self._keepalive_at = 0.0

    async def run(self, connect: Connect) -> str:
        """Open and run to its end; returns why it ended. Raises ConnectFailed where it could not be opened."""
        try:
            record = self.record
            self.end_reason = await connect(record.target.gateway, self, self._on_open, record.socket)
            return self.end_reason
        finally:
            self.over = True
            self.ended.set()
            self.known.set()

    # Reports

    def _on_open(self, ws: WebSocket) -> None:
        self._ws, self.record.socket = ws, ws.number
        self._owner.happened(self, Input.ADOPTED if ws.adopted else Input.OPENED)
        if self.record.state is State.ENDED:  # it is no longer wanted
            ws.close()

    def on_frames(self) -> None:
        """Of consequence where it was silent, once."""
        record = self.record
        if record.cause is _SILENCE and not (record.heard or record.stalled or record.untested):
            self._owner.happened(self, Input.SPOKE)

    def on_stalled(self) -> None:
        self._stalled("a write to Janus could not complete in janus_send_timeout")

    def on_out_of_step(self, reason: str) -> None:
        self._owner.events_lost(reason)
        self._stalled(reason)

    def _stalled(self, reason: str) -> None:
        self.record.stalled = True
        self.known.set()
        self._owner.happened(self, Input.STALLED, reason)

    def greeted(self, info: JsonObject) -> None:
        """Janus said this of itself: the first answer."""
        self.info, self.times = info, session_times(info)
        self.record.greeted(max(self.times, default=0))
        self.known.set()

    # Sending

    def send(self, text: bytes) -> bool:
        """Send, if that is still possible; whether it is. A connection that ended reports that by itself."""
        if self._ws is None or self.record.stalled or self.over:
            return False
        if self._fence is not None and not self._fence.open():
            return False  # this process was stopped since whoever sends has looked
        self._ws.send_text(text)
        return True

    def ping(self) -> None:
        """Ask for a sign of life."""
        if self.usable and self._ws is not None:
            self._ws.send_ping()

    def close(self) -> None:
        """Let it end."""
        if self._ws is not None:
            self._ws.close()

    async def freeze(self) -> str | None:
        """Leave it, open, to the next process; returns why that cannot go on with it."""
        return None if self._ws is None else await self._ws.freeze()

    def keepalive_sent(self, transaction: str, now: float) -> None:
        """A keepalive goes out, at that time of trio's clock."""
        self._keepalive, self._keepalive_at = transaction, now

    def keepalive_answered(self, transaction: object) -> bool:
        """Janus acknowledged this: whether it is the last keepalive that went out. Once: a second answer to it says
        nothing of the time that it took.
        """
        if transaction != self._keepalive:
            return False
        self._keepalive = _NONE
        self.record.served = True
        self.rtt = trio.current_time() - self._keepalive_at
        return True

    @property
    def usable(self) -> bool:
        """Whether it may be written to."""
        return not (self.record.stalled or self.over)

    @property
    def tested(self) -> bool:
        """Whether more than a first question may be written to it."""
        return self.usable and not self.record.untested

    @property
    def credentials(self) -> Credentials:
        """The secrets that go with each request."""
        return self.record.target.credentials

    @property
    def opened(self) -> bool:
        """Whether its WebSocket is, or was, open."""
        return self._ws is not None

    @property
    def adopted(self) -> bool:
        """Whether another process opened it."""
        return self._ws is not None and self._ws.adopted

    @property
    def last_received(self) -> float:
        return self._ws.last_received if self._ws is not None else 0.0

    def __repr__(self) -> str:
        state = "ended" if self.over else "open" if self.usable else "stalled"
        return f"<connection {self.number} {state}>"
