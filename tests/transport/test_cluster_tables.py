"""The tables of a cluster, in a real MariaDB and in SQLite: who may change what, and who sees that he may not."""

import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
import trio

from bridge.errors import TableRefused, TableUnavailable, WrongTableVersion
from bridge.protocol.cluster import Life, Node, NodeSession, NodeState, Right
from bridge.protocol.db_url import DbUrl, SqliteUrl, parse_db_url
from bridge.transport import db_mysql_link
from bridge.transport.cluster_db import ClusterDb, DatabaseLink
from bridge.transport.cluster_session_table import SessionTable
from bridge.transport.cluster_tables import NodeTable
from tests.support.deadlines import HANG_SECONDS
from tests.support.galera import Galera
from tests.support.mariadb import MariaDb
from tests.support.node_tables import (
    ACTIVE,
    CLUSTER,
    db_of_either,
    entered,
    found,
    made,
    opened,
    session,
    url_of_either,
)

__all__ = ["db_of_either", "url_of_either"]  # fixtures by being here


async def test_a_life_begins_with_an_epoch_beyond_all_others(db: ClusterDb) -> None:
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    await one.check()
    assert await one.nodes() == []
    assert await one.enter("http://h:1/mi", 1000, None) == 1
    assert await two.enter("http://h:2/mi", 1000, None) is None  # it is taken
    assert await two.enter("http://h:2/mi", 999, None) is None  # it may have been
    assert await two.enter("http://h:2/mi", 1001, None) == 1
    assert await NodeTable(db, CLUSTER + 1, 1).enter("http://h:3/mi", 5, None) == 1
    assert sorted(await one.nodes()) == [(1, "http://h:1/mi", 1000, 1, ACTIVE), (2, "http://h:2/mi", 1001, 1, ACTIVE)]
    seen = await found(one, 1)
    assert await one.enter("http://h:4/mi", 2000, None) is None
    assert await one.enter("http://h:4/mi", 2000, seen._replace(beat=7)) is None
    assert await one.enter("http://h:4/mi", 2000, seen) == 2
    assert await one.enter("http://h:4/mi", 3000, seen) is None
    assert await found(two, 1) == (1, "http://h:4/mi", 2000, 2, ACTIVE)


async def test_a_beat_is_of_one_life_and_of_one_process(db: ClusterDb) -> None:
    table = NodeTable(db, CLUSTER, 1)
    epoch, beat = await entered(table)
    assert await table.beat(epoch, beat, ACTIVE)
    assert not await table.beat(epoch, beat, ACTIVE)
    assert not await table.beat(epoch + 1, beat + 1, ACTIVE)
    assert await table.beat(epoch, beat + 1, NodeState.DRAINING)
    assert await found(table, 1) == (1, "http://127.0.0.1:1/mi", epoch, beat + 2, NodeState.DRAINING)


async def test_a_row_that_is_gone_is_put_back_where_there_is_none(db: ClusterDb) -> None:
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    (epoch, beat), second = await entered(one), await entered(two)
    node = await found(one, 1)
    assert not await one.enter_again(node.url, epoch, beat, ACTIVE)
    await db.visit(lambda link: link.change("DELETE FROM janus_node WHERE node_id = 1"))
    assert await two.take(node, *second) is None
    assert not await one.enter_again(node.url, second[0], beat, ACTIVE)
    assert await one.enter_again(node.url, epoch, beat, NodeState.DRAINING)
    assert await found(two, 1) == node._replace(beat=beat + 1, state=NodeState.DRAINING)
    assert await one.beat(epoch, beat + 1, ACTIVE)


async def test_columns_that_a_later_release_adds_harm_nobody(db: ClusterDb) -> None:
    def add(link: DatabaseLink) -> None:
        for name in ("janus_node", "janus_session"):
            link.change(f"ALTER TABLE {name} ADD COLUMN later INT DEFAULT 7 NOT NULL")

    await db.visit(add)
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    await one.check()
    (epoch, beat), second = await entered(one), await entered(two)
    assert await one.beat(epoch, beat, ACTIVE)
    await SessionTable(db, CLUSTER, 1).write([session(1), session(2)], epoch)
    await db.visit(lambda link: link.change("UPDATE janus_session SET later = 8"))
    assert sorted(await two.take(await found(two, 1), *second) or []) == [session(1), session(2)]
    assert await db.visit(lambda link: link.rows("SELECT later, node_id FROM janus_session")) == [(8, 2), (8, 2)]


