"""One TCP life of a gateway's WebSocket, as the link sees it.

Owns what is known of one connection: when it last spoke, what is in flight on it, how it ended. Decides nothing: every
report goes to its owner. Must not know sockets; ``connect`` is passed in.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import trio

from bridge.core.calls import Call
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway

if TYPE_CHECKING:
    from bridge.core.hearing import Hearing
    from bridge.protocol.codec import JsonObject


class WebSocket(Protocol):
    """An open WebSocket. None of these waits; what is sent goes out in order."""

    @property
    def last_received(self) -> float:
        """When the last frame of any kind came, in trio's clock; now, where what came is still being handled."""

    def send_text(self, text: str) -> None: ...

    def send_ping(self) -> None: ...

    def close(self) -> None:
        """Close politely, without waiting for the peer longer than a moment."""


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


# connect(gateway, reports, opened): opens a WebSocket, hands it to opened(websocket) and runs it to its end. Returns
# why it ended; raises ConnectFailed before it was open.
Connect = Callable[[Gateway, Reports, Callable[[WebSocket], None]], Awaitable[str]]

PATIENCE = 60.0  # seconds that Janus gives a session without a sign of life, unless its `info` says more

# Why a connection was left. By choice: janus_reconnect, or the row, its secrets or TLS files changed.
Cause: TypeAlias = Literal["silence", "stall", "choice"]


class Owner(Protocol):
    """Who decides what follows from what becomes of a connection."""

    def on_frames(self, connection: "Connection") -> None: ...

    def on_stalled(self, connection: "Connection") -> None: ...

    def on_ended(self, connection: "Connection", reason: str) -> None: ...


class Connection:
    """A WebSocket with its number. ``usable``: it may be written to."""

    def __init__(
        self, hearing: "Hearing", owner: Owner, number: int, gateway: Gateway, credentials: Credentials
    ) -> None:
        self._hearing = hearing
        self._owner = owner
        self.number = number
        # What it was opened for and with: the row and its secrets may have changed since.
        self.gateway = gateway
        self.credentials = credentials
        self.unwanted = False  # janus_reconnect: another one is wanted in its place
        self.ws: WebSocket | None = None
        self.good_since = 0.0  # when it was opened, or ready for the last time
        self.usable = True
        self.beating = False  # a heart looks after it
        self.left_for: Cause | None = None
        self.left_at = 0.0
        self.calls: set[Call] = set()
        self.info: JsonObject = {}
        self.joined = False  # Janus answered on it
        self.claims_out = False  # without an answer: it may have sessions
        self.served = False  # Janus answered a command or a keepalive on it
        self._keepalive_at: tuple[int, float] = (0, 0.0)
        self.rtt: float | None = None  # seconds, of the last keepalive that was answered
        self.ended = trio.Event()
        self.end_reason: str | None = None
        self._idle = trio.Event()

    async def run(self, connect: Connect, *, task_status: trio.TaskStatus[None]) -> None:
        """Open and run. ``started()`` when it is open; raises ConnectFailed before that."""

        def opened(ws: WebSocket) -> None:
            self.ws = ws
            self.good_since = trio.current_time()
            task_status.started()

        reason: str | None = None
        try:
            reason = await connect(self.gateway, self, opened)
        finally:
            self.usable = False
            if self.ws is not None:
                self.end_reason = reason or "the bridge closed it"
                self.ended.set()
                self._owner.on_ended(self, self.end_reason)

    # Reports

    def on_text(self, text: str) -> None:
        self._hearing.text(self, text)

    async def on_long_text(self, text: str) -> None:
        await self._hearing.long_text(self, text)

    def on_frames(self) -> None:
        self._owner.on_frames(self)

    def on_refused(self, reason: str, head: str, *, too_large: bool) -> None:
        self._hearing.refused(reason, head, too_large=too_large)

    def on_stalled(self) -> None:
        self.usable = False
        self._owner.on_stalled(self)

    # Sending

    def send(self, text: str) -> None:
        """Send, if that is still possible; a connection that ended reports that by itself."""
        if self.usable and self.ws is not None:
            self.ws.send_text(text)

    def ping(self) -> None:
        """Ask for a sign of life."""
        if self.usable and self.ws is not None:
            self.ws.send_ping()

    def close(self) -> None:
        """Let it end."""
        if self.ws is not None:
            self.ws.close()

    def misfit(self, gateway: Gateway, credentials: Credentials) -> str:
        """What is different since it was opened; nothing, where it was opened for this row and with these secrets."""
        if self.gateway.janus_url != gateway.janus_url:
            return "the URL in its row changed"
        return "" if self.credentials is credentials else "its secrets or TLS files changed"

    def leave(self, cause: Cause) -> None:
        """Another one is wanted, for this reason."""
        self.left_for, self.left_at = cause, trio.current_time()

    def keepalive_sent(self, number: int) -> None:
        """The keepalive with that number went out now."""
        self._keepalive_at = (number, trio.current_time())

    def keepalive_answered(self, number: int) -> None:
        """Janus answered the keepalive with that number."""
        self.served = True
        if number == self._keepalive_at[0]:
            self.rtt = trio.current_time() - self._keepalive_at[1]

    @property
    def serves(self) -> bool:
        """Whether commands may go out on it: it is not known to be silent, and can be written to."""
        return self.usable and self.left_for in (None, "choice")

    @property
    def patience(self) -> float:
        """Seconds after which its Janus has ended any session that it did not hear of."""
        times = [self.info.get(member) for member in ("session-timeout", "reclaim-session-timeout")]
        return max([PATIENCE, *(float(seconds) for seconds in times if type(seconds) is int)])

    @property
    def last_received(self) -> float:
        return self.ws.last_received if self.ws is not None else 0.0

    def forget(self, call: Call) -> None:
        """A call is over."""
        self.calls.discard(call)
        if not self.calls:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing is in flight on it."""
        while self.calls:
            self._idle = trio.Event()
            await self._idle.wait()

    def __repr__(self) -> str:
        state = "ended" if self.ended.is_set() else "open" if self.usable else "stalled"
        return f"<connection {self.number} {state} in_flight={len(self.calls)}>"
