"""The table in an SQLite file: what is read, and what each thing that can be wrong is called."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import TableRefused, TableUnavailable, WrongTableVersion
from bridge.protocol.db_url import SqliteUrl
from bridge.protocol.gateway import TableRow, read_rows
from bridge.transport.db import JanusTable
from bridge.transport.db_sql import Mode
from bridge.transport.db_sqlite import SqliteEngine
from bridge.transport.db_visit import Ending


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A database with an empty table."""
    path = tmp_path / "opensips.db"
    assert await JanusTable(SqliteUrl(str(path))).create()
    return path


def change(path: Path, *statements: str, values: Sequence[Any] = ()) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement, values)


def spoil(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after))


async def test_rows_come_by_id(file: Path) -> None:
    change(file, "INSERT INTO janus VALUES (5, 'b', 'janusws://b'), (2, 'gw-日本', 'janusws://a/x?y=%20')")
    assert await JanusTable(SqliteUrl(str(file))).rows() == [
        TableRow(2, "gw-日本", "janusws://a/x?y=%20"),
        TableRow(5, "b", "janusws://b"),
    ]


async def test_an_empty_table_is_no_error(file: Path) -> None:
    assert await JanusTable(SqliteUrl(str(file))).rows() == []


async def test_one_row_s_odd_values_do_not_hide_the_others(file: Path) -> None:
    change(
        file,
        "INSERT INTO janus VALUES (1, CAST(x'67ff77' AS TEXT), 'janusws://a'), (2, x'6777', CAST(x'ff' AS TEXT)), "
        "(3, 42, 'janusws://c')",
    )
    rows = await JanusTable(SqliteUrl(str(file))).rows()
    gateways, warnings = read_rows(rows)
    assert [warning.partition(":")[0] for warning in warnings] == ["row id=1", "row id=2"]
    assert {name: gateway.fault is None for name, gateway in gateways.items()} == {"gw": False, "42": True}


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("DELETE FROM version", "'janus' record not found in 'version' table, expected version 1"),
        ("UPDATE version SET table_version = 2", "invalid version 2 for table 'janus' found, expected version 1"),
        ("UPDATE version SET table_version = 'x'", "invalid version 'x' for table 'janus' found, expected version 1"),
        ("DROP TABLE version", "there is no 'version' table with a version for table 'janus', expected version 1"),
    ],
)
async def test_a_wrong_version_names_both(file: Path, statement: str, text: str) -> None:
    change(file, statement)
    with pytest.raises(WrongTableVersion) as caught:
        await JanusTable(SqliteUrl(str(file))).rows()
    assert str(caught.value) == f"sqlite://{file}: {text}"


async def test_two_version_rows_are_one_too_many(file: Path) -> None:
    change(
        file,
        "DROP TABLE version",
        "CREATE TABLE version (table_name TEXT, table_version INTEGER)",
        "INSERT INTO version VALUES ('janus', 1), ('janus', 1)",
    )
    with pytest.raises(
        WrongTableVersion, match="2 records for 'janus' in 'version' table, expected one with version 1"
    ):
        await JanusTable(SqliteUrl(str(file))).rows()


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("DROP TABLE janus", "no such table: janus"),
        ("ALTER TABLE janus DROP COLUMN janus_url", "no such column: janus_url"),
    ],
)
async def test_a_wrong_table_is_refused(file: Path, statement: str, text: str) -> None:
    change(file, *statement.split("; "))
    with pytest.raises(TableRefused) as caught:
        await JanusTable(SqliteUrl(str(file))).rows()
    assert str(caught.value) == f"sqlite://{file}: {text}"
    assert not isinstance(caught.value, WrongTableVersion)


async def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(TableRefused, match=r"/none\.db: no such file$"):
        await JanusTable(SqliteUrl(str(tmp_path / "none.db"))).rows()
    folder = tmp_path / "none"
    with pytest.raises(TableRefused, match=f"/none/t.db: there is no folder {folder}$"):
        await JanusTable(SqliteUrl(str(folder / "t.db"))).add("gw1", "janusws://h")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240  # nothing was created


async def test_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no database, but long enough to be looked at " * 10)
    with pytest.raises(TableRefused, match="file is not a database"):
        await JanusTable(SqliteUrl(str(path))).rows()


