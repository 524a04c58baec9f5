"""The life of a connection, as words: its states, what can happen to it, and what is to be done about it.

Owns these three lists. The table that joins them is in ``decisions.py``; ``python -m tools.life`` draws it for
docs/architecture.md. Must not know how anything is done.

What the gateway is to the outside is no state of its own: it follows from the set of its connections (``Roster``).
"""

from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway

Visible: TypeAlias = Literal["connecting", "ready", "backoff", "disabled"]


class State(Enum):
    OPENING = "the WebSocket is being opened"
    JOINING = "sessions are claimed, or the managed one is created"
    REFUSED = "Janus refuses a session; it is asked again after a pause"
    READY = "new sessions are made here"
    LEFT = "another one is to take its place; it is still read, and what lives here is served as long as it speaks"
    RETIRING = "nothing lives here; it is read until its answers have come"
    ENDED = "closed or lost"


class Input(Enum):
    OPENED = "the WebSocket is open"
    ADOPTED = "the WebSocket was another process's, and goes on here in mid-stream"
    FAILED = "the attempt failed"
    JOINED = "every session is claimed, lost or created"
    REFUSED = "Janus refused a session for a reason that can pass"
    UNABLE = "this server hands over no sessions, and an older connection serves"
    SILENT = "nothing came for too long"
    STALLED = "a write did not complete"
    SPOKE = "a frame came; on one that was another process's, the first answer"
    UNWANTED = "the row, its secrets or an operator call for another one"
    SESSION_ENDED = "Janus ended the managed session"
    STRANDED = "a session has to be claimed, or the managed one made"
    DUE = "the pause is over"
    PREFERRED = "the attempt to replace it failed, and it is as good as before"
    EMPTY = "nothing lives here, and the next one is in service"
    OVERDUE = "it was silent for so long that its Janus has ended its sessions"
    RETIRED = "its answers have come"
    ENDED = "the peer closed it, or it broke"


class Cause(Enum):
    """Why a connection was left."""

    SILENCE = "it is silent, or cannot be written to"
    CHOICE = "another one is wanted"


class Target(NamedTuple):
    """What a connection is opened for. The same secrets in another object stand for other TLS files."""

    gateway: Gateway
    credentials: Credentials

    def misfit(self, wanted: "Target") -> str:
        """Why a connection that was opened for this will not do for what is wanted; nothing, where it will."""
        if not self.fits_url(wanted.gateway):
            return "the URL in its row changed"
        return "" if self.credentials is wanted.credentials else "its secrets or TLS files changed"

    def fits_url(self, gateway: Gateway) -> bool:
        """Whether it leads where this row points."""
        return self.gateway.janus_url == gateway.janus_url


class Effect(Enum):
    OPEN = "open a connection for its record's target"
    JOIN = "bring the sessions onto it"
    CANCEL = "stop opening it, or bringing the sessions onto it"
    CLOSE = "let it end"
    GREET = "wait for the first answer of its Janus, however late; until then nobody knows whether it can be written to"
    PING = "ask it for a sign of life"
    WATCH = "keep its sessions alive, and say when it is silent"
    RETIRE = "read it until its answers have come; the sessions went to the current one"
    SUSPEND = "send no more commands on it: what waits was never sent, the outcome of what was sent is unknown"
    READY = "put the gateway into service on it"
    NOT_READY = "say that no command for the managed session can be sent, and why"
    FAILED = "say that an attempt to connect failed, and why"
    NOTE = "say why something else is not as it should be"
    LOG = "say what an operator may want to know"
    SETTLED = "tell whoever asked for another connection that it is there, or why not"


class Action(NamedTuple):
    """What is to be done, on which connection, and the words that belong to it."""

    effect: Effect
    number: int = 0
    text: str = ""
