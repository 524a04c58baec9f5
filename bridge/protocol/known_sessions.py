"""Which sessions of one gateway there are, and which of them a caller's command means.

Owns contract 5.7 (which ids are honoured, replaced by the managed one, or refused). Must not know what becomes of a
session, nor connections: ``session_book`` does. A managed session that lives on with another Janus, or that another
bridge had, is *former*: its handles work, nothing new is made in it.
"""

from collections.abc import Iterable, Iterator

from bridge.errors import Draining, InvalidCommand, LinkDown
from bridge.protocol.command import JanusCommand
from bridge.protocol.gateway import Gateway
from bridge.protocol.handles import Handles
from bridge.protocol.managed_ids import ManagedIds
from bridge.protocol.session import JanusSession, SavedSession, SessionStep

REMEMBERED = 10_000  # ended sessions whose ids are still sent as they are, so that Janus can answer 458


class KnownSessions:
    """``managed_ids`` is shared by all gateways: two rows may name the same Janus, and neither may harm the other.

    ``saved`` are those of ``gateway`` that the last process left. ``draining``: no new ones are made for callers.
    """

    def __init__(
        self, managed_ids: ManagedIds, gateway: Gateway, handles: Handles, saved: Iterable[SavedSession]
    ) -> None:
        self._managed_ids = managed_ids
        self._gateway = gateway
        self._former: dict[int, JanusSession] = {}
        self._client_sessions: dict[int, JanusSession] = {}
        self._ended: dict[int, None] = {}  # a set that keeps its order
        self.handles = handles
        self.draining = False
        self.managed = JanusSession(managed=True)
        for record in saved:
            self._restore(record, gateway)

    def _restore(self, record: SavedSession, home: Gateway | None, node: int | None = None) -> None:
        """``home``: the gateway under which it is saved; ``node``: the other bridge that had it."""
        if record.ended:
            self._remember(record.session_id)
            return
        session = JanusSession.adrift(record.session_id, managed=record.managed)
        session.home, session.node = home, node
        if node is None:  # of another bridge's sockets we have none
            session.socket = record.socket
        self.handles.restore(session, record.handles)
        if not record.managed:
            self._client_sessions[record.session_id] = session
            return
        if self.managed.session_id is None and node is None:
            self.managed = session
        else:
            self._former[record.session_id] = session
        self._managed_ids.add(record.session_id)

    def __iter__(self) -> Iterator[JanusSession]:
        yield self.managed
        yield from [*self._former.values(), *self._client_sessions.values()]

    def __len__(self) -> int:
        return 1 + len(self._former) + len(self._client_sessions)

    @property
    def counts(self) -> tuple[int, int]:
        """How many sessions have an id, and how many handles they have, without walking them."""
        return len(self) - (self.managed.session_id is None), self.handles.count

    def find(self, session_id: int | None) -> JanusSession | None:
        """The session with this id, if it is ours and not over."""
        if session_id is None or session_id == self.managed.session_id:
            return None if session_id is None else self.managed
        return self._client_sessions.get(session_id) or self._former.get(session_id)

    def carrier_of(self, session_id: int | None) -> int | None:
        """The connection that last had this session; None: none had, or ``find`` does not find it."""
        managed = self.managed
        session = managed if session_id is not None and session_id == managed.session_id else self.find(session_id)
        return None if session is None else session.carrier

    # What a command may do

    def check(self, command: JanusCommand) -> None:
        """Refuse what could harm a managed session, and what is new while the gateway drains.

        Raises InvalidCommand, Draining; nothing was sent then.
        """
        if self.draining and command.kind in ("attach", "create"):
            raise Draining(f"the gateway takes no {command.kind}: it is being drained (janus_drain)")
        if command.kind == "destroy":
            if command.session_id is None:
                raise InvalidCommand("destroy without a session_id")
            self._refuse_managed(command.session_id, "destroy")
            if not self._issued(command.session_id):
                raise InvalidCommand("destroy of a session that was not made or claimed through the bridge")
        elif command.kind == "claim":
            self._refuse_managed(command.session_id, "claim")
        elif command.kind == "create":
            self._refuse_managed(command.new_id, "create")

    def address(self, command: JanusCommand) -> tuple[int | None, int | None]:
        """The session_id that the command goes out with, None for a server-level verb; and as ``carrier_of`` has it.

        Raises LinkDown if it would be the managed one and there is none.
        """
        if command.verb.server:
            return None, None
        session_id = command.session_id
        if command.kind == "claim" or (session_id is not None and self._issued(session_id)):
            return session_id, self.carrier_of(session_id)
        session = self.managed
        if session_id is not None or self._former:  # as nearly never
            session = self._addressed(session_id, command.handle_id)
        if session.session_id is None or not (session.carrier or session.live):
            raise LinkDown("the managed session is being created")
        return session.session_id, session.carrier

    def plugin_of(self, session_id: int | None, handle_id: int | None) -> str | None:
        """The plugin of a handle to which a command with these ids would go; None: it is not known."""
        if handle_id is None:
            return None
        if session_id is None and not self._former:  # as nearly always
            return self.managed.handles.get(handle_id)
        return self._addressed(session_id, handle_id).handles.get(handle_id)

    def _addressed(self, session_id: int | None, handle_id: int | None) -> JanusSession:
        """The session to which a command with these ids goes: the managed one, unless they are those of another."""
        session = self.find(session_id)
        if session is None and self._former and handle_id is not None and handle_id not in self.managed.handles:
            session = next((former for former in self._former.values() if handle_id in former.handles), None)
        return self.managed if session is None else session

    def _issued(self, session_id: int | None) -> bool:
        return session_id in self._client_sessions or session_id in self._ended or session_id in self._former

    def _refuse_managed(self, session_id: int | None, what: str) -> None:
        if session_id in self._managed_ids or (session_id is not None and session_id == self.managed.session_id):
            raise InvalidCommand(f"{what} names a session that the bridge manages")

    def _remember(self, session_id: int) -> None:
        self._ended[session_id] = None
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]

    # Those of other bridges

    def inherit(self, node: int, records: Iterable[SavedSession]) -> list[JanusSession]:
        """Sessions that another bridge had, to be claimed, known ones as well: it may have claimed them since. Its
        managed ones are former ones here.
        """
        inherited = []
        for record in records:
            session = self.find(record.session_id)
            if session is None:
                self._ended.pop(record.session_id, None)
                self._restore(record, None, node)
                session = self.find(record.session_id)
            elif session.live:
                session.step(SessionStep.DOUBT)
            if session is not None:
                session.node, session.offered = node, False
                inherited.append(session)
        return inherited

    @property
    def of_worth(self) -> list[JanusSession]:
        """Those that somebody would miss: all but a managed one without handles."""
        return [s for s in self if s.session_id is not None and (s is not self.managed or s.handles)]

    @property
    def inherited(self) -> list[JanusSession]:
        """Those of other bridges, of whose handles not all may be known."""
        return [session for session in self if session.node is not None]

    def knows(self, session_id: int | None, handle_id: int | None) -> bool:
        """Whether it is known that a command with these ids has its place here. The managed session says nothing of a
        handle: its id may stand in for any.
        """
        if session_id is not None and self._issued(session_id):
            return True
        if handle_id is None:
            return session_id in (None, self.managed.session_id)
        return handle_id in self.managed.handles or any(handle_id in one.handles for one in self._former.values())

    def having(self, handle_id: int) -> JanusSession | None:
        """The session that has this handle, as far as is known. Walks them all."""
        return next((session for session in self if handle_id in session.handles), None)