async def test_a_damaged_database_is_refused_in_one_line(file: Path) -> None:
    spoil(file, b"CREATE TABLE", b"CR\xffATE TABLE")
    for visit in (JanusTable.rows, JanusTable.create):
        with pytest.raises(TableRefused, match=f"^sqlite://{file}: malformed database schema "):
            await visit(JanusTable(SqliteUrl(str(file))))


async def test_a_folder_is_no_database(tmp_path: Path) -> None:
    for visit in (JanusTable.rows, JanusTable.create):
        with pytest.raises(TableRefused, match=f"^sqlite://{tmp_path}: a directory, not a file$"):
            await visit(JanusTable(SqliteUrl(str(tmp_path))))
        with pytest.raises(TableRefused, match=r"^sqlite:///dev/null: not a file$"):
            await visit(JanusTable(SqliteUrl("/dev/null")))
    with pytest.raises(TableRefused, match="/dev/null: Not a directory"):
        await JanusTable(SqliteUrl(f"/dev/null/{tmp_path.name}")).create()


async def test_a_file_name_may_hold_anything(tmp_path: Path) -> None:
    table = JanusTable(SqliteUrl(str(tmp_path / "a?mode=memory&b%20#c é.db")))
    await table.create()
    assert await table.add("gw1", "janusws://h") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a?mode=memory&b%20#c é.db"]  # noqa: ASYNC240


@pytest.mark.parametrize("mode", ["read", "write"])
async def test_a_locked_file_is_not_a_refusal(file: Path, mode: Mode) -> None:
    """By the engine itself, whose patience is over at once: no deadline of the table may be the first to end."""
    engine = SqliteEngine(SqliteUrl(str(file)), patience=0)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with (
            pytest.raises(TableUnavailable, match="database is locked") as caught,
            engine.session(mode, Ending()) as execute,
        ):
            execute("SELECT id FROM janus")
        assert not isinstance(caught.value, TableRefused)


async def test_other_names_have_a_version_row_of_their_own(file: Path) -> None:
    table = JanusTable(SqliteUrl(str(file)), "select", "order")
    with pytest.raises(WrongTableVersion, match="no 'order' table with a version for table 'select'"):
        await table.rows()
    assert await table.create()
    assert await table.add("gw1", "janusws://h") == 1
    assert await table.rows() == [TableRow(1, "gw1", "janusws://h")]
    assert await JanusTable(SqliteUrl(str(file))).rows() == []


@pytest.mark.parametrize("name", ["", "janus; DROP TABLE x", "1janus", "a`b", "janus\n", "jänus", "a" * 65])
def test_a_name_that_is_no_identifier_never_reaches_the_database(name: str) -> None:
    with pytest.raises(ValueError, match="not an SQL identifier"):
        JanusTable(SqliteUrl("/x.db"), name)
    with pytest.raises(ValueError, match="not an SQL identifier"):
        JanusTable(SqliteUrl("/x.db"), "janus", name)


async def test_create_makes_the_folder_for_its_owner_alone_and_only_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "state" / "janus.db"
    table = JanusTable(SqliteUrl(str(path)))
    assert await table.create() is True
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await table.add("gw1", "janusws://h")
    assert await table.create() is False
    change(path, "DELETE FROM version")
    assert await table.create() is True
    assert await table.rows() == [TableRow(1, "gw1", "janusws://h")]


async def test_create_does_not_touch_another_version(file: Path) -> None:
    change(file, "UPDATE version SET table_version = 2", "DROP TABLE janus")
    with pytest.raises(WrongTableVersion, match="invalid version 2"):
        await JanusTable(SqliteUrl(str(file))).create()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'janus'").fetchall() == []


async def test_rows_are_added_changed_and_removed(file: Path) -> None:
    table = JanusTable(SqliteUrl(str(file)))
    assert await table.add("gw1", "janusws://1") == 1
    assert await table.add("GW1", "janusws://2") == 2
    assert await table.add("gw1", "janusws://3") is None
    change(file, "INSERT INTO janus (janus_id, janus_url) VALUES ('gw1', 'janusws://4')")
    assert await table.change("gw1", "janusws://5") == [1, 3]
    assert await table.change("gw9", "janusws://5") == []
    assert await table.rows() == [
        TableRow(1, "gw1", "janusws://5"),
        TableRow(2, "GW1", "janusws://2"),
        TableRow(3, "gw1", "janusws://5"),
    ]
    assert await table.remove("gw1") == [1, 3]
    assert await table.remove("gw1") == []
    assert await table.rows() == [TableRow(2, "GW1", "janusws://2")]
