"""The tables of a cluster, in a real MariaDB and in SQLite: who may change what, and who sees that he may not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from bridge.errors import TableUnavailable, WrongTableVersion
from bridge.protocol.cluster import NodeSession, NodeState
from bridge.protocol.db_url import DbUrl, SqliteUrl, parse_db_url
from bridge.transport.cluster_db import ClusterDb
from bridge.transport.cluster_tables import NodeTable, SessionTable
from tests.support.node_tables import ACTIVE, CLUSTER, entered, found, made, opened, session


@pytest.fixture(params=[pytest.param("mysql", marks=pytest.mark.mysql), "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> DbUrl:
    if request.param == "sqlite":
        return SqliteUrl(str(tmp_path / "cluster.db"))
    return parse_db_url(request.getfixturevalue("mariadb").create_database())


@pytest.fixture
async def db(url: DbUrl) -> AsyncIterator[ClusterDb]:
    db = await made(url)
    yield db
    db.close()


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


async def test_who_takes_over_has_all_sessions_and_nobody_else(db: ClusterDb) -> None:
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    first, (epoch, beat) = await entered(one), await entered(two)
    had = [session(3, "gw-日本"), session(1, managed=True), session(2)]
    await SessionTable(db, CLUSTER, 1).write(had)
    await SessionTable(db, CLUSTER, 2).write([session(4)])
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


async def test_exactly_one_of_many_takes_over(url: DbUrl) -> None:
    dead = await made(url)
    await entered(NodeTable(dead, CLUSTER, 1))
    await SessionTable(dead, CLUSTER, 1).write([session(1)])
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
    many = [session(number) for number in range(1, 402)]
    await one.write(many)
    await one.write([*many[:2], session(1, "GW1"), NodeSession("gw1", "janusws://other", 3, True)])
    found = await one.ours()
    assert len(found) == 402
    assert NodeSession("gw1", "janusws://other", 3, True) in found
    await two.write([session(5), session(2**63 - 1)])  # a claimed one, and the largest that Janus takes
    await one.end(many)
    assert await one.ours() == [session(1, "GW1")]
    assert sorted(await two.ours()) == [session(5), session(2**63 - 1)]
    await one.write([])
    await one.end([])


async def test_without_the_tables_it_says_so(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    db = opened(SqliteUrl(str(file)))
    with pytest.raises(WrongTableVersion, match="no 'version' table with a version for table 'janus_node'"):
        await NodeTable(db, CLUSTER, 1).check()
    with pytest.raises(TableUnavailable, match="no such table: janus_node"):
        await NodeTable(db, CLUSTER, 1).nodes()
    db.close()


async def test_a_state_that_is_none_is_nobody_s_to_take_and_ends_with_the_next_life(db: ClusterDb) -> None:
    one, two = NodeTable(db, CLUSTER, 1), NodeTable(db, CLUSTER, 2)
    first, _ = await entered(one), await entered(two)
    await db.visit(lambda link: link.change("UPDATE janus_node SET state = 9"))
    seen = await found(one, 1)
    assert (seen.epoch, seen.state) == (first[0], NodeState.TAKEN)
    newest = max(node.epoch for node in await one.nodes())
    assert await one.enter("http://h:1/mi", newest + 1, seen) is not None
    assert (await found(two, 1)).state is ACTIVE
