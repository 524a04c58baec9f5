"""The table in an SQLite file.

Owns how the file is opened and what SQLite's errors mean. Must not know the statements.
Authority: sqlite.org "URI filenames" and "Result codes"; OpenSIPS module db_sqlite.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bridge.errors import TableRefused, TableUnavailable
from bridge.protocol.db_url import SqliteUrl
from bridge.transport.db_sql import Execute, Mode, NoSuchTable, one_line

# Somebody else's transaction or a full disk may pass; everything else is a refusal.
_TEMPORARY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
_URI_MODES: dict[Mode, str] = {"read": "ro", "write": "rw", "create": "rwc"}


class SqliteEngine:
    """Reads without the right to write; creates the file, and its folder for the owner alone, in mode "create"."""

    script = "janus-create.sqlite.sql"

    def __init__(self, url: SqliteUrl, patience: float) -> None:
        """``patience``: seconds to wait for another's lock."""
        self._path = Path(url.path)
        self._patience = patience

    @contextmanager
    def session(self, mode: Mode) -> Iterator[Execute]:
        try:
            if mode == "create":
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            elif not self._path.exists():
                raise TableRefused("no such file")
            elif not self._path.is_file():
                raise TableRefused("not a file")
        except OSError as exc:
            raise TableRefused(f"{self._path.parent}: {exc.strerror}") from None
        try:
            uri = f"file:{quote(self._path.as_posix())}?mode={_URI_MODES[mode]}"
            connection = sqlite3.connect(uri, uri=True, timeout=self._patience, isolation_level=None)
            with closing(connection):
                connection.text_factory = bytes  # invalid UTF-8 in one row must not make the others unreadable
                # One transaction: the version and the rows are of the same moment, and DDL is all or nothing.
                connection.execute("BEGIN" if mode == "read" else "BEGIN IMMEDIATE")

                def execute(sql: str, *values: Any) -> list[tuple[Any, ...]]:
                    try:
                        return connection.execute(sql, values).fetchall()
                    except sqlite3.Error as exc:
                        raise _translated(exc) from None

                yield execute
                connection.execute("COMMIT")  # without it, closing rolls back
        except sqlite3.Error as exc:
            raise _translated(exc) from None


def _translated(exc: sqlite3.Error) -> TableUnavailable:
    text = one_line(str(exc))
    if text.startswith("no such table"):
        return NoSuchTable(text)
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the upper bits say more, not else
    return TableUnavailable(text) if code in _TEMPORARY else TableRefused(text)
