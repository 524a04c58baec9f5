"""The table in a real MariaDB: what is read, and what each thing that can be wrong is called."""

import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from bridge.errors import TableRefused, TableUnavailable, WrongTableVersion
from bridge.protocol.db_url import MysqlUrl, parse_db_url
from bridge.protocol.gateway import TableRow
from bridge.transport import db_mysql
from bridge.transport.db import JanusTable
from bridge.transport.db_access import MysqlAccess
from bridge.transport.tls import Tls
from tests.support.certs import Certificates
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.mariadb import MariaDb
from tests.support.ports import free_port


@pytest.fixture
async def url(mariadb: MariaDb) -> MysqlUrl:
    """A database with an empty table."""
    url = parse_db_url(mariadb.create_database())
    assert isinstance(url, MysqlUrl)
    assert await JanusTable(url).create()
    return url


async def error_of(table: JanusTable) -> TableUnavailable:
    with pytest.raises(TableUnavailable) as caught:
        await table.rows()
    assert "\n" not in str(caught.value)
    return caught.value


async def test_rows_are_added_changed_and_removed(url: MysqlUrl) -> None:
    table = JanusTable(url)
    assert await table.add("gw-日本-🎥", "janusws://h1/janus?a=%20") == 1
    assert await table.add("GW1", "janusws://h2") == 2
    assert await table.add("gw1", "janusws://h3") == 3  # another one, though MySQL's collation takes it for the same
    assert await table.add("gw1", "janusws://h4") is None
    assert await table.change("gw1", "janusws://h5") == [3]
    assert await table.remove("GW1") == [2]
    assert await table.remove("GW1") == []
    assert await JanusTable(url).rows() == [
        TableRow(1, "gw-日本-🎥", "janusws://h1/janus?a=%20"),
        TableRow(3, "gw1", "janusws://h5"),
    ]


async def test_create_makes_only_what_is_missing(url: MysqlUrl, mariadb: MariaDb) -> None:
    table = JanusTable(url)
    await table.add("gw1", "janusws://h")
    assert await table.create() is False
    mariadb.execute("DROP TABLE version", database=url.database)
    assert await table.create() is True
    assert await table.rows() == [TableRow(1, "gw1", "janusws://h")]
    other = JanusTable(url, "select", "order")
    assert await other.create() is True
    assert await other.rows() == []


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("DELETE FROM version", "'janus' record not found in 'version' table, expected version 1"),
        ("UPDATE version SET table_version = 2", "invalid version 2 for table 'janus' found, expected version 1"),
        ("DROP TABLE version", "there is no 'version' table with a version for table 'janus', expected version 1"),
    ],
)
async def test_a_wrong_version_names_both(url: MysqlUrl, mariadb: MariaDb, statement: str, text: str) -> None:
    mariadb.execute(statement, database=url.database)
    error = await error_of(JanusTable(url))
    assert isinstance(error, WrongTableVersion)
    assert str(error) == f"{url}: {text}"


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("DROP TABLE janus", "Table '{database}.janus' doesn't exist"),
        ("ALTER TABLE janus DROP COLUMN janus_url", "Unknown column 'janus_url' in 'SELECT'"),
    ],
)
async def test_a_wrong_table_is_refused(url: MysqlUrl, mariadb: MariaDb, statement: str, text: str) -> None:
    mariadb.execute(statement, database=url.database)
    error = await error_of(JanusTable(url))
    assert isinstance(error, TableRefused)
    assert not isinstance(error, WrongTableVersion)
    assert str(error).lower() == f"{url}: {text.format(database=url.database)}".lower()


async def test_one_row_s_odd_values_do_not_hide_the_others(url: MysqlUrl, mariadb: MariaDb) -> None:
    mariadb.execute(
        "ALTER TABLE janus MODIFY janus_id BLOB NULL",
        "INSERT INTO janus VALUES (1, x'67ff77', 'janusws://a'), (2, NULL, 'janusws://b'), (3, 'c', 'janusws://c')",
        database=url.database,
    )
    assert [row.janus_id for row in await JanusTable(url).rows()] == ["g\x1aw", "", "c"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"password": "guess"}, "Access denied for user"),
        ({"password": ""}, "Access denied for user"),
        ({"user": "nobody"}, "Access denied for user"),
        ({"database": "mysql"}, "Access denied for user"),
    ],
)
async def test_what_the_server_refuses(url: MysqlUrl, wrong: dict[str, str], text: str) -> None:
    attempt = replace(url, **wrong)  # type: ignore[arg-type]
    error = await error_of(JanusTable(attempt))
    assert isinstance(error, TableRefused)
    assert str(error).startswith(f"{attempt}: {text}")
    assert "guess" not in str(error)
    assert url.password not in str(error)