async def test_who_takes_over_has_all_sessions_and_nobody_else(db: ClusterDb) -> None:
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    first, (epoch, beat) = await entered(one), await entered(two)
    had = [session(3, "gw-日本"), session(1, managed=True), session(2)]
    await SessionTable(db, CLUSTER, 1).write(had, first[0])
    await SessionTable(db, CLUSTER, 2).write([session(4)], epoch)
    node = await found(two, 1)
    assert await one.beat(*first, ACTIVE)
    assert await two.take(node, epoch, beat) is None  # it beats
    node = await found(two, 1)
    assert await two.take(node, epoch, beat + 1) is None  # who takes is over himself
    assert sorted(await SessionTable(db, CLUSTER, 1).ours()) == had
    assert sorted(await two.take(node, epoch, beat) or []) == had
    assert await two.take(node, epoch, beat + 1) is None
    taken = await found(two, 1)
    assert (taken.state, taken.epoch > epoch, taken.beat) == (NodeState.TAKEN, True, node.beat)
    assert not await one.beat(first[0], first[1] + 1, ACTIVE)
    assert await SessionTable(db, CLUSTER, 1).ours() == []
    assert sorted(await SessionTable(db, CLUSTER, 2).ours()) == [*had, session(4)]
    assert await two.beat(epoch, beat + 1, ACTIVE)
    assert (await entered(one))[0] > taken.epoch


