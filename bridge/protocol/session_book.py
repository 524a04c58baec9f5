"""The sessions of one gateway: the managed one, those of callers, and those that are over.

Owns contract 5.7: which ids are honoured, which are replaced by the managed one, what is refused; and every step that a
session takes: which connection carries it, by its number. Must not know what a connection is, or the clock. A managed
session that lives on with another Janus, on a connection that was left, is a *former* one: nothing new is made in it,
its handles work. Authority: contract 5.7, proved as a property in its tests: no caller's command can end, take
over or stand in for the managed session.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bridge.errors import Draining, InvalidCommand, LinkDown
from bridge.protocol.codec import JsonObject
from bridge.protocol.command import JanusCommand
from bridge.protocol.history import BY_CALLER, Happening, Note
from bridge.protocol.janus import MAX_PLUGIN, member_id
from bridge.protocol.session import JanusSession, SavedSession, SessionState, SessionStep

REMEMBERED = 10_000  # ended sessions whose ids are still sent as they are, so that Janus can answer 458

# A Janus gone mad could grant a new session, or name a new handle, in each message.
MAX_FURTHER = 65_536
MAX_HANDLES = 65_536  # of all sessions together

Save = Callable[[SavedSession], None]


class ManagedIds:
    """The ids of all managed sessions, as often as they are managed.

    A row that is removed and added again has two books for a moment: the one that ends must not set free what the other
    one has claimed.
    """

    def __init__(self) -> None:
        self._books: Counter[int] = Counter()

    def add(self, session_id: int) -> None:
        """A book manages it."""
        self._books[session_id] += 1

    def discard(self, session_id: int) -> None:
        """A book manages it no more."""
        self._books[session_id] -= 1
        if self._books[session_id] <= 0:
            del self._books[session_id]

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._books

    def __iter__(self) -> Iterator[int]:
        return iter(self._books)


class SessionBook:
    """``managed_ids`` is shared by all gateways: two rows may name the same Janus, and neither may harm the other.

    ``note`` is told what becomes of sessions and handles. ``draining``: no new ones are made for callers.
    """

    def __init__(
        self, managed_ids: ManagedIds, save: Save, saved: Iterable[SavedSession] = (), note: Note = lambda _: None
    ) -> None:
        self._managed_ids = managed_ids
        self._save = save
        self._former: dict[int, JanusSession] = {}
        self._note = note
        self.draining = False
        self._further: dict[int, JanusSession] = {}
        self._ended: dict[int, None] = {}  # a set that keeps its order
        self._handles = 0  # of all sessions
        self.managed = JanusSession(managed=True)
        self._coming: JanusSession | None = None  # the managed session that a create was sent for
        for record in saved:
            self._restore(record)

    def _restore(self, record: SavedSession) -> None:
        if record.ended:
            self._remember(record.session_id)
            return
        session = JanusSession.adrift(record.session_id, managed=record.managed)
        session.handles.update(record.handles)
        self._handles += len(session.handles)
        if not record.managed:
            self._further[record.session_id] = session
            return
        if self.managed.session_id is None:
            self.managed = session
        else:
            self._former[record.session_id] = session
        self._managed_ids.add(record.session_id)

    def __iter__(self) -> Iterator[JanusSession]:
        yield self.managed
        yield from [*self._former.values(), *self._further.values()]

    def __len__(self) -> int:
        return 1 + len(self._former) + len(self._further)

    @property
    def counts(self) -> tuple[int, int]:
        """How many sessions Janus has made, and how many handles they have, without walking them."""
        return len(self) - (self.managed.session_id is None), self._handles

    def find(self, session_id: int | None) -> JanusSession | None:
        """The session with this id, if it is ours and not over."""
        if session_id is None:
            return None
        if session_id == self.managed.session_id:
            return self.managed
        return self._further.get(session_id) or self._former.get(session_id)

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

    def address(self, command: JanusCommand, missing: str) -> int | None:
        """The session_id that the command goes out with; None for a server-level verb.

        Raises LinkDown (``missing``) if it would be the managed one and there is none.
        """
        if command.verb.server:
            return None
        if command.kind == "claim" or self._issued(command.session_id):
            return command.session_id
        managed = self._managed_with(command.handle_id)
        if managed is self.managed and (managed.session_id is None or not (managed.live or managed.carrier)):
            raise LinkDown(missing)
        return managed.session_id

    def _managed_with(self, handle_id: int | None) -> JanusSession:
        """The managed session, or a former one where that has the handle."""
        if self._former and handle_id is not None and handle_id not in self.managed.handles:
            for former in self._former.values():
                if handle_id in former.handles:
                    return former
        return self.managed

    def _issued(self, session_id: int | None) -> bool:
        return session_id in self._further or session_id in self._ended or session_id in self._former

    def _refuse_managed(self, session_id: Any, what: str) -> None:
        if session_id in self._managed_ids or (session_id is not None and session_id == self.managed.session_id):
            raise InvalidCommand(f"{what} names a session that the bridge manages")

    # What became of sessions

    def creating(self) -> None:
        """A create for the managed session goes out: the first one, or one to take the place of the present one."""
        self._coming = JanusSession(managed=True) if self.managed.session_id is not None else self.managed
        self._coming.step(SessionStep.ASK)

    def not_created(self) -> None:
        """Janus refused the create, or did not answer."""
        if self._coming is not None:
            self._coming.step(SessionStep.REFUSE)
            self._coming = None

    def managed_created(self, session_id: int, carrier: int) -> None:
        """Janus answered our create on the connection with that number. The present managed session lives on."""
        created, self._coming = self._coming, None
        assert created is not None, "creating() comes first"
        created.session_id = session_id
        created.carrier = carrier
        created.step(SessionStep.GRANT)
        self._managed_ids.add(session_id)
        self._save(SavedSession(session_id, managed=True))
        self._note(Happening("session_created", session_id, reason="managed"))
        self._follow(created)

    def promote(self, carrier: int) -> bool:
        """Make a former managed session that lives on this connection the managed one again, if there is one."""
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

    def claiming(self, session: JanusSession) -> None:
        """A claim goes out."""
        session.step(SessionStep.ASK)

    def claimed(self, session: JanusSession, carrier: int) -> None:
        """Janus gave it to the connection with that number."""
        session.step(SessionStep.GRANT)
        session.carrier, session.unknown_to, session.adrift_since = carrier, None, None

    def stays(self, session: JanusSession, unknown_to: int) -> None:
        """The Janus of one connection does not know it; the connection that carries it is open, and has it still."""
        session.step(SessionStep.STAY)
        session.unknown_to = unknown_to

    def not_claimed(self, session: JanusSession) -> None:
        """The claim was refused for now, or has no answer: nothing is known."""
        session.step(SessionStep.REFUSE)

    def unclaimed(self) -> None:
        """No answer to a claim is waited for any more."""
        for session in self:
            if session.state is SessionState.CLAIMING:
                self.not_claimed(session)

    def cut(self, carrier: int) -> None:
        """The connection with that number ended."""
        for session in self:
            if session.carried_by(carrier):
                session.step(SessionStep.CUT)

    def adopt(self, session_id: int, carrier: int, *, claimed: bool = False, transaction: str | None = None) -> None:
        """A caller's create or claim succeeded on the connection with that number: keep the session from now on."""
        if session_id == self.managed.session_id or session_id in self._managed_ids:
            return
        session = self._further.get(session_id)
        if session is None:
            if len(self._further) >= MAX_FURTHER:
                return
            self._ended.pop(session_id, None)
            session = self._further[session_id] = JanusSession.adrift(session_id, managed=False)
            session.step(SessionStep.KEEP)
            self._save(SavedSession(session_id, managed=False))
            what = "session_claimed" if claimed else "session_created"
            self._note(Happening(what, session_id, reason=BY_CALLER, transaction=transaction))
        elif not session.live:
            session.step(SessionStep.KEEP)
        session.carrier = carrier

    def ended(
        self, session: JanusSession, reason: str = BY_CALLER, *, lost: bool = False, transaction: str | None = None
    ) -> None:
        """The session is over: ``lost``, or ended on purpose. A managed one is replaced by one still to be created."""
        if session.session_id is None:
            return
        what, handles = "session_lost" if lost else "session_ended", session.handles.keys()
        self._note(Happening(what, session.session_id, None, None, reason, transaction, handles))
        session.step(SessionStep.GONE)
        self._handles -= len(session.handles)
        self._save(SavedSession(session.session_id, session.managed, ended=True))
        if session is self.managed:
            self._managed_ids.discard(session.session_id)
            self.managed = JanusSession(managed=True)
        elif self._former.pop(session.session_id, None) is not None:
            self._managed_ids.discard(session.session_id)
        else:
            self._further.pop(session.session_id, None)
            self._remember(session.session_id)

    def _remember(self, session_id: int) -> None:
        self._ended[session_id] = None
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def close(self) -> None:
        """The gateway goes: its managed ids are free."""
        for session_id in (self.managed.session_id, *self._former):
            if session_id is not None:
                self._managed_ids.discard(session_id)

    # What is known of handles

    def attached(
        self, session_id: int | None, message: JsonObject, plugin: str | None, transaction: str | None = None
    ) -> None:
        """An attach succeeded: ``data.id`` of the message is the handle."""
        data = message.get("data")
        handle_id = member_id(data.get("id")) if isinstance(data, dict) else None
        self._learn(self.find(session_id), handle_id, plugin)
        self._note(Happening("handle_attached", session_id, handle_id, plugin, transaction=transaction))

    def heard(self, message: JsonObject) -> None:
        """A message came from a handle: after a restart this is how the bridge learns of those it had before."""
        session, handle_id = self.find(member_id(message.get("session_id"))), member_id(message.get("sender"))
        if session is None or handle_id is None or session.handles.get(handle_id) is not None:
            return  # known, as nearly always
        plugindata = message.get("plugindata")
        plugin = plugindata.get("plugin") if isinstance(plugindata, dict) else None
        self._learn(session, handle_id, plugin if isinstance(plugin, str) else None)

    def plugin_of(self, session_id: int | None, handle_id: int | None) -> str | None:
        """The plugin of a handle in the session that a command for it goes to; None: it is not known."""
        if handle_id is None:
            return None
        session = None if session_id is None else self._further.get(session_id) or self._former.get(session_id)
        return (session or self._managed_with(handle_id)).handles.get(handle_id)

    def _learn(self, session: JanusSession | None, handle_id: int | None, plugin: str | None) -> None:
        if session is None or handle_id is None:
            return
        if handle_id not in session.handles:
            if self._handles >= MAX_HANDLES:
                return
            self._handles += 1
        session.handles[handle_id] = None if plugin is None else plugin[:MAX_PLUGIN]
        if plugin is not None:
            self._save_handle(session, handle_id)

    def _save_handle(self, session: JanusSession, handle_id: int) -> None:
        """For a process that claims the session: what the handle's plugin is, or that it is gone."""
        if session.session_id is not None:
            handle = (handle_id, session.handles.get(handle_id))
            self._save(SavedSession(session.session_id, session.managed, handles=(handle,)))

    def detached(
        self, session_id: int | None, handle_id: int | None, reason: str = BY_CALLER, transaction: str | None = None
    ) -> None:
        """A handle is gone."""
        session = self.find(session_id)
        if session is not None and handle_id in session.handles:
            plugin = session.handles.pop(handle_id)
            self._handles -= 1
            if plugin is not None:
                self._save_handle(session, handle_id)
            self._note(Happening("handle_detached", session_id, handle_id, plugin, reason, transaction))

    def hung_up(self, session_id: int | None, handle_id: int | None, reason: str) -> None:
        """The PeerConnection of a handle is closed."""
        session = self.find(session_id)
        if session is not None and handle_id is not None:
            self._note(Happening("hangup", session_id, handle_id, session.handles.get(handle_id), reason))
