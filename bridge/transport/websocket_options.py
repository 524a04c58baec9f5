"""What a WebSocket to a Janus is given: whom it tells, and its limits.

Owns these two lists. Must not know the WebSocket library.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from bridge.protocol.budget import Budget
from bridge.protocol.upgrade import Headers

_NO_END: Final = 2**62


class WebSocketObserver(Protocol):
    """What is told while the connection runs. None of it waits but ``on_long_text``, for which its reader does."""

    def on_text(self, text: str) -> None: ...

    async def on_long_text(self, text: str) -> None: ...

    def on_frames(self) -> None: ...

    def on_refused(self, reason: str, head: str, *, too_large: bool) -> None: ...

    def on_stalled(self) -> None: ...

    def on_out_of_step(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """``send_timeout`` in seconds, and ``close_timeout``, which is how long a close or a hand-over waits for the peer;
    ``max_message_size`` in characters; ``max_frames`` a message, None: any number; ``headers`` of the upgrade request;
    ``tls_server_name`` is what the certificate has to name, None: the URL's host; ``unfinished`` is the budget of
    messages that lack fragments, of all gateways; ``may_write()``: whether a message that could not be written at once
    may be written now, None: it always may.
    """

    send_timeout: float = 1.0
    close_timeout: float = 1.0
    max_message_size: int = 4 * 2**20
    max_frames: int | None = None
    tls: ssl.SSLContext | None = None
    tls_server_name: str | None = None
    origin: str | None = None
    headers: Headers = ()
    may_write: Callable[[], bool] | None = None
    unfinished: Budget = field(default_factory=lambda: Budget(_NO_END))
