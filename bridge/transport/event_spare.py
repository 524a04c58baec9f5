"""Room on the disk that the log of events gives up when others have filled it, so that it can still be cut.

Owns the file ``events.db.spare``. To cut takes room: the WAL grows, and before it is used again, the database grows by
what the WAL has. Once that is done, the log goes on in the room that the cut has freed in its file. Must not know what
is cut. Authority: contract 12; sqlite.org/wal.html#ckpt, posix_fallocate(3).
"""

import logging
import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from bridge.protocol.event_record import LogPage

log = logging.getLogger("bridge.evi")

SPARE: Final = 16 << 20  # bytes: what the WAL has at most before it is used again (its journal_size_limit)
WAL: Final = SPARE // 2  # bytes of it that the WAL holds from then on, so that the log can be cut again and again
FREE: Final = 2 * SPARE  # bytes that the disk has to have, so that others get into no need by it


class Spare:
    """``given``: it was given up, and the disk has not had room for another one since; an empty file outlives us."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = Path(f"{database}.spare")
        self.given = self._size() == 0

    def take(self) -> None:
        """Have it, if the disk has room; nothing fails."""
        part = Path(f"{self._path}.part")
        try:
            if self._size() or _free(part.parent) < FREE:
                return
            try:
                with open(part, "wb", opener=_private) as spare:
                    os.posix_fallocate(spare.fileno(), 0, SPARE)
                os.rename(part, self._path)
            except OSError:
                part.unlink(missing_ok=True)
                raise
        except OSError:
            return  # another time
        if self.given:
            self.given = False
            log.info("%s: the disk has room again", self._database)

    def give(self) -> bool:
        """Let the disk have it; whether there was one."""
        if not self._size():
            return False
        try:
            os.truncate(self._path, 0)
        except OSError:
            return False
        self.given = True
        with suppress(OSError), open(f"{self._database}-wal", "ab", opener=_private) as wal:
            os.posix_fallocate(wal.fileno(), 0, WAL)
        text = "%s: the disk is full: the log of events goes on in the room that it has; free %d MiB there"
        log.warning(text, self._database, FREE >> 20)
        return True

    def require_room(self, writer: sqlite3.Connection, pages: Sequence[LogPage]) -> None:
        """While it is given, the database must not grow: it could not be cut again. Raises sqlite3.OperationalError."""
        if pages and self.given:
            free, size = (writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
            if free * size < 1.25 * sum(page.size for page in pages):  # quotes are escaped
                raise sqlite3.OperationalError("the disk is full, and so is the room that the log has")

    def _size(self) -> int | None:
        try:
            return os.lstat(self._path).st_size
        except OSError:
            return None


def is_full(exc: Exception) -> bool:
    """Whether the disk has no room for it, be it for what is shared beside the WAL."""
    code = getattr(exc, "sqlite_errorcode", 0)  # what we raise has none
    return code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
