"""What is known of the handles of a gateway's sessions: their ids and plugins.

Owns how they are learned, and the bound of their number. Must not know which sessions there are: each method takes one,
or None, of which nothing is known.
"""

from collections.abc import Callable, Iterable

from bridge.protocol.codec import JsonObject
from bridge.protocol.gateway import Gateway
from bridge.protocol.history import BY_CALLER, Happening, Note
from bridge.protocol.janus import MAX_PLUGIN, member_id
from bridge.protocol.session import JanusSession, SavedSession

Save = Callable[[Gateway, SavedSession], None]

MAX_HANDLES = 65_536  # of all sessions together: a Janus gone mad could name a new one in each message


class Handles:
    """``count`` of all; a session has its own. ``note`` is told what becomes of them; ``save`` keeps their plugins for
    the next process.
    """

    def __init__(self, note: Note, save: Save) -> None:
        self._note = note
        self._save = save
        self.count = 0

    def attached(
        self, session: JanusSession | None, message: JsonObject, plugin: str | None, transaction: str | None = None
    ) -> None:
        """An attach succeeded: ``data.id`` of the message is the handle."""
        data = message.get("data")
        handle_id = member_id(data.get("id")) if isinstance(data, dict) else None
        self._learn(session, handle_id, plugin)
        session_id = None if session is None else session.session_id
        self._note(Happening("handle_attached", session_id, handle_id, plugin, transaction=transaction))

    def heard(self, session: JanusSession | None, message: JsonObject) -> None:
        """A message came from a handle: after a restart this is how the bridge learns of those it had before."""
        handle_id = member_id(message.get("sender"))
        if session is None or handle_id is None or session.handles.get(handle_id) is not None:
            return  # known, as nearly always
        plugindata = message.get("plugindata")
        plugin = plugindata.get("plugin") if isinstance(plugindata, dict) else None
        self._learn(session, handle_id, plugin if isinstance(plugin, str) else None)

    def _learn(self, session: JanusSession | None, handle_id: int | None, plugin: str | None) -> None:
        if session is None or handle_id is None:
            return
        if handle_id not in session.handles:
            if self.count >= MAX_HANDLES:
                return
            self.count += 1
        session.handles[handle_id] = None if plugin is None else plugin[:MAX_PLUGIN]
        if plugin is not None:
            self._keep(session, handle_id)

    def _keep(self, session: JanusSession, handle_id: int) -> None:
        """What its plugin is, or that it is gone."""
        if session.session_id is not None and session.home is not None and not session.offered:
            handle = (handle_id, session.handles.get(handle_id))
            self._save(session.home, SavedSession(session.session_id, session.managed, handles=(handle,)))

    def detached(
        self,
        session: JanusSession | None,
        handle_id: int | None,
        reason: str = BY_CALLER,
        transaction: str | None = None,
    ) -> None:
        """A handle is gone."""
        if session is not None and handle_id in session.handles:
            plugin = session.handles.pop(handle_id)
            self.count -= 1
            if plugin is not None:
                self._keep(session, handle_id)
            self._note(Happening("handle_detached", session.session_id, handle_id, plugin, reason, transaction))

    def hung_up(self, session: JanusSession | None, handle_id: int | None, reason: str) -> None:
        """The PeerConnection of a handle is closed."""
        if session is not None and handle_id is not None:
            self._note(Happening("hangup", session.session_id, handle_id, session.handles.get(handle_id), reason))

    def restore(self, session: JanusSession, handles: Iterable[tuple[int, str | None]]) -> None:
        """The last process knew these."""
        session.handles.update(handles)
        self.count += len(session.handles)

    def ended(self, session: JanusSession) -> None:
        """All its handles are."""
        self.count -= len(session.handles)
