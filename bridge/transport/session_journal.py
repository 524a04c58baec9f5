"""The sessions that the next bridge process will claim, on disk.

Owns ``sessions.jsonl`` in the state directory: a line for each session made and each that ended, appended when it
happens, so that a SIGKILL loses nothing that was written; rewritten without what is over at each start. 0600: a session
id is a capability. Must not know links. The file is written by one task in a worker thread: a disk that hangs must not
stop the event loop, and a disk that is full is logged, not fatal (the sessions live on; only their claim by the next
process fails).
"""

import json
import logging
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import trio

from bridge.protocol.gateway import Gateway
from bridge.protocol.session import SavedSession

log = logging.getLogger("bridge.state")

Key: TypeAlias = tuple[str, str]  # janus_id, janus_url as in the table
REMEMBERED = 10_000  # ended sessions kept for each gateway (contract 5.7)
REWRITE_AFTER = 100_000  # lines appended by one process


class SessionJournal:
    """``load`` first, then ``run``; ``save`` never waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sessions: dict[Key, dict[int, SavedSession]] = {}
        self._unwritten: deque[str] = deque()
        self._filled = trio.Event()
        self._lines = 0
        self._broken = False

    def load(self) -> None:
        """Read what the last process left, and begin a new file. Damaged lines are logged and skipped."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as exc:
            log.error("%s cannot be read: %s; no session of the last process is claimed", self._path, exc.strerror)
            lines = []
        damaged = sum(not self._read(line) for line in lines)
        if damaged:
            log.warning("%s: %d damaged lines are skipped", self._path, damaged)
        self._write_safely(self._all(), rewrite=True)

    def _read(self, line: str) -> bool:
        try:
            row = json.loads(line)
            key = (str(row["janus_id"]), str(row["janus_url"]))
            session_id = row["session_id"]
            if type(session_id) is not int or session_id <= 0:
                return False
            self._note(key, SavedSession(session_id, bool(row["managed"]), bool(row["ended"])))
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
        return True

    def _note(self, key: Key, session: SavedSession) -> None:
        sessions = self._sessions.setdefault(key, {})
        sessions.pop(session.session_id, None)  # so that the order is that of the last word about each
        if session.ended and session.managed:
            return  # nobody has to remember it: callers' ids are those of further sessions
        sessions[session.session_id] = session
        if session.ended and len(sessions) > REMEMBERED:
            oldest = next((known.session_id for known in sessions.values() if known.ended), None)
            if oldest is not None:
                del sessions[oldest]

    def _all(self) -> Iterable[str]:
        return [_line(key, session) for key, sessions in self._sessions.items() for session in sessions.values()]

    def saved(self, gateway: Gateway) -> tuple[SavedSession, ...]:
        """What is known of a gateway's sessions, ended ones included."""
        return tuple(self._sessions.get((gateway.janus_id, gateway.janus_url), {}).values())

    def save(self, gateway: Gateway, session: SavedSession) -> None:
        """Keep a session, or its end."""
        key = (gateway.janus_id, gateway.janus_url)
        self._note(key, session)
        self._unwritten.append(_line(key, session))
        self._filled.set()

    async def run(self) -> None:
        """Write until cancelled; what is still unwritten then is written before this returns."""
        try:
            while True:
                await self._filled.wait()
                self._filled = trio.Event()
                await self._write()
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(2):
                await self._write()

    async def _write(self) -> None:
        lines = list(self._unwritten)
        self._unwritten.clear()
        if not lines:
            return
        self._lines += len(lines)
        rewrite = self._lines > REWRITE_AFTER or self._broken
        if rewrite:
            self._lines = 0
            lines = list(self._all())
        await trio.to_thread.run_sync(lambda: self._write_safely(lines, rewrite=rewrite))

    def _write_safely(self, lines: Iterable[str], *, rewrite: bool) -> None:
        """Append, or write the whole file anew. After a failure the next write is of the whole file."""
        data = "".join(lines).encode("utf-8", "surrogateescape")
        try:
            if rewrite:
                temporary = self._path.with_suffix(".new")
                _write_file(temporary, data, os.O_TRUNC)
                temporary.replace(self._path)
            else:
                _write_file(self._path, data, os.O_APPEND)
        except OSError as exc:
            if not self._broken:
                log.error("%s cannot be written: %s; sessions are not saved until it can", self._path, exc.strerror)
            self._broken = True
        else:
            self._broken = False


def _write_file(path: Path, data: bytes, flag: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) or 0 :]


def _line(key: Key, session: SavedSession) -> str:
    row = {"janus_id": key[0], "janus_url": key[1], **session._asdict()}
    return json.dumps(row, separators=(",", ":")) + "\n"
