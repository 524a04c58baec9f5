"""The Janus API: its verbs, and what a message of Janus is.

Owns the rows that say how a verb is addressed and when it is answered, and ``classify``. Must not know sessions,
connections or callers. Authority: Janus manual, "Plain WebSockets interface" and ``apierror.c``; behaviour observed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from bridge.protocol.codec import INT64_MAX, JsonObject

# Of a message's member `janus`, those that are looked at first.
ACK: Final = "ack"
ERROR: Final = "error"
EVENT: Final = "event"
SESSION_NOT_FOUND = 458
HANDLE_NOT_FOUND = 459
SESSION_CONFLICT = 468

SUBPROTOCOL = "janus-protocol"

# Refusals that can pass while the request stays the same: a secret or token that is loaded later (403, 405), a peer
# connection that is being closed (471), a Janus that takes no sessions (472), memory or threads that ran out (490).
PASSING = frozenset({403, 405, 471, 472, 490})

MAX_PLUGIN: Final = 128  # characters of a plugin's name that are remembered
MAX_REASON = 500  # characters of an error's reason that are kept for logs and lists; its caller gets the whole answer
LONGEST = 10**9  # seconds; what a Janus says beyond is no time

Kind: TypeAlias = Literal["internal", "create", "claim", "attach", "detach", "destroy", "message", "other"]


@dataclass(frozen=True, slots=True)
class Verb:
    """How Janus treats a request: ``server`` ones are refused with a session_id; ``ack_is_final``: no more comes.

    A plugin answers a `message` either at once (`success`) or by an `event` with the same transaction; the `ack` in
    between (or behind: Janus's thread pool reorders them) only says that the plugin has it.
    """

    kind: Kind
    server: bool = False
    ack_is_final: bool = True


_OTHER = Verb("other")
VERBS: Final[dict[str, Verb]] = {
    "info": Verb("other", server=True),
    "ping": Verb("other", server=True),
    "create": Verb("create", server=True),
    "claim": Verb("claim"),
    "attach": Verb("attach"),
    "detach": Verb("detach"),
    "destroy": Verb("destroy"),
    "message": Verb("message", ack_is_final=False),
}


def verb_of(name: str) -> Verb:
    """The row of a verb; Janus compares without regard to ASCII case, and so does this."""
    return VERBS.get(name.lower() if name.isascii() else name, _OTHER)


@dataclass(frozen=True, slots=True)
class Ack:
    transaction: str | None


@dataclass(frozen=True, slots=True)
class Success:
    """``success``, ``pong`` and ``server_info``."""

    transaction: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """``error``. Janus leaves the transaction out where it could not read the request; ``code`` is 0 without one."""

    transaction: str | None
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class PluginEvent:
    """``event``: the answer to an asynchronous message if it has its transaction, else something a plugin says."""

    transaction: str | None


@dataclass(frozen=True, slots=True)
class CoreEvent:
    """Anything else with a ``janus`` member: timeout, detached, hangup, webrtcup, media, slowlink, trickle ..."""

    transaction: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """JSON that is no message of Janus."""

    reason: str


Incoming: TypeAlias = Ack | Success | Failure | PluginEvent | CoreEvent | Malformed


def classify(message: Any) -> Incoming:
    """What a message of Janus is. Total: any JSON value has an answer."""
    if not isinstance(message, dict):
        return Malformed("is not a JSON object")
    name = message.get("janus")
    if not isinstance(name, str):
        return Malformed("has no member 'janus' that is a string")
    transaction = message.get("transaction")
    if not isinstance(transaction, str):
        transaction = None
    if name == EVENT:
        return PluginEvent(transaction)
    if name == ACK:
        return Ack(transaction)
    if name in ("success", "pong", "server_info"):
        return Success(transaction)
    if name == ERROR:
        return _failure(transaction, message)
    return CoreEvent(transaction, name)


def _failure(transaction: str | None, message: JsonObject) -> Failure:
    error = message.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    reason = error.get("reason") if isinstance(error, dict) else None
    return Failure(
        transaction,
        code if isinstance(code, int) and not isinstance(code, bool) else 0,
        reason[:MAX_REASON] if isinstance(reason, str) else "no reason given",
    )


class ClaimAnswer(Enum):
    """What an answer to ``claim`` says of the session."""

    GRANTED = "it lives on this connection"
    UNKNOWN = "this Janus does not know it"
    UNABLE = "this server will never hand it over"
    LATER = "refused for a reason that can pass"


def judge_claim(answer: Incoming | None) -> ClaimAnswer:
    """Total; None stands for an answer that could not be read. What is no success is a refusal, and final but for
    the codes in PASSING: a server that speaks the Janus API without `claim` (rtpengine: 457) never learns it.
    """
    if isinstance(answer, Success):
        return ClaimAnswer.GRANTED
    if isinstance(answer, Failure) and answer.code == SESSION_NOT_FOUND:
        return ClaimAnswer.UNKNOWN
    if isinstance(answer, Failure) and answer.code in PASSING:
        return ClaimAnswer.LATER
    return ClaimAnswer.UNABLE


def member_id(value: Any) -> int | None:
    """A session's or handle's id: a JSON integer from 1 to 2**63 - 1 (``true`` is none); None for anything else."""
    return value if type(value) is int and 0 < value <= INT64_MAX else None


def session_times(info: Mapping[str, object]) -> list[int]:
    """Seconds after which this Janus ends a session, those that its answer to ``info`` names."""
    found = (info.get(member) for member in ("session-timeout", "reclaim-session-timeout"))
    return [seconds for seconds in found if type(seconds) is int and 0 < seconds < LONGEST]
