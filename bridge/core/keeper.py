"""What the next bridge process will know of a gateway's sessions.

Owns under which gateway they are kept: janus_id and URL, because another URL may lead to another Janus (contract 5.3).
Must not know where they are kept.
"""

from collections.abc import Callable, Iterable

from bridge.protocol.gateway import Gateway
from bridge.protocol.session import JanusSession, SavedSession


class Keeper:
    """``save(gateway, session)`` keeps a session, or its end."""

    def __init__(self, save: Callable[[Gateway, SavedSession], None], gateway: Gateway) -> None:
        self._save = save
        self._gateway = gateway

    def keep(self, session: SavedSession) -> None:
        """A session was made, adopted, or is over."""
        self._save(self._gateway, session)

    def forget(self, gateway: Gateway, session: JanusSession) -> None:
        """A session is over that was never moved from behind that gateway's URL."""
        if session.session_id is not None:
            self._save(gateway, SavedSession(session.session_id, session.managed, ended=True))

    def move(self, gateway: Gateway, sessions: Iterable[JanusSession]) -> None:
        """All sessions live behind this gateway's URL now."""
        old, self._gateway = self._gateway, gateway
        if old.janus_url == gateway.janus_url:
            return
        for session in sessions:
            if session.session_id is not None:
                record = SavedSession(session.session_id, session.managed, handles=tuple(session.handles.items()))
                self._save(old, record._replace(ended=True, handles=()))
                self._save(gateway, record)
