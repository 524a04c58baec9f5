"""What is asked of the ``janus`` table and of the ``version`` table, in SQL that every engine understands.

Owns the statements, and for every table of ours the meaning of its version row (contract 4.1). Must not know engines,
threads or deadlines.
Authority: OpenSIPS scripts/*/janus-create.sql, db/db.c (db_check_table_version) and the C module's query.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias

from bridge import resources
from bridge.errors import TableRefused, WrongTableVersion
from bridge.protocol.db_url import SQL_IDENTIFIER
from bridge.protocol.gateway import MAX_JANUS_ID, MAX_JANUS_URL, TableRow
from bridge.protocol.printable import printable
from bridge.transport.db_visit import MOST_ROWS, Ending

TABLE_VERSION = 1
_ID_DIGITS = 20  # of the greatest 64-bit number

# Runs one statement with values for its "?"s and gives the rows. Raises TableUnavailable and its subclasses.
Execute: TypeAlias = Callable[..., list[tuple[Any, ...]]]
Mode: TypeAlias = Literal["read", "write", "create"]


class Engine(Protocol):
    """One kind of database."""

    def session(self, mode: Mode, ending: Ending) -> AbstractContextManager[Execute]:
        """Connect, and commit at the end unless an error leaves the block; blocking, until ``ending`` ends it."""


class NoSuchTable(TableRefused):
    """A statement named a table that is not there."""


class NoVersion(WrongTableVersion):
    """There is no version of the table: it was never made."""


class Duplicate(TableRefused):
    """A row would have had the key of another one."""


class VersionedTable:
    """A table with its row in the version table. ``word``: its name in the script that creates it, and by default.

    Raises ValueError for a name that is no plain SQL identifier.
    """

    def __init__(self, word: str, table: str, version_table: str) -> None:
        for name in (table, version_table):
            if not re.fullmatch(SQL_IDENTIFIER, name):
                raise ValueError(f"{name!r} is not an SQL identifier (letters, digits and _, at most 64)")
        self._word = word
        self.name = table
        self._version_table = version_table

    def create(self, execute: Execute, script: str) -> bool:
        """Create what is missing: version table, version row, table; whether anything was. Raises WrongTableVersion."""
        version_table, version_row, table = self._script(script)
        try:
            self.check(execute)
            missing_version = False
        except WrongTableVersion:
            execute(version_table)
            if self._versions(execute):
                raise
            missing_version = True
        try:
            execute(f"SELECT 1 FROM `{self.name}` LIMIT 1")
            missing_table = False
        except NoSuchTable:
            execute(table)
            missing_table = True
        if missing_version:
            execute(version_row)
        return missing_version or missing_table

    def check(self, execute: Execute) -> None:
        """Raises WrongTableVersion."""
        expected = f"expected version {TABLE_VERSION}"
        try:
            found = self._versions(execute)
        except NoSuchTable:
            raise NoVersion(
                f"there is no {self._version_table!r} table with a version for table {self.name!r}, {expected}"
            ) from None
        if not found:
            raise NoVersion(f"{self.name!r} record not found in {self._version_table!r} table, {expected}")
        if len(found) > 1:
            raise WrongTableVersion(
                f"{len(found)} records for {self.name!r} in {self._version_table!r} table, expected one "
                f"with version {TABLE_VERSION}"
            )
        version = found[0][0]
        if version != TABLE_VERSION:
            shown = version if isinstance(version, int) else repr(as_text(version)[:40])
            raise WrongTableVersion(f"invalid version {shown} for table {self.name!r} found, {expected}")

    def _versions(self, execute: Execute) -> list[tuple[Any, ...]]:
        return execute(f"SELECT table_version FROM `{self._version_table}` WHERE table_name = ? LIMIT 9", self.name)

    def _script(self, name: str) -> list[str]:
        """Of a create script, for our table names: the version table, then our row in it, then our table."""
        text = re.sub(r"--.*", "", resources.path(f"sql/{name}").read_text(encoding="utf-8"))
        for word, replacement in ((self._word, self.name), ("version", self._version_table)):
            text = re.sub(rf"'{word}'", f"'{replacement}'", text)
            text = re.sub(rf"(?<!')\b{word}\b(?!')", f"`{replacement}`", text)
        statements = [statement.strip() for statement in text.split(";") if statement.strip()]
        ours = (f"'{self.name}'", f"`{self.name}`")
        return statements[:1] + [one for mark in ours for one in statements[1:] if mark in one]


class Statements:
    """The statements for one pair of table names. Raises ValueError for a name that is no plain SQL identifier."""

    def __init__(self, table: str, version_table: str) -> None:
        self._versioned = VersionedTable("janus", table, version_table)
        self._table = table

    def rows(self, execute: Execute) -> list[TableRow]:
        """Every row, by id. Raises WrongTableVersion."""
        self._versioned.check(execute)
        return self._select(execute)

    def create(self, execute: Execute, script: str) -> bool:
        """Create what is missing: version table, version row, table; whether anything was."""
        return self._versioned.create(execute, script)

    def add(self, execute: Execute, janus_id: str, janus_url: str) -> int | None:
        """Insert a row; its id, or None (and nothing is changed) if one with this janus_id is there."""
        if self._ids(execute, janus_id):
            return None
        execute(f"INSERT INTO `{self._table}` (janus_id, janus_url) VALUES (?, ?)", janus_id, janus_url)
        return self._ids(execute, janus_id)[-1]

    def change(self, execute: Execute, janus_id: str, janus_url: str) -> list[int]:
        """Give every row with this janus_id a new URL; their ids."""
        ids = self._ids(execute, janus_id)
        for key in ids:
            execute(f"UPDATE `{self._table}` SET janus_url = ? WHERE id = ?", janus_url, key)
        return ids

    def remove(self, execute: Execute, janus_id: str) -> list[int]:
        """Delete every row with this janus_id; their ids."""
        ids = self._ids(execute, janus_id)
        for key in ids:
            execute(f"DELETE FROM `{self._table}` WHERE id = ?", key)
        return ids

    def _ids(self, execute: Execute, janus_id: str) -> list[int]:
        # Compared here: to MySQL's collations "gw1", "GW1" and "gw1 " are the same.
        found = [row.id for row in self.rows(execute) if row.janus_id == janus_id]
        for key in found:
            if isinstance(key, str):
                raise TableRefused(
                    f"a row of {janus_id!r} has the id {key!r}, which is not a whole number: correct it in SQL"
                )
        return [key for key in found if isinstance(key, int)]

    def _select(self, execute: Execute) -> list[TableRow]:
        # No column comes longer than it takes to see that it is too long. The rows come unsorted: to sort those of a
        # view without end the database would have to collect them first.
        found = execute(
            f"SELECT CASE WHEN LENGTH(id) <= {_ID_DIGITS} THEN id END, SUBSTR(janus_id, 1, {MAX_JANUS_ID + 1}), "
            f"SUBSTR(janus_url, 1, {MAX_JANUS_URL + 1}) FROM `{self._table}` LIMIT {MOST_ROWS + 1}"
        )
        rows = [TableRow(_as_id(key), as_text(janus_id), as_text(janus_url)) for key, janus_id, janus_url in found]
        return sorted(rows, key=lambda row: row.order)


def _as_id(value: Any) -> int | str:
    """A key; as text what cannot be one: in a table that OpenSIPS's script did not make, any value may stand there."""
    return value if isinstance(value, int) and value >= 0 else as_text(value)


def as_text(value: Any) -> str:
    """A column's value as text. What is not UTF-8 becomes U+001A, which no janus_id or URL may hold: such a row is
    disabled alone (contract 4.5) instead of making the whole table unreadable.
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode(errors="replace").replace("\N{REPLACEMENT CHARACTER}", "\x1a")
    return str(value)


def one_line(text: str) -> str:
    """An error text of a server or a library as it may stand in a log: one line, no control characters, not endless."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= 300 else line[:300] + "..."
