"""The sessions that the next bridge process will claim, on disk.

Owns ``sessions.jsonl`` in the state directory: a line for each session made and each that ended, appended when it
happens, so that a SIGKILL loses nothing that was written; rewritten without what is over at each start. 0600: a session
id is a capability. Must not know links. The file is written by one task in a worker thread: a disk that hangs must not
stop the event loop, and a disk that is full is logged, not fatal (the sessions live on; only their claim by the next
process fails). What is new of handles waits a little, so that many are one write: without it the next process knows
their plugins a bit later (contract 5.6).
"""

import errno
import json
import logging
import os
import stat
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.files import read_file
from bridge.protocol.gateway import Gateway
from bridge.protocol.humanize import plural
from bridge.protocol.janus import member_id
from bridge.protocol.known_sessions import REMEMBERED
from bridge.protocol.session import SavedSession
from bridge.throttle import Throttle
from bridge.transport.private_file import replace_file

log = logging.getLogger("bridge.state")

GatewayKey: TypeAlias = tuple[str, str]  # janus_id, janus_url as in the table
JournalRow: TypeAlias = tuple[GatewayKey, SavedSession]
_FILE_MAX = 256 << 20  # bytes; REWRITE_AFTER lines of 2 KB
REWRITE_AFTER = 100_000  # lines appended by one process
HANDLES_WAIT = 0.1  # seconds that what is new of handles may wait
LAST_WRITE = 2.0  # seconds for it when the bridge stops


@dataclass(slots=True)
class _Sessions:
    """Of one gateway, each by its id, the oldest first."""

    alive: dict[int, SavedSession] = field(default_factory=dict)
    ended: OrderedDict[int, SavedSession] = field(default_factory=OrderedDict)
    handles: dict[int, dict[int, str]] = field(default_factory=dict)  # plugins by handle of those alive

    def note(self, session: SavedSession) -> None:
        if session.handles:
            self._note_handles(session)
            if session.session_id in self.alive:
                return
        self.alive.pop(session.session_id, None)  # so that the order is that of the last word about each
        self.ended.pop(session.session_id, None)
        if not session.ended:
            self.alive[session.session_id] = session._replace(handles=())
            return
        self.handles.pop(session.session_id, None)
        if not session.managed:  # of an ended managed one nothing is remembered: callers name client sessions
            self.ended[session.session_id] = session
            if len(self.ended) > REMEMBERED:
                self.ended.popitem(last=False)

    def _note_handles(self, session: SavedSession) -> None:
        plugins = self.handles.setdefault(session.session_id, {})
        for handle_id, plugin in session.handles:
            if plugin is None:
                plugins.pop(handle_id, None)
            else:
                plugins[handle_id] = plugin

    def whole(self) -> Iterator[SavedSession]:
        """All that is known, the ended ones first."""
        yield from self.ended.values()
        for session_id, session in self.alive.items():
            yield session._replace(handles=tuple(self.handles.get(session_id, {}).items()))