async def test_no_such_database(mariadb: MariaDb) -> None:
    error = await error_of(JanusTable(parse_db_url(mariadb.url("nodb", unix=True))))
    assert isinstance(error, TableRefused)
    assert str(error).endswith("Unknown database 'nodb'")


@pytest.mark.parametrize("password", ["p@ss:/w?%rd", "\\é日本", " "])
async def test_any_password_works_escaped(url: MysqlUrl, mariadb: MariaDb, password: str) -> None:
    mariadb.create_user("odd", password.replace("\\", "\\\\"), database=url.database)
    table = JanusTable(parse_db_url(mariadb.url(url.database, user="odd", password=password)))
    assert await table.rows() == []


async def test_the_password_of_a_file_counts_and_is_read_each_time(
    url: MysqlUrl, mariadb: MariaDb, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    table = JanusTable(replace(url, password="wrong"), access=MysqlAccess(password_file=file))
    error = await error_of(table)
    assert str(error).endswith(f"janus_db_password_file {file}: No such file or directory")
    file.write_text(url.password + "\n")
    assert await table.rows() == []
    file.write_bytes(b"\xff")
    assert str(await error_of(table)).endswith("not UTF-8")
    file.write_text("wrong")
    assert "Access denied" in str(await error_of(table))


async def test_a_unix_socket(url: MysqlUrl, mariadb: MariaDb) -> None:
    table = JanusTable(replace(url, host="", port=None, unix_socket=str(mariadb.socket)))
    assert await table.rows() == []
    nowhere = replace(url, host="", port=None, unix_socket="/none/s.sock")
    error = await error_of(JanusTable(nowhere))
    assert not isinstance(error, TableRefused)
    assert str(error) == f"{nowhere}: cannot connect to /none/s.sock: No such file or directory"


@pytest.mark.parametrize("host", ["", "localhost"])
async def test_the_local_server_is_reached_by_its_socket(
    url: MysqlUrl, mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(mariadb.socket))
    assert await JanusTable(replace(url, host=host, port=None)).rows() == []


def test_without_its_socket_the_local_server_is_reached_by_tcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(tmp_path / "none.sock"))
    monkeypatch.setattr(db_mysql, "_LOCAL_SOCKETS", (str(tmp_path),))
    assert db_mysql._local_socket() is None


async def test_a_server_that_is_not_there_may_come_back(url: MysqlUrl, mariadb: MariaDb) -> None:
    table = JanusTable(url)
    mariadb.stop()
    try:
        error = await error_of(table)
    finally:
        mariadb.start()
    assert not isinstance(error, TableRefused)
    assert "Connection refused" in str(error)
    assert await table.rows() == []


async def test_too_many_connections_pass(url: MysqlUrl, mariadb: MariaDb) -> None:
    mariadb.execute(f"ALTER USER '{url.user}'@'%' WITH MAX_CONNECTIONS_PER_HOUR 1")
    table = JanusTable(url)
    assert await table.rows() == []
    error = await error_of(table)
    assert "max_connections_per_hour" in str(error)
    assert not isinstance(error, TableRefused)


async def test_a_frozen_server_costs_one_thread(url: MysqlUrl, mariadb: MariaDb) -> None:
    table, default = JanusTable(url, deadline=HANG_SECONDS), trio.to_thread.current_default_thread_limiter()
    mariadb.freeze()
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(table.rows)
            await trio.testing.wait_all_tasks_blocked()
            assert table.threads.borrowed_tokens == 1
            assert default.borrowed_tokens == 0
            nursery.cancel_scope.cancel()
    finally:
        mariadb.thaw()
    with trio.fail_after(HANG_SECONDS):
        assert await JanusTable(url).rows() == []
        # The thread that was given up ends, too. A limiter has no event to wait for.
        while table.threads.borrowed_tokens:  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_who_asks_a_frozen_server_waits_until_the_deadline_only(url: MysqlUrl, mariadb: MariaDb) -> None:
    table, errors = JanusTable(url, deadline=0.3), list[str]()

    async def attempt() -> None:
        errors.append(str(await error_of(table)))

    mariadb.freeze()
    try:
        with in_time(4):  # one after the other they took 6
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(attempt)
    finally:
        mariadb.thaw()
    assert len(errors) == 20
    assert set(errors) <= {
        f"{url}: no answer within 0.3 s",
        f"{url}: Lost connection to MySQL server during query (timed out)",
    }


