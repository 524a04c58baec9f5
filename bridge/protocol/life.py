"""The life of a gateway, as a table.

Owns which state follows which (contract 5.3) and what each is called in ``janus_list``. Must not know how anything is
done: ``core/succession.py`` steps here. A pair that is not in the table is a fault of the program, not of Janus.

    DOWN ──connect──> OPENING ──opened──> JOINING ──joined──> READY
     ^                   │ failed            │ failed, ended     │ ended: DOWN     session ended: JOINING
     └───────────────────┴───────────────────┘                   │ left
                                                                 v
    READY <──joined── REJOINING <──opened── LEAVING ──failed──> RESTING ──retry──> LEAVING
                         │ failed: RESTING     │ back: JOINING     │ back: JOINING
                         │ ended: JOINING      │ ended: OPENING    │ ended: DOWN

While a connection is being left, the old one stays open and is read. ``ended`` in the second row is the old one's end;
``back`` says that it is good again, and the attempt is dropped: JOINING then only claims what was claimed elsewhere.

``REFUSED``: Janus answered, but will not give a session (403, 472): tried again on the same connection. JOINING and
REFUSED are left like READY (left: LEAVING) where the connection may have sessions, which its end would kill.
"""

from enum import Enum
from typing import Literal, TypeAlias

Visible: TypeAlias = Literal["connecting", "ready", "backoff", "disabled"]


class State(Enum):
    DOWN = "no connection, waiting to try again"
    OPENING = "a connection is being opened, there is no other"
    JOINING = "connected: sessions are claimed or created"
    REFUSED = "connected: Janus refuses a session, waiting to ask again"
    READY = "commands go out"
    LEAVING = "the old connection is silent or given up; a new one is being opened"
    RESTING = "the old connection is silent or given up; waiting to try again"
    REJOINING = "sessions are claimed on the new connection while the old one is still open"


class Step(Enum):
    CONNECT = "try to open a connection"
    OPENED = "the WebSocket is open"
    FAILED = "the attempt failed, or its connection ended"
    JOINED = "every session is claimed, lost or created"
    REFUSE = "Janus refused a session"
    RETRY = "ask again on the same connection"
    ENDED = "the connection that carried the sessions ended"
    SESSION_ENDED = "Janus ended the managed session"
    LEAVE = "silence, a stalled write, or by choice"
    BACK = "the old connection spoke again, or is kept after all"


TABLE: dict[tuple[State, Step], State] = {
    (State.DOWN, Step.CONNECT): State.OPENING,
    (State.OPENING, Step.OPENED): State.JOINING,
    (State.OPENING, Step.FAILED): State.DOWN,
    (State.JOINING, Step.JOINED): State.READY,
    (State.JOINING, Step.REFUSE): State.REFUSED,
    (State.JOINING, Step.FAILED): State.DOWN,
    (State.JOINING, Step.LEAVE): State.LEAVING,
    (State.REFUSED, Step.RETRY): State.JOINING,
    (State.REFUSED, Step.FAILED): State.DOWN,
    (State.REFUSED, Step.LEAVE): State.LEAVING,
    (State.READY, Step.ENDED): State.DOWN,
    (State.READY, Step.SESSION_ENDED): State.JOINING,
    (State.READY, Step.LEAVE): State.LEAVING,
    (State.LEAVING, Step.OPENED): State.REJOINING,
    (State.LEAVING, Step.FAILED): State.RESTING,
    (State.LEAVING, Step.BACK): State.JOINING,
    (State.LEAVING, Step.ENDED): State.OPENING,
    (State.RESTING, Step.RETRY): State.LEAVING,
    (State.RESTING, Step.BACK): State.JOINING,
    (State.RESTING, Step.ENDED): State.DOWN,
    (State.REJOINING, Step.JOINED): State.READY,
    (State.REJOINING, Step.REFUSE): State.RESTING,
    (State.REJOINING, Step.FAILED): State.RESTING,
    (State.REJOINING, Step.ENDED): State.JOINING,
}

_VISIBLE: dict[State, Visible] = {
    State.DOWN: "backoff",
    State.OPENING: "connecting",
    State.JOINING: "connecting",
    State.REFUSED: "backoff",
    State.READY: "ready",
    State.LEAVING: "connecting",
    State.RESTING: "backoff",
    State.REJOINING: "connecting",
}


def follow(state: State, step: Step) -> State:
    """The state after a step. Raises ValueError for a pair that the table does not have."""
    try:
        return TABLE[state, step]
    except KeyError:
        raise ValueError(f"a gateway that is {state.name} cannot {step.name}") from None


def visible(state: State) -> Visible:
    """What ``janus_list`` calls the state."""
    return _VISIBLE[state]