class SessionJournal:
    """``load`` first, then ``run``; ``save`` never waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sessions: dict[GatewayKey, _Sessions] = {}
        self._unwritten: list[JournalRow] = []
        self._filled = AutoResetEvent()
        self._urgent = AutoResetEvent()  # more than handles
        self._limiter = trio.CapacityLimiter(1)  # a write that was abandoned still goes before the next one
        self._lines = 0
        self._trouble = Throttle()

    def load(self) -> None:
        """Read what the last process left, and begin a new file. Damaged lines are logged and skipped."""
        try:
            lines = read_file(self._path, _FILE_MAX).decode(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as exc:
            log.error("%s cannot be read: %s; no session of the last process is claimed", self._path, exc.strerror)
            lines = []
        damaged = sum(not self._read(line) for line in lines)
        if damaged:
            log.warning("%s: skipped %s", self._path, plural(damaged, "damaged line"))
        self._write_safely(self._all(), rewrite=True)

    def forget(self) -> None:
        """Nothing of it is ours any more: another bridge has these sessions. Before ``run``."""
        self._sessions.clear()
        self._write_safely((), rewrite=True)

    def _read(self, line: str) -> bool:
        try:
            row = json.loads(line)
            key = (str(row["janus_id"]), str(row["janus_url"]))
            session_id = member_id(row["session_id"])
            if session_id is None:
                return False
            handles = tuple(map(_handle, row.get("handles", ())))
            socket = row.get("socket", 0)
            if type(socket) is not int:
                return False
            self._note(key, SavedSession(session_id, bool(row["managed"]), bool(row["ended"]), handles, socket))
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
        return True

    def _note(self, key: GatewayKey, session: SavedSession) -> None:
        self._sessions.setdefault(key, _Sessions()).note(session)

    def _all(self) -> list[JournalRow]:
        return [(key, session) for key, sessions in self._sessions.items() for session in sessions.whole()]

    def gateways(self) -> list[GatewayKey]:
        """Those of which sessions are known."""
        return list(self._sessions)

    def saved(self, gateway: Gateway) -> tuple[SavedSession, ...]:
        """What is known of a gateway's sessions, ended ones included."""
        return tuple(self._sessions.get((gateway.janus_id, gateway.janus_url), _Sessions()).whole())

    def save(self, gateway: Gateway, session: SavedSession) -> None:
        """Keep a session, what is new of its handles, or its end."""
        key = (gateway.janus_id, gateway.janus_url)
        self._note(key, session)
        if len(self._unwritten) < REWRITE_AFTER:  # behind a disk that hangs; then the whole file is due anyway
            self._unwritten.append((key, session))
        self._filled.set()
        if not session.handles:
            self._urgent.set()

    async def run(self) -> None:
        """Write until cancelled; what is still unwritten then is written before this returns."""
        try:
            while True:
                await self._filled.wait()
                with trio.move_on_after(HANDLES_WAIT):
                    await self._urgent.wait()
                await self._write()
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(LAST_WRITE) as patience:
                await self._write()
            if patience.cancelled_caught:
                log.error("%s: the disk does not respond; the last sessions are not saved", self._path)

    async def _write(self) -> None:
        rows, self._unwritten = self._unwritten, []
        self._lines += len(rows)
        rewrite = self._lines >= REWRITE_AFTER or self._trouble.said is not None
        if rewrite:
            self._lines = 0
            rows = self._all()
        written = await self._write_in_thread(rows, rewrite=rewrite)
        if not written and not rewrite:  # the file may be gone, or its name be another thing's: a new one heals that
            self._lines = 0
            await self._write_in_thread(self._all(), rewrite=True)

    async def _write_in_thread(self, rows: Sequence[JournalRow], *, rewrite: bool) -> bool:
        return await trio.to_thread.run_sync(
            lambda: self._write_safely(rows, rewrite=rewrite), abandon_on_cancel=True, limiter=self._limiter
        )

    def _write_safely(self, rows: Sequence[JournalRow], *, rewrite: bool) -> bool:
        """Append, or write the whole file anew; whether that worked. After a failure the whole file is due."""
        data = "".join([_line(key, session) for key, session in rows]).encode("ascii")
        try:
            if rewrite:
                replace_file(self._path, data)
            else:
                _append(self._path, data)
        except OSError as exc:
            if self._trouble.due(str(exc.strerror)):
                log.error("%s cannot be written: %s; sessions are not saved; retrying", self._path, exc.strerror)
            return False
        if self._trouble.over():
            log.info("%s can be written again", self._path)
        return True


def _append(path: Path, data: bytes) -> None:
    """Raises OSError, also where the file is gone or another thing: a new one would lack what it had."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "wb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        view = memoryview(data)
        while view:
            view = view[file.write(view) or 0 :]


def _handle(row: Any) -> tuple[int, str | None]:
    """Raises ValueError, TypeError."""
    handle_id, plugin = row
    if member_id(handle_id) is None or not isinstance(plugin, str | None):
        raise ValueError
    return handle_id, None if plugin is None else sys.intern(plugin)


def _line(key: GatewayKey, session: SavedSession) -> str:
    row = {"janus_id": key[0], "janus_url": key[1], **session._asdict()}
    del row["gone"]  # an ended managed one, of which nothing is kept
    for member in ("handles", "socket"):
        if not row[member]:
            del row[member]
    return json.dumps(row, separators=(",", ":")) + "\n"
