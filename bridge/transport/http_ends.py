"""The two ends of an HTTP connection, the wire below it and the handler above it, and the limits between them.

Owns these interfaces. Must not know what implements them.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bridge.protocol.jsonrpc import Abandon
from bridge.transport.http_messages import HttpRequest, KnownHeads, Reply


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What a client may take. Times in seconds, sizes in bytes."""

    max_body: int = 1 << 20
    max_connections: int = 2048  # of a server, all its listeners together
    max_of_client: int = 1024  # of these: protocol.caller says who is one client
    head: float = 10.0  # for a request's head, a TLS handshake, and the first bytes of a new connection
    body: float = 30.0
    idle: float = 120.0  # between requests
    write: float = 10.0  # for the client to take an answer
    linger: float = 2.0  # for the client to close after us
    last: float = 1.0  # at a stop: for who has just connected to ask, and for the rest of a request
    crossing: float = 0.05  # at a stop: for a request that is on its way to a connection that is idle


class Activity(Enum):
    """What a connection is doing."""

    READING = "waiting for the client"
    QUEUED = "waiting for the next turn, with requests"
    RESPONDING = "waiting for the answer"
    WRITING = "handing over the answer"
    LINGERING = "waiting for the client to close"
    OVER = "closed"


class Wire(Protocol):
    """A socket. None of these raises."""

    unread: bool
    """Whether bytes of the client are known to wait there."""

    def send(self, data: bytes) -> int:
        """Hand over what is taken at once: how many bytes that were, -1 where there is nobody any more. For the rest,
        the wire writes ``unsent`` of its connection and says so by ``taken``.
        """

    def send_eof(self) -> None:
        """Say that nothing more will come."""

    def again(self) -> None:
        """Come back soon, after others had their turn: to ``receive``, or to ``go_on``."""

    def close(self) -> None:
        """Close the socket."""

    def fault(self) -> None:
        """To be called in an ``except Exception``: log it, and end the connection."""


class Answerable(Protocol):
    """Whoever has asked. One of these is called, once."""

    def answer(self, body: bytes | None) -> None:
        """The answer is JSON; None: there is none, the request was accepted."""

    def reply(self, reply: Reply) -> None:
        """The answer is this."""

    def fault(self) -> None:
        """To be called in an ``except Exception``: there is no answer; log it, and end the connection."""


class HttpHandler(Protocol):
    """What is behind all connections of a server."""

    @property
    def known(self) -> KnownHeads:
        """Heads that ``admit`` let in; emptied by whatever changes its mind."""

    def admit(self, request: HttpRequest) -> Reply | None:
        """Look at a head before the body is read: None to go on, or a refusal."""

    def refused(self, request: HttpRequest, reply: Reply) -> None:
        """A request gets this without ``respond``: its head or its framing, or ``admit`` said so."""

    def respond(self, request: HttpRequest, body: bytes, asker: Answerable) -> Abandon | None:
        """Answer a whole request. Either now, and return None; or later, and return what is to be called when the
        client has gone: then ``asker`` is not called any more.
        """