async def test_what_is_written_meanwhile_is_taken_or_refused(mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the moment in which the winner reads the sessions and that in which they move."""
    monkeypatch.setattr(db_mysql_link, "TRANSACTION_IDLE", int(HANG_SECONDS))  # what waits here waits for this test
    url = parse_db_url(mariadb.create_database())
    db, other, dying = await made(url), opened(url), opened(url)
    one, two = NodeTable(dying, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    (first, _), second = await entered(one), await entered(two)
    await SessionTable(other, CLUSTER, 1).write([session(1)], first)
    read, go_on = threading.Event(), threading.Event()
    taken: list[NodeSession] = []

    def stops(link: DatabaseLink) -> None:
        locked = link.locked

        def stop(sql: str, *values: Any) -> list[tuple[Any, ...]]:
            rows = locked(sql, *values)
            read.set()
            assert go_on.wait(HANG_SECONDS)
            return rows

        link.locked = stop  # type: ignore[method-assign]

    async def write() -> None:
        with suppress(TableUnavailable):
            await SessionTable(other, CLUSTER, 1).write([session(2)], first)
        go_on.set()

    await db.visit(stops)

    async def take(task_status: trio.TaskStatus[None]) -> None:
        node = await found(two, 1)
        task_status.started()
        taken.extend(await two.take(node, *second) or [])

    async with trio.open_nursery() as taking:
        await taking.start(take)
        await trio.to_thread.run_sync(read.wait, HANG_SECONDS)
        taking.start_soon(write)
        while not (go_on.is_set() or _waits_for_a_lock(mariadb)):  # noqa: ASYNC110 - the server has no event
            await trio.sleep(0.001)
        go_on.set()
    assert sorted(taken) == sorted(await SessionTable(other, CLUSTER, 2).ours())
    assert await SessionTable(other, CLUSTER, 1).ours() == []
    for each in (db, other, dying):
        each.close()


def _waits_for_a_lock(mariadb: MariaDb) -> bool:
    waiting = "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"
    [(count,)] = mariadb.execute(waiting)
    return bool(count)


async def test_who_is_over_writes_nothing_and_takes_nothing_back(db: ClusterDb) -> None:
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    (first, _), second = await entered(one), await entered(two)
    late = SessionTable(db, CLUSTER, 1)
    await late.write([session(1)], first)
    assert await two.take(await found(two, 1), *second) == [session(1)]
    with pytest.raises(TableUnavailable, match="node 1 has another epoch there"):
        await late.write([session(1), session(2)], first)
    assert await SessionTable(db, CLUSTER, 2).ours() == [session(1)]
    assert await late.ours() == []


async def test_what_is_committed_late_is_taken_by_who_took_the_rest(db: ClusterDb) -> None:
    """As a Galera may, whose hosts certify what the other one has not seen yet."""
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    (first, _), (second, beat) = await entered(one), await entered(two)
    await SessionTable(db, CLUSTER, 1).write([session(1)], first)
    late = f"INSERT INTO janus_session SELECT {CLUSTER}, 2, janus_id, janus_url, 1, 0 FROM janus_session"
    assert await two.take(await found(two, 1), second, beat) == [session(1)]
    over = await found(two, 1)
    assert await two.rest(over, second) == []
    await db.visit(lambda link: link.change(late))
    assert await two.rest(over, second + 9) == []  # who takes is over himself
    assert await two.rest(over, second) == [session(2)]
    assert sorted(await SessionTable(db, CLUSTER, 2).ours()) == [session(1), session(2)]
    await db.visit(lambda link: link.change("UPDATE janus_session SET node_id = 1 WHERE session_id = 2"))
    await entered(one)  # it lives again, and finds it itself
    assert await two.rest(over, second) == []
    assert await SessionTable(db, CLUSTER, 1).ours() == [session(2)]


async def test_what_another_host_of_a_galera_commits_meanwhile_is_taken_in_the_end(galera: Galera) -> None:
    """Whichever of the two is certified first."""
    url = parse_db_url(galera.create_database())
    db = await made(url)
    dying, winning = opened(url.each[0]), opened(url.each[1])
    one, two = NodeTable(dying, CLUSTER, 1), NodeTable(winning, CLUSTER, 2)
    late, ours = SessionTable(dying, CLUSTER, 1), SessionTable(winning, CLUSTER, 2)
    await entered(two)
    for turn in range(10):
        first, _ = await entered(one)
        taken: list[NodeSession] = []
        numbers = range(1000 * turn + 1, 1000 * turn + 1000)

        async def write(numbers: range = numbers, first: int = first) -> None:
            with suppress(TableUnavailable):  # until it is over, in the middle of which it writes
                for number in numbers:
                    await late.write([session(number)], first)

        async def take(taken: list[NodeSession] = taken) -> None:
            await ours.ours()  # in step with the other host
            while (dead := await found(two, 1)).running:
                me = await found(two, 2)
                with suppress(TableUnavailable):
                    taken.extend(await two.take(dead, me.epoch, me.beat) or [])

        async with trio.open_nursery() as both:
            both.start_soon(write)
            both.start_soon(take)
        taken += await two.rest(await found(two, 1), (await found(two, 2)).epoch)
        assert await late.ours() == []
        assert sorted(taken) == sorted(one for one in await ours.ours() if one.session_id in numbers)
    for each in (db, dying, winning):
        each.close()


async def test_what_another_host_of_a_galera_has_committed_is_read_or_nothing(galera: Galera) -> None:
    """Where a host lags behind, an answer as of now waits for it, and does not come."""
    url = parse_db_url(galera.create_database())
    db = await made(url)
    here, there = opened(url.each[0]), opened(url.each[1])
    one, two = NodeTable(here, CLUSTER, 1), NodeTable(there, CLUSTER, 2)
    epoch, beat = await entered(one)
    [seen] = await two.nodes(as_of_now=True)
    lagging = pymysql.connect(unix_socket=str(galera.nodes[1].socket), user="root")
    with closing(lagging), lagging.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        assert await one.beat(epoch, beat, ACTIVE)
        assert await two.nodes() == [seen]
        there.patience = 0.5  # for this alone: what is answered has all the time that a busy machine takes
        with pytest.raises(TableUnavailable, match="no answer within"):
            await two.nodes(as_of_now=True)
    two = NodeTable(db, CLUSTER, 2)
    assert [node.beat for node in await two.nodes(as_of_now=True)] == [beat + 1]
    for each in (db, here, there):
        each.close()


async def test_a_machine_that_dies_in_the_middle_of_a_transaction_keeps_no_lock(
    mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays open, as nobody tells the server."""
    monkeypatch.setattr(db_mysql_link, "TRANSACTION_IDLE", 1)
    url = parse_db_url(mariadb.create_database())
    db, dying = await made(url), opened(url)
    one, two = NodeTable(dying, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    first, second = await entered(one), await entered(two)
    [(usual,)] = await dying.visit(lambda link: link.rows("SELECT @@wait_timeout"))
    assert usual > 1
    await dying.visit(lambda link: link.begin())
    await dying.visit(lambda link: link.change("UPDATE janus_node SET beat = 99 WHERE node_id = 1"))
    assert await two.take(await found(two, 1), *second) == []
    assert (await found(two, 1)).beat == first[1]
    db.close()
    dying.close()


async def test_exactly_one_of_many_takes_over(url: DbUrl) -> None:
    dead = await made(url)
    epoch, _ = await entered(NodeTable(dead, CLUSTER, 1))
    await SessionTable(dead, CLUSTER, 1).write([session(1)], epoch)
    peers = [NodeTable(opened(url), CLUSTER, node_id) for node_id in range(2, 7)]
    lives = [await entered(peer) for peer in peers]
    node = await found(peers[0], 1)
    won: list[int] = []

    async def take(number: int) -> None:
        try:
            if await peers[number].take(node, *lives[number]) is not None:
                won.append(number)
        except TableUnavailable:  # a deadlock: it did not
            pass

    async with trio.open_nursery() as nursery:
        for number in range(len(peers)):
            nursery.start_soon(take, number)
    assert len(won) == 1
    assert await SessionTable(dead, CLUSTER, won[0] + 2).ours() == [session(1)]
    for table in peers:
        table._db.close()
    dead.close()


async def test_a_release_is_of_one_life_and_can_be_taken_at_once(db: ClusterDb) -> None:
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    first, second = await entered(one), await entered(two)
    assert not await one.release(first[0] + 5)
    assert await one.release(first[0])
    assert not await one.release(first[0])
    node = await found(two, 1)
    assert node == (1, "http://127.0.0.1:1/mi", *first, NodeState.OVER)
    assert not node.running
    assert await two.take(node, *second) == []
    assert not await one.release(first[0])
    assert (await found(two, 1)).state is NodeState.TAKEN
    assert await two.release(second[0], NodeState.TAKEN)  # it has none left
    assert (await found(one, 2)).state is NodeState.TAKEN


async def test_sessions_come_and_go(db: ClusterDb) -> None:
    one, two = SessionTable(db, CLUSTER, 1), SessionTable(db, CLUSTER, 2)
    first, _ = await entered(NodeTable(db, CLUSTER, 1))
    second, _ = await entered(NodeTable(db, CLUSTER, 2))
    many = [session(number) for number in range(1, 402)]
    await one.write(many, first)
    await one.write([*many[:2], session(1, "GW1"), NodeSession("gw1", "janusws://other", 3, True)], first)
    found = await one.ours()
    assert len(found) == 402
    assert NodeSession("gw1", "janusws://other", 3, True) in found
    # A claimed one, and the largest that Janus takes.
    assert await two.write([session(5), session(2**63 - 1)], second, Right(anybody=True)) == []
    await one.end(many)
    assert await one.ours() == [session(1, "GW1")]
    assert sorted(await two.ours()) == [session(5), session(2**63 - 1)]
    await one.write([], first)
    await one.end([])


async def test_a_row_of_another_node_is_not_taken_without_a_right(db: ClusterDb) -> None:
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    (first, _), (second, _) = await entered(one), await entered(two)
    ones, twos = SessionTable(db, CLUSTER, 1), SessionTable(db, CLUSTER, 2)
    assert await ones.write([session(number) for number in range(1, 302)], first) == []
    mixed = [session(1), session(300), session(400)]
    assert await twos.write(mixed, second) == mixed[:2]
    assert await twos.write(mixed[:1], second) == mixed[:1]
    assert await twos.write(mixed, second, Right(Life(1, second))) == mixed[:2]  # another life gave them, or none
    assert await twos.write(mixed, second, Right(Life(3, first))) == mixed[:2]
    assert await twos.ours() == [session(400)]
    assert await twos.write(mixed, second, Right(Life(1, first))) == []
    assert await twos.write(mixed, second, Right(Life(1, first))) == []  # the answer was lost
    assert sorted(await twos.ours()) == sorted(mixed)
    assert await ones.write(mixed, first) == mixed  # written late
    assert len(await ones.ours()) == 299


async def test_without_the_tables_it_says_so(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    db = opened(SqliteUrl(str(file)))
    with pytest.raises(WrongTableVersion, match="no 'version' table with a version for table 'janus_node'"):
        await NodeTable(db, CLUSTER, 1).check()
    with pytest.raises(TableUnavailable, match="no such table: janus_node"):
        await NodeTable(db, CLUSTER, 1).nodes()
    db.close()


@pytest.mark.parametrize("refused", [False, True])
async def test_the_word_of_db_init_is_for_tables_that_are_missing(tmp_path: Path, refused: bool) -> None:
    url = SqliteUrl(str(tmp_path / "cluster.db"))
    db = await made(url)
    wrong = "ALTER TABLE janus_session RENAME COLUMN managed TO other" if refused else "DROP TABLE janus_session"
    await db.visit(lambda link: link.rows(wrong))
    with pytest.raises(TableRefused) as told:
        await NodeTable(db, CLUSTER, 1).check()
    if refused:
        assert str(told.value) == f"{url}: table 'janus_session': no such column: managed"
    else:
        hint = "(janus-bridge db init makes the tables of the cluster)"
        assert str(told.value) == f"{url}: no such table: janus_session {hint}"
    db.close()


async def test_rows_that_were_edited_by_hand_are_left_alone(db: ClusterDb, caplog: pytest.LogCaptureFixture) -> None:
    columns = "cluster_id INT, node_id INT, url VARCHAR(99), state INT, epoch INT, beat INT"
    rows = ["(7, 2, NULL, NULL, 4, 1)", "(7, 3, 'u', 1, NULL, 1)", "(7, 4, 'u', 1, 8, 1)", "(7, 4, 'u', 1, 9, 1)"]

    def edit(link: DatabaseLink) -> None:
        link.rows("DROP TABLE janus_node")
        link.rows(f"CREATE TABLE janus_node ({columns})")
        link.change(f"INSERT INTO janus_node VALUES {', '.join(rows)}")

    await db.visit(edit)
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    await one.check()
    assert await one.nodes() == [Node(2, "", 4, 1, NodeState.TAKEN)]
    assert await one.nodes() == await two.nodes()
    own = await entered(one)
    assert own == (10, 1)  # larger than any, also of rows that are no good
    assert await one.take(await found(one, 2), *own) == []
    told = [record.getMessage() for record in caplog.records]
    assert sorted(set(told)) == sorted(
        f"janus_node: {fault}; the row is ignored: correct or delete it in SQL"
        for fault in (
            "2 rows have the node_id 4",
            "a row of node 3 has the epoch NULL, which is no whole number from 0 to 9007199254740990",
        )
    )
    assert len(told) == 4  # each table once
    for node_id, fault in ((3, "a row of node 3 has the epoch NULL"), (4, "2 rows have the node_id 4")):
        with pytest.raises(TableRefused, match=f"janus_node: {fault}"):
            await NodeTable(db, CLUSTER, node_id).nodes()


async def test_a_state_that_is_none_is_nobody_s_to_take_and_ends_with_the_next_life(db: ClusterDb) -> None:
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    first, _ = await entered(one), await entered(two)
    await db.visit(lambda link: link.change("UPDATE janus_node SET state = 9"))
    seen = await found(one, 1)
    assert (seen.epoch, seen.state) == (first[0], NodeState.TAKEN)
    newest = max(node.epoch for node in await one.nodes())
    assert await one.enter("http://h:1/mi", newest + 1, seen) is not None
    assert (await found(two, 1)).state is ACTIVE
