"""The table in an SQLite file.

Owns how the file is opened and what SQLite's errors mean. Must not know the statements.
Authority: sqlite.org "URI filenames" and "Result codes"; OpenSIPS module db_sqlite.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bridge.errors import TableRefused, TableUnavailable
from bridge.protocol.db_url import SqliteUrl
from bridge.transport.db_sql import Duplicate, Execute, Mode, NoSuchTable, one_line
from bridge.transport.db_visit import Ending, bounded, ended_by, too_much

# Somebody else's transaction, a full disk or our own interrupt may pass; everything else is a refusal.
_TEMPORARY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
}
# Bytes. SQLite reads a text whole to tell its beginning; none of ours is kept.
_VALUE_MAX = 128 << 20
_URI_MODES: dict[Mode, str] = {"read": "ro", "write": "rw", "create": "rwc"}


class SqliteEngine:
    """Reads without the right to write; creates the file, and its folder for the owner alone, in mode "create"."""

    def __init__(self, url: SqliteUrl, patience: float) -> None:
        """``patience``: seconds to wait for another's lock."""
        self._path = Path(url.path)
        self._patience = patience

    @contextmanager
    def session(self, mode: Mode, ending: Ending) -> Iterator[Execute]:
        with closing(self.open(ending, mode)) as link, ended_by(ending, link.shut):
            # One transaction: the version and the rows are of the same moment, and DDL is all or nothing.
            link.begin(write=mode != "read")

            def execute(sql: str, *values: Any) -> list[tuple[Any, ...]]:
                ending.check()
                return link.rows(sql, *values)

            yield execute
            link.commit()  # without it, closing rolls back

    def open(self, ending: Ending, mode: Mode = "write") -> "SqliteLink":
        """Open the file. Raises TableUnavailable."""
        ending.check()
        try:
            if mode == "create":
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            elif not self._path.parent.is_dir():
                raise TableRefused(f"there is no folder {self._path.parent}")
            elif not self._path.exists():
                raise TableRefused("no such file")
            if self._path.exists() and not self._path.is_file():
                raise TableRefused("a directory, not a file" if self._path.is_dir() else "not a file")
        except FileExistsError:
            raise TableRefused(f"{self._path.parent}: Not a directory") from None
        except OSError as exc:
            raise TableRefused(f"{self._path.parent}: {exc.strerror}") from None
        with self._translated_errors(mode):
            uri = f"file:{quote(self._path.as_posix())}?mode={_URI_MODES[mode]}"
            connection = sqlite3.connect(
                uri, uri=True, timeout=self._patience, isolation_level=None, check_same_thread=False
            )
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_MAX)
            connection.text_factory = bytes  # invalid UTF-8 in one row must not make the others unreadable
            return SqliteLink(connection, lambda: self._translated_errors(mode))

    @contextmanager
    def _translated_errors(self, mode: Mode) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise self._translated(exc, mode) from None
        except UnicodeDecodeError as exc:  # of SQLite's words, which show what is damaged in the file
            raise TableRefused(one_line(exc.object.decode(errors="replace"))) from None

    def _translated(self, exc: sqlite3.Error, mode: Mode) -> TableUnavailable:
        text = one_line(str(exc))
        if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_TOOBIG:
            return too_much(f"{_VALUE_MAX >> 20} MiB in one value")
        if text.startswith("no such table"):
            return NoSuchTable(text)
        code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the upper bits say more, not else
        if code == sqlite3.SQLITE_CONSTRAINT:
            return Duplicate(text)
        if code in _TEMPORARY:
            return TableUnavailable(text)
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            missing = self._missing_right(journal=mode != "read" or code == sqlite3.SQLITE_READONLY)
            return TableRefused(text if missing is None else f"{text}: {missing}")
        return TableRefused(text)

    def _missing_right(self, *, journal: bool) -> str | None:
        """Which one SQLite missed: it does not say. ``journal``: whether it wanted to make one, as it does to write,
        and even to read what is in WAL mode. Asks without opening: closing the file would end locks that others have.
        """
        there, folder = os.path.exists(self._path), self._path.parent
        if there and not os.access(self._path, os.R_OK):
            return "no permission to read it"
        if journal and there and not os.access(self._path, os.W_OK):
            return "no permission to write it"
        if journal and not os.access(folder, os.W_OK | os.X_OK):
            return f"no permission to write in {folder}, where SQLite has to make its {'journal' if there else 'file'}"
        return None


class SqliteLink:
    """An open file, as db_mysql_link's connection to a server. Used by one thread at a time, ended from any."""

    def __init__(self, connection: sqlite3.Connection, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._connection = connection
        self._translated = translated

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement with values for its "?"s; the rows of its answer."""
        with self._translated():
            return bounded(self._connection.execute(sql, values))

    def change(self, sql: str, *values: Any) -> int:
        """Run one that changes rows; how many it changed."""
        with self._translated():
            return self._connection.execute(sql, values).rowcount

    def begin(self, *, write: bool = True) -> None:
        """Begin a transaction."""
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def locked(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows that nobody changes, and to which nobody adds, before the transaction is over: it has the whole file."""
        return self.rows(sql, *values)

    def commit(self) -> None:
        """End it."""
        with self._translated():
            self._connection.execute("COMMIT")

    def undo(self) -> None:
        """End it with nothing changed."""
        with self._translated():
            self._connection.execute("ROLLBACK")

    def shut(self) -> None:
        """End what happens on it."""
        self._connection.interrupt()

    def close(self) -> None:
        """Whatever was not committed is undone."""
        self._connection.close()
