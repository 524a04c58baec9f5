"""What becomes of the sessions of one gateway: the managed one, those of callers, and those that are over.

Owns every step of a session; where each lives is in its ``Carriers``. Must not know connections or the clock. Which
sessions there are, and what their ids mean in a command, is ``known_sessions``.
"""

from collections.abc import Iterable

from bridge.protocol.carriers import Carrier, Carriers
from bridge.protocol.gateway import Gateway
from bridge.protocol.handles import Handles, Save
from bridge.protocol.history import BY_CALLER, Happening, Note
from bridge.protocol.known_sessions import KnownSessions
from bridge.protocol.managed_ids import ManagedIds
from bridge.protocol.session import JanusSession, SavedSession, SessionState, SessionStep

MAX_CLIENT_SESSIONS = 65_536  # a Janus gone mad could grant a new session in each message


class SessionBook(KnownSessions):
    """``save(gateway, session)`` keeps a session, or its end, for the next process, under the gateway where it lives.
    ``note`` is told what becomes of sessions and handles.
    """

    def __init__(
        self,
        managed_ids: ManagedIds,
        save: Save,
        gateway: Gateway,
        saved: Iterable[SavedSession] = (),
        note: Note = lambda _: None,
    ) -> None:
        self._save = save
        self.carriers = Carriers()
        self._note = note
        super().__init__(managed_ids, gateway, Handles(note, save), saved)

    # Which connection has them

    def unsettled(self, number: int) -> list[JanusSession]:
        """The sessions with an id that do not live on that connection, nor with another Janus as far as it knows; nor
        may another bridge have them.
        """
        return [
            s
            for s in self
            if s.session_id is not None and not s.offered and not (s.live and number in (s.carrier, s.unknown_to))
        ]

    @property
    def asked_for(self) -> list[JanusSession]:
        """Those of which a claim has no answer yet: it may be granted at any time."""
        return [s for s in self if s.state is SessionState.ADRIFT and self.carriers.somewhere(s)]

    def managed_created(self, session_id: int, carrier: int) -> None:
        """Janus answered our create on the connection with that number. The present managed session lives on."""
        created = self.managed if self.managed.session_id is None else JanusSession(managed=True)
        created.session_id = session_id
        self._managed_ids.add(session_id)
        self.claimed(created, carrier)
        self._note(Happening("session_created", session_id, reason="managed"))
        self._follow(created)

    def promote(self, carrier: int) -> bool:
        """Make a former managed session that lives on this connection the managed one again; whether there is one."""
        for former_id, former in self._former.items():
            if former.carried_by(carrier):
                del self._former[former_id]
                self._follow(former)
                return True
        return False

    def _follow(self, managed: JanusSession) -> None:
        before, self.managed = self.managed, managed
        if before is not managed and before.session_id is not None:
            self._former[before.session_id] = before

    def claiming(self, session: JanusSession, number: int, now: float) -> bool:
        """A claim goes out on the connection with that number: from now on, it may live there. Whether it might before,
        by an earlier claim that has no answer.
        """
        before = session in self.carriers.on(number)
        if session.adrift_since is None and not self.carriers.is_open(session.carrier):
            session.adrift_since = now
        session.step(SessionStep.DOUBT)
        self.carriers.on(number).add(session)
        return before

    def claimed(self, session: JanusSession, number: int) -> None:
        """It lives on that connection: save it under that gateway, and its end where it lived."""
        session.step(SessionStep.GRANT)
        session.carrier, session.unknown_to, session.adrift_since = number, None, None
        self.carriers.remove(session)
        self.carriers.on(number).add(session)
        carrier = self.carriers.find(number) or Carrier(self._gateway, 0, set())
        home, gateway, before = session.home, carrier.gateway, session.socket
        moved = home is None or home.janus_url != gateway.janus_url
        if session.session_id is None or (carrier.socket == before and not moved):
            return
        session.socket = carrier.socket
        record = SavedSession(session.session_id, session.managed, socket=session.socket)
        if moved:
            if home is not None:
                self._save(home, record._replace(ended=True))
            session.home = gateway
            record = record._replace(handles=session.known_handles)
        self._save(gateway, record)

    def stays(self, session: JanusSession, number: int) -> None:
        """The Janus of that connection does not know it; the one that carries it is open, and has it still."""
        session.step(SessionStep.GRANT)
        session.unknown_to = number
        self.not_claimed(session, number)

    def not_claimed(self, session: JanusSession, number: int) -> None:
        """The only claim that went out on that connection was refused, or its Janus does not know it."""
        if session.carrier != number:
            self.carriers.on(number).discard(session)

    def adopt(self, session_id: int, carrier: int, *, claimed: bool = False, transaction: str | None = None) -> None:
        """A caller's create or claim succeeded on the connection with that number: keep the session from now on."""
        if session_id == self.managed.session_id or session_id in self._managed_ids:
            return
        session = self._client_sessions.get(session_id)
        if session is None:
            if len(self._client_sessions) >= MAX_CLIENT_SESSIONS:
                return
            self._ended.pop(session_id, None)
            session = self._client_sessions[session_id] = JanusSession.adrift(session_id, managed=False)
            what = "session_claimed" if claimed else "session_created"
            self._note(Happening(what, session_id, reason=BY_CALLER, transaction=transaction))
        self.claimed(session, carrier)

    def ended(
        self, session: JanusSession, reason: str = BY_CALLER, *, lost: bool = False, transaction: str | None = None
    ) -> None:
        """The session is over: ``lost``, or ended on purpose. A managed one is replaced by one still to be created."""
        if session.session_id is None:
            return
        what = "session_lost" if lost else "session_ended"
        self._note(Happening(what, session.session_id, None, None, reason, transaction, session.handles.keys()))
        session.step(SessionStep.GONE)
        self.carriers.remove(session)
        self.handles.ended(session)
        self._save(session.home or self._gateway, SavedSession(session.session_id, session.managed, ended=True))
        if session is self.managed:
            self._managed_ids.discard(session.session_id)
            self.managed = JanusSession(managed=True)
        elif self._former.pop(session.session_id, None) is not None:
            self._managed_ids.discard(session.session_id)
        elif self._client_sessions.pop(session.session_id, None) is not None:
            self._remember(session.session_id)

    def offer(self, sessions: Iterable[JanusSession]) -> None:
        """Another bridge may claim these: neither this process nor the next one does."""
        for session in sessions:
            if session.session_id is not None:
                session.offered = True
                self._save(session.home or self._gateway, SavedSession.elsewhere(session.session_id))

    def take_back(self) -> None:
        """What was offered is ours as before."""
        for session in self:
            if session.offered and session.session_id is not None:
                session.offered = False
                record = SavedSession(
                    session.session_id, session.managed, handles=session.known_handles, socket=session.socket
                )
                self._save(session.home or self._gateway, record)

    def forget(self, sessions: Iterable[JanusSession]) -> None:
        """These are another bridge's: not ours any more, and not over. What has ended meanwhile stays so."""
        for session in sessions:
            if session.session_id is None or self.find(session.session_id) is not session:
                continue
            session.step(SessionStep.GONE)
            self.carriers.remove(session)
            self.handles.ended(session)
            self._save(session.home or self._gateway, SavedSession.elsewhere(session.session_id))
            if session.managed:
                self._managed_ids.discard(session.session_id)
            if session is self.managed:
                self.managed = JanusSession(managed=True)
            self._former.pop(session.session_id, None)
            self._client_sessions.pop(session.session_id, None)

    def close(self) -> None:
        """The gateway goes: its managed ids are free."""
        for session_id in filter(None, (self.managed.session_id, *self._former)):
            self._managed_ids.discard(session_id)
