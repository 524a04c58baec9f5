"""A Janus session, as a table of states, and what is known of its handles.

Owns what becomes of one session: the managed one of a gateway, or a client session, which a caller made. Must not know
the connection that carries it. Authority: Janus's session lifetime, observed; contract 5.3, 5.7.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from bridge.protocol.gateway import Gateway


class SessionState(Enum):
    WANTED = "has no id yet"
    LIVE = "a connection of ours carries it"
    ADRIFT = "has an id, and is to be claimed: nothing carries it, or a claim is out"
    ENDED = "Janus does not know it"


_LIVE: Final = SessionState.LIVE  # bound once: Python 3.11 looks an Enum's members up the long way


class SessionStep(Enum):
    GRANT = "Janus said success to a create or claim, or only the connection that carries it knows it"
    DOUBT = "the connection that carried it ended, or a claim goes out on another one"
    GONE = "458, timeout or destroy: it is over"


SESSION_TABLE: dict[tuple[SessionState, SessionStep], SessionState] = {
    (SessionState.WANTED, SessionStep.GRANT): SessionState.LIVE,
    (SessionState.LIVE, SessionStep.GRANT): SessionState.LIVE,
    (SessionState.LIVE, SessionStep.DOUBT): SessionState.ADRIFT,
    (SessionState.LIVE, SessionStep.GONE): SessionState.ENDED,
    (SessionState.ADRIFT, SessionStep.DOUBT): SessionState.ADRIFT,
    (SessionState.ADRIFT, SessionStep.GRANT): SessionState.LIVE,
    (SessionState.ADRIFT, SessionStep.GONE): SessionState.ENDED,
}


class SavedSession(NamedTuple):
    """A session in plain values: what the next bridge process needs to claim it or to remember its end.

    ``handles``: their ids and plugins. Where one is saved, those that are news; None: that one is gone. ``socket``: the
    number of the one that it lives on, where another process may find it; 0: not known. ``gone``: it has not ended;
    it is another bridge's, or may be.
    """

    session_id: int
    managed: bool
    ended: bool = False
    handles: tuple[tuple[int, str | None], ...] = ()
    socket: int = 0
    gone: bool = False

    @classmethod
    def elsewhere(cls, session_id: int) -> "SavedSession":
        """One that the next process must not claim, and need not remember."""
        return cls(session_id, managed=True, ended=True, gone=True)


@dataclass(slots=True, eq=False)
class JanusSession:
    """One session. ``handles`` maps a handle_id to its plugin, None where only the id is known.

    ``carrier`` is the number of the connection that last had it, None if none did in this life of the bridge;
    ``unknown_to`` the last one whose Janus did not know it. ``adrift_since`` is when it was first asked for after its
    carrier had ended. ``home`` is the gateway under which it is saved, ``socket`` as it is saved; ``node`` the bridge
    that had it before us. ``offered``: another bridge may be claiming it, so that this one does not.
    """

    managed: bool
    session_id: int | None = None
    state: SessionState = SessionState.WANTED
    carrier: int | None = None
    unknown_to: int | None = None
    adrift_since: float | None = None
    home: Gateway | None = None
    node: int | None = None
    offered: bool = False
    socket: int = 0
    handles: dict[int, str | None] = field(default_factory=dict)

    @classmethod
    def adrift(cls, session_id: int, *, managed: bool) -> "JanusSession":
        """A session that another connection, or another process, had."""
        return cls(managed, session_id, SessionState.ADRIFT)

    @classmethod
    def restored(cls, record: SavedSession) -> "JanusSession":
        """One that the last process left, with its handles."""
        session = cls.adrift(record.session_id, managed=record.managed)
        session.socket = record.socket
        session.handles.update(record.handles)
        return session

    def carried_by(self, connection: int) -> bool:
        """Whether it lives on that connection, so that nothing has to be asked of Janus."""
        return self.state is _LIVE and self.carrier == connection

    def step(self, step: SessionStep) -> None:
        """Follow the table. Raises ValueError for a pair that it does not have."""
        try:
            self.state = SESSION_TABLE[self.state, step]
        except KeyError:
            raise ValueError(f"a session that is {self.state.name} cannot {step.name}") from None

    @property
    def live(self) -> bool:
        return self.state is _LIVE

    @property
    def known_handles(self) -> tuple[tuple[int, str | None], ...]:
        """Those whose plugin is known, as they are saved."""
        return tuple((handle, plugin) for handle, plugin in self.handles.items() if plugin is not None)

    def __repr__(self) -> str:
        kind = "managed" if self.managed else "client"
        return f"<{kind} session {shorten(self.session_id)} {self.state.name} handles={len(self.handles)}>"


def shorten(session_id: int | None) -> str:
    """A session id as it may be shown: whoever knows the whole can claim or destroy it (contract 6.4)."""
    if session_id is None:
        return "-"
    text = str(session_id)
    return text if len(text) <= 4 else f"{text[:4]}..."
