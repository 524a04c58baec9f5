"""A connection that is kept: what becomes of it when the server closes it, hangs, or is another one."""

from dataclasses import replace

import pytest
import trio

from bridge.errors import TableRefused, TableUnavailable
from bridge.protocol.db_url import MysqlUrl, parse_db_url
from bridge.transport.cluster_db import ClusterDb, DatabaseLink
from bridge.transport.db import Database
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.mariadb import MariaDb
from tests.support.node_tables import opened
from tests.support.ports import free_port


@pytest.fixture
def url(mariadb: MariaDb) -> MysqlUrl:
    url = parse_db_url(mariadb.create_database())
    assert isinstance(url, MysqlUrl)
    return url


def connection_id(link: DatabaseLink) -> int:
    [(number,)] = link.rows("SELECT CONNECTION_ID()")
    assert isinstance(number, int)
    return number


async def test_it_is_kept(url: MysqlUrl) -> None:
    db = opened(url)
    assert await db.visit(connection_id) == await db.visit(connection_id)
    db.close()
    db.close()


async def test_a_transaction_that_is_left_is_undone_and_so_is_the_connection(url: MysqlUrl) -> None:
    db = opened(url)
    await db.visit(lambda link: link.change("CREATE TABLE t (a INT)"))
    first = await db.visit(connection_id)

    def broken(link: DatabaseLink) -> None:
        link.begin()
        link.change("INSERT INTO t VALUES (1)")
        link.rows("SELECT nonsense")

    with pytest.raises(TableUnavailable, match="nonsense"):
        await db.visit(broken)
    assert await db.visit(lambda link: link.rows("SELECT * FROM t")) == []
    assert await db.visit(connection_id) != first
    db.close()


async def test_one_that_the_server_closed_is_no_failure_of_what_may_be_done_twice(
    url: MysqlUrl, mariadb: MariaDb
) -> None:
    db = opened(url)
    mariadb.execute(f"KILL {await db.visit(connection_id)}")
    await db.visit(connection_id, again=True)
    mariadb.execute(f"KILL {await db.visit(connection_id)}")
    with pytest.raises(TableUnavailable):
        await db.visit(connection_id)
    await db.visit(connection_id)
    db.close()


async def test_a_visit_ends_in_time_and_the_next_one_is_free(url: MysqlUrl) -> None:
    db = opened(url)
    first = await db.visit(connection_id)
    db.patience = 0.05
    with in_time(HANG_SECONDS), pytest.raises(TableUnavailable) as caught:
        await db.visit(lambda link: link.rows("SELECT SLEEP(60)"))
    assert str(caught.value) == f"{url}: no answer within 0.05 s"
    db.patience = HANG_SECONDS
    assert await db.visit(connection_id) != first
    db.close()


async def test_a_visit_that_is_left_gives_no_connection_back(url: MysqlUrl) -> None:
    db = opened(url)
    first = await db.visit(connection_id)
    with trio.move_on_after(0.05):
        await db.visit(lambda link: link.rows("SELECT SLEEP(60)"))
    assert await db.visit(connection_id) != first
    db.close()


async def test_an_error_names_the_database_less_its_password(url: MysqlUrl) -> None:
    db = opened(replace(url, user="nobody", password="guess"))
    with pytest.raises(TableRefused) as caught:
        await db.visit(connection_id)
    assert str(caught.value).startswith(f"mysql://nobody:***@{url.place}/{url.database}: ")
    assert "Access denied" in str(caught.value)
    assert "guess" not in str(caught.value)
    db.close()


async def test_the_next_host_is_asked_when_one_is_away(url: MysqlUrl) -> None:
    assert url.port is not None
    both = MysqlUrl(url.host, free_port(), url.database, url.user, url.password, others=((url.host, url.port),))
    db = opened(both)
    await db.visit(connection_id)
    with pytest.raises(TableUnavailable, match="nonsense"):
        await db.visit(lambda link: link.rows("SELECT nonsense"))
    await db.visit(connection_id)
    db.close()


async def test_a_statement_may_take_the_whole_visit_and_a_connect_its_share(url: MysqlUrl) -> None:
    db = ClusterDb(Database(url, deadline=1.0), HANG_SECONDS)
    await db.visit(lambda link: link.rows("SELECT SLEEP(1.1)"))
    db.close()
