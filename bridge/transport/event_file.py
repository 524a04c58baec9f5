"""The file of the log of events: whose it is, how it is opened, and what becomes of one that cannot be used.

Owns ``events.db`` as a file, and its version. Must not know what is in its rows. Authority: contract 12;
sqlite.org/wal.html, pragma.html#synchronous.
"""

import errno
import logging
import os
import re
import sqlite3
import sys
from pathlib import Path
from typing import Final

from bridge.files import require_file
from bridge.transport import event_pages, event_rows
from bridge.transport.event_rows import APPLICATION, VERSION

log = logging.getLogger("bridge.evi")

BUSY: Final = 5  # seconds to wait for another program's write
DAMAGED: Final = "it is damaged"
SCHEMA: Final = event_rows.SCHEMA + event_pages.SCHEMA
# Where a value that nobody wrote like that may lead: also a text that is no UTF-8, and SQLite's words that show it.
NOT_AS_WRITTEN: Final = (ValueError, TypeError, LookupError, AttributeError)
_PARTS: Final = frozenset(re.findall(r"CREATE (\w+) (\w+)", SCHEMA))  # kinds and names


class Unusable(sqlite3.DatabaseError):
    """Not a log that this program can go on with; the text says why."""


def open_own(path: Path, *, full: bool) -> sqlite3.Connection:
    """A log of this version, made if there is none. Raises Unusable, sqlite3.Error, OSError."""
    _require_file(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600))
    connection = _connect(path)
    try:
        _require_ours(connection)
        prepare(connection, full=full)
        if not connection.execute("PRAGMA user_version").fetchone()[0]:
            connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def damage_of(exc: Exception) -> str | None:
    """What is wrong with the file; None: nothing, but with the disk below it, or with who else uses it. ``exc`` came of
    reading it, or is SQLite's.
    """
    if isinstance(exc, sqlite3.OperationalError):
        # Our statements are right: where SQLite can make nothing of one, what the file should have is missing, or is
        # something else. Without a code it is Python's error, or ours.
        if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            return str(exc)
        return DAMAGED if str(exc).startswith("Could not decode") else None
    if isinstance(exc, sqlite3.DatabaseError):
        return str(exc)
    return DAMAGED if isinstance(exc, NOT_AS_WRITTEN) else None


def open_another(path: Path, *, full: bool) -> sqlite3.Connection:
    """Another connection to a log that is open. Raises sqlite3.Error."""
    connection = _connect(path)
    prepare(connection, full=full)
    return connection


def prepare(connection: sqlite3.Connection, *, full: bool) -> None:
    """``full``: a commit is on the disk. Raises sqlite3.Error."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
    connection.execute("PRAGMA journal_size_limit = 16777216")


def set_aside(path: Path, reason: str) -> None:
    """Nobody has it open. It is told. Raises OSError."""
    aside = f"{path}.aside"
    names = [(f"{path}{suffix}", aside + suffix) for suffix in ("", "-wal", "-shm")]
    for _, old in names if os.path.lexists(path) else ():
        Path(old).unlink(missing_ok=True)
    for name, place in names:
        if os.path.lexists(name):
            os.rename(name, place)
    log.error("%s cannot be used: %s; it is set aside as %s, and the log of events begins anew", path, reason, aside)


def words_of(path: Path, exc: BaseException) -> str:
    """What is wrong, and with which file: that of the fault, where it is another one."""
    if not isinstance(exc, OSError):
        return f"{path}: {exc}"
    return f"{exc.filename2 or exc.filename or path}: {exc.strerror or exc}"


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)


def _require_ours(connection: sqlite3.Connection) -> None:
    """Nothing is written before that. Raises Unusable; nothing, for a new file."""
    (version,), (application,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")
    )
    found = {(kind.upper(), name) for kind, name in connection.execute("SELECT type, name FROM sqlite_master")}
    if not (found or version):
        return
    if application != APPLICATION:
        raise Unusable("it is another program's")
    if version != VERSION:
        raise Unusable(f"it has version {version}, and this program {VERSION}")
    for kind, name in sorted(_PARTS - found):
        raise Unusable(f"it has no {kind.lower()} {name}")


def _require_file(path: Path) -> None:
    """SQLite says of anything else that the disk has an error. Raises OSError."""
    try:
        if os.path.islink(path):
            raise OSError(errno.ELOOP, "a symbolic link, not a file")
        require_file(path, sys.maxsize)
    except FileNotFoundError:
        pass