@pytest.mark.parametrize("unix", [False, True])
async def test_tls_is_verified_when_asked_for(
    url: MysqlUrl, mariadb: MariaDb, certificates: Certificates, unix: bool
) -> None:
    mariadb.create_user(url.user, url.password, database=url.database, require="SSL")
    tls = Tls(ca=certificates.ca)
    place = replace(url, host="", port=None, unix_socket=str(mariadb.socket)) if unix else url
    assert await JanusTable(place, access=MysqlAccess(tls=tls)).rows() == []


async def test_a_client_certificate(url: MysqlUrl, mariadb: MariaDb, certificates: Certificates) -> None:
    mariadb.create_user(url.user, url.password, database=url.database, require="X509")
    own = Tls(certificates.ca, certificates.client_cert, certificates.client_key)
    assert await JanusTable(url, access=MysqlAccess(tls=own)).rows() == []
    assert "Access denied" in str(await error_of(JanusTable(url, access=MysqlAccess(tls=Tls(certificates.ca)))))


async def test_tls_that_cannot_be_had_is_an_error(url: MysqlUrl, certificates: Certificates, tmp_path: Path) -> None:
    error = await error_of(JanusTable(url, access=MysqlAccess(tls=Tls(ca=certificates.stranger_ca))))
    assert "certificate verify failed" in str(error)
    error = await error_of(JanusTable(url, access=MysqlAccess(tls=Tls(ca=tmp_path / "none.pem"))))
    assert str(error) == f"{url}: db_tls_ca {tmp_path}/none.pem: No such file or directory"
    error = await error_of(JanusTable(url, access=MysqlAccess(tls=Tls(certificates.ca, certificates.client_key))))
    assert str(error).startswith(f"{url}: db_tls_cert {certificates.client_key}, tls_key ")


@pytest.mark.mysql
async def test_no_tls_where_it_is_asked_for_is_an_error(certificates: Certificates) -> None:
    with MariaDb() as plain:
        url = parse_db_url(plain.create_database())
        assert await JanusTable(url).create()
        error = await error_of(JanusTable(url, access=MysqlAccess(tls=Tls(ca=certificates.ca))))
    assert isinstance(error, TableRefused)
    assert "SSL is required" in str(error)


def of_hosts(url: MysqlUrl, *ports: int) -> MysqlUrl:
    """The same database at several ports of this machine."""
    return replace(url, port=ports[0], others=tuple((url.host, port) for port in ports[1:]))


async def test_a_host_that_is_away_is_passed_over(url: MysqlUrl) -> None:
    assert url.port is not None
    table = JanusTable(of_hosts(url, free_port(), url.port))
    assert await table.add("gw1", "janusws://h") == 1
    assert await table.rows() == [TableRow(1, "gw1", "janusws://h")]
    error = await error_of(JanusTable(of_hosts(url, free_port(), free_port())))
    assert str(error).count("Can't connect to MySQL server") == 2
    assert not isinstance(error, TableRefused)


async def test_a_frozen_host_leaves_time_for_the_next(url: MysqlUrl) -> None:
    assert url.port is not None
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        hosts = of_hosts(url, frozen.getsockname()[1], url.port)
        with in_time(HANG_SECONDS), suppress(TableUnavailable):  # on a busy machine it may have been too little
            assert await JanusTable(hosts, deadline=1.5).rows() == []
            return
        with in_time(HANG_SECONDS):
            assert await JanusTable(hosts, deadline=15.0).rows() == []


async def test_a_host_that_takes_no_changes_is_passed_over(url: MysqlUrl, mariadb: MariaDb) -> None:
    assert url.port is not None
    mariadb.execute("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(TableRefused, match="read-only"):
            await JanusTable(url).add("gw1", "janusws://h")
        with pytest.raises(TableUnavailable, match=r"read-only.*Can't connect"):
            await JanusTable(of_hosts(url, url.port, free_port())).add("gw1", "janusws://h")
    finally:
        mariadb.execute("SET GLOBAL read_only = 0")
