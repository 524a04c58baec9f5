"""A database without end: rows, packets, columns, views, values. A deadline ends the work; limits come before it."""

import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.errors import TableRefused, TableUnavailable
from bridge.protocol.db_url import MysqlUrl, SqliteUrl, parse_db_url
from bridge.protocol.gateway import MAX_JANUS_ID, MAX_JANUS_URL, TableRow, read_rows
from bridge.transport import db_mysql_guard, db_sql, db_sqlite, db_visit
from bridge.transport.db import JanusTable
from bridge.transport.db_sqlite import SqliteEngine
from tests.support.deadlines import HANG_SECONDS
from tests.support.mariadb import MariaDb
from tests.support.mysql_script import LET_IN, ScriptedServer, column, eof, packet

EVERY_NUMBER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A database with an empty table."""
    path = tmp_path / "opensips.db"
    assert await JanusTable(SqliteUrl(str(path))).create()
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def threads_end(table: JanusTable) -> None:
    with trio.fail_after(HANG_SECONDS):
        while table.threads.borrowed_tokens:  # noqa: ASYNC110  # a limiter has no event to wait for
            await trio.sleep(0.01)


async def test_a_view_without_end_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_sql, "MOST_ROWS", 2000)
    monkeypatch.setattr(db_visit, "MOST_ROWS", 2000)
    change(
        file,
        "DROP TABLE janus",
        f"CREATE VIEW janus AS {EVERY_NUMBER} SELECT x AS id, 'gw' || x AS janus_id, 'janusws://h' AS janus_url FROM c",
    )
    with pytest.raises(TableRefused, match=r"more than 2,000 rows; this is not a table of Janus servers$"):
        await JanusTable(SqliteUrl(str(file))).rows()


async def test_a_view_that_never_has_a_row_ends_at_the_deadline_and_the_next_visit_works(file: Path) -> None:
    change(
        file,
        "ALTER TABLE janus RENAME TO good",
        f"CREATE VIEW janus AS {EVERY_NUMBER} SELECT x AS id, '' AS janus_id, '' AS janus_url FROM c WHERE x < 0",
    )
    hung, table = JanusTable(SqliteUrl(str(file)), deadline=0.2), JanusTable(SqliteUrl(str(file)))
    with pytest.raises(TableUnavailable, match=r"no answer within 0\.2 s") as caught:
        await hung.rows()
    assert not isinstance(caught.value, TableRefused)
    await threads_end(hung)  # not abandoned: it would go on for ever
    change(file, "DROP VIEW janus", "ALTER TABLE good RENAME TO janus")
    assert await table.rows() == []


async def test_a_version_view_without_end(file: Path) -> None:
    change(
        file,
        "DROP TABLE version",
        f"CREATE VIEW version AS {EVERY_NUMBER} SELECT 'janus' AS table_name, x AS table_version FROM c",
    )
    with pytest.raises(TableRefused, match="9 records for 'janus'"):
        await JanusTable(SqliteUrl(str(file))).rows()


async def test_a_version_of_any_length_is_shown_short(file: Path) -> None:
    change(file, "UPDATE version SET table_version = CAST(zeroblob(1000000) AS TEXT) || 'x'")
    with pytest.raises(TableRefused) as caught:
        await JanusTable(SqliteUrl(str(file))).rows()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", ["zeroblob(2000000)", "CAST(zeroblob(2000000) AS TEXT)", "hex(zeroblob(9000))"])
async def test_a_huge_value_disables_its_row_alone(file: Path, value: str) -> None:
    change(
        file,
        "INSERT INTO janus VALUES (1, 'one', 'janusws://h')",
        f"INSERT INTO janus VALUES (2, 'two', {value})",
        f"INSERT INTO janus VALUES (3, {value}, 'janusws://h')",
    )
    rows = await JanusTable(SqliteUrl(str(file))).rows()
    assert all(len(row.janus_id) <= MAX_JANUS_ID + 1 and len(row.janus_url) <= MAX_JANUS_URL + 1 for row in rows)
    gateways, warnings = read_rows(rows)
    assert {name: gateway.fault is None for name, gateway in gateways.items()} == {"one": True, "two": False}
    assert [warning.partition(":")[0] for warning in warnings] == ["row id=2", "row id=3"]
    assert all(len(warning) < 400 for warning in warnings)


async def test_a_value_beyond_all_measure_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert db_sqlite._VALUE_MAX == 128 << 20
    monkeypatch.setattr(db_sqlite, "_VALUE_MAX", 1 << 20)
    change(file, "INSERT INTO janus VALUES (1, 'one', zeroblob(2000000))")
    with pytest.raises(TableRefused, match="more than 1 MiB in one value"):
        await JanusTable(SqliteUrl(str(file))).rows()


async def test_odd_ids_disable_their_rows_alone(file: Path) -> None:
    change(
        file,
        "DROP TABLE janus",
        "CREATE TABLE janus (id, janus_id, janus_url)",
        "INSERT INTO janus VALUES (NULL, 'a', 'janusws://h'), ('7', 'b', 'janusws://h'), "
        "(x'00ff', 'c', 'janusws://h'), "
        "(-3, 'd', 'janusws://h'), (1.5, 'e', 'janusws://h'), (9, 'f', 'janusws://h'), ('x', 'f', 'janusws://h'), "
        f"('{'y' * 500}', 'g', 'janusws://h'), ({1 << 62}, 'h', 'janusws://h')",
    )
    table = JanusTable(SqliteUrl(str(file)))
    rows = await table.rows()
    gateways, warnings = read_rows(rows)
    assert {name for name, gateway in gateways.items() if gateway.fault is None} == {"f", "h"}
    assert len(gateways) == 8
    assert gateways["d"].fault == "its id is '-3', not a whole number from 0"
    assert any(
        warning == "row id='': 'a': its id is '', not a whole number from 0; the row is disabled"
        for warning in warnings
    )
    with pytest.raises(
        TableRefused, match="a row of 'd' has the id '-3', which is not a whole number: correct it in SQL"
    ):
        await table.remove("d")


# MySQL


async def mysql_error(serve: Callable[[], Iterator[bytes]]) -> TableUnavailable:
    """What comes of reading from a server that lets everybody in and then answers with these bytes."""

    class Server(ScriptedServer):
        async def after(self, stream: trio.abc.Stream) -> None:
            for part in serve():
                await stream.send_all(part)
            await trio.sleep_forever()

    server = Server("mysql_native_password", [LET_IN, LET_IN, LET_IN])
    async with server.on_tcp() as port:
        table = JanusTable(MysqlUrl("127.0.0.1", port, "d", "u", "p"), deadline=HANG_SECONDS)
        with pytest.raises(TableUnavailable) as caught:
            await table.rows()
        await threads_end(table)
    return caught.value


HEAD = packet(1, b"\x01") + packet(2, column("table_version")) + packet(3, eof())


def endless_rows(size: int) -> Callable[[], Iterator[bytes]]:
    def rows() -> Iterator[bytes]:
        yield HEAD
        body = b"\xfd" + struct.pack("<I", size)[:3] + b"x" * size if size > 250 else bytes([size]) + b"x" * size
        number = 4
        while True:
            burst = max(1, 65536 // (size + 8))
            yield b"".join(packet(n, body) for n in range(number, number + burst))
            number += burst

    return rows


def endless_packet() -> Iterator[bytes]:
    number = 1
    while True:
        yield b"\xff\xff\xff" + bytes([number % 256])
        for _ in range(255):
            yield bytes(65793)
        number += 1


def endless_columns() -> Iterator[bytes]:
    yield packet(1, b"\xfe" + b"\xff" * 8)
    number = 2
    while True:
        yield b"".join(packet(n, column("c")) for n in range(number, number + 256))


def endless_results() -> Iterator[bytes]:
    number = 1
    while True:
        burst = 512
        yield b"".join(packet(n, b"\0\0\0\x0a\0\0\0") for n in range(number, number + burst))
        number += burst


@pytest.mark.parametrize(
    ("serve", "limit"),
    [
        (endless_rows(1), "65,536 rows"),
        (endless_rows(100_000), "1 MiB"),
        (endless_packet, "1 MiB"),
        (endless_columns, "65,536 rows"),
        (endless_results, "65,536 rows"),
    ],
    ids=["rows", "long rows", "packet", "columns", "results"],
)
async def test_what_has_no_end_is_refused(
    serve: Callable[[], Iterator[bytes]], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (db_mysql_guard._MOST_READS, db_visit.MOST_BYTES) == (133_072, 32 << 20)
    monkeypatch.setattr(db_mysql_guard, "_MOST_READS", 2000)
    monkeypatch.setattr(db_mysql_guard, "MOST_BYTES", 1 << 20)
    refusal = await mysql_error(serve)
    assert isinstance(refusal, TableRefused)
    assert str(refusal).endswith(f"more than {limit}; this is not a table of Janus servers")


async def test_a_view_of_mariadb_is_limited_by_the_statement(mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch) -> None:
    url = parse_db_url(mariadb.create_database())
    assert isinstance(url, MysqlUrl)
    assert await JanusTable(url).create()
    mariadb.execute(
        "DROP TABLE janus",
        "CREATE VIEW janus AS SELECT seq AS id, 'gw' AS janus_id, 'janusws://h' AS janus_url FROM seq_1_to_1000000000",
        database=url.database,
    )
    monkeypatch.setattr(db_sql, "MOST_ROWS", 2000)
    monkeypatch.setattr(db_visit, "MOST_ROWS", 2000)
    with pytest.raises(TableRefused, match="more than 2,000 rows"):
        await JanusTable(url).rows()
    mariadb.execute(
        "CREATE OR REPLACE VIEW janus AS SELECT 1 AS id, 'gw' AS janus_id, REPEAT('x', 50000) AS janus_url UNION "
        "SELECT -5, 'odd', 'janusws://h' UNION SELECT 2, 'good', 'janusws://h'",
        database=url.database,
    )
    gateways, warnings = read_rows(await JanusTable(url).rows())
    assert [name for name, gateway in gateways.items() if gateway.fault is None] == ["good"]
    assert [warning.partition(":")[0] for warning in warnings] == ["row id='-5'", "row id=1"]


def test_rows_are_counted_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_visit, "MOST_ROWS", 2)
    rows = iter([(1, b"a"), (2, b"b"), (3, b"c"), (4, b"d")])
    with pytest.raises(TableRefused):
        db_visit.bounded(rows)
    assert list(rows) == [(4, b"d")]


def test_a_row_with_an_id_of_its_own_kind_is_a_row() -> None:
    row = TableRow("x", "gw", "janusws://h")
    assert row.order < TableRow(0, "gw", "janusws://h").order


async def test_a_thread_that_hangs_for_ever_is_in_nobodys_way(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release, inside = threading.Event(), trio.Event()
    table = JanusTable(SqliteUrl(str(file)))
    session = SqliteEngine.session
    token = trio.lowlevel.current_trio_token()

    def hang(*arguments: Any) -> Any:
        token.run_sync_soon(inside.set)
        release.wait(HANG_SECONDS)
        return session(*arguments)

    monkeypatch.setattr(SqliteEngine, "session", hang)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(table.rows)
            await inside.wait()
            nursery.cancel_scope.cancel()
        monkeypatch.setattr(SqliteEngine, "session", session)
        assert await table.rows() == []
        assert table.threads.borrowed_tokens == 1
    finally:
        release.set()
    await threads_end(table)
