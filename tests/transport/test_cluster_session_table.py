"""Sessions by pages: of any number, in a real MariaDB and in SQLite. Who may write which is in test_cluster_tables."""

import pytest

from bridge.transport import cluster_session_table
from bridge.transport.cluster_db import ClusterDb
from bridge.transport.cluster_session_table import SessionTable
from bridge.transport.cluster_tables import NodeTable
from tests.support.node_tables import CLUSTER, db_of_either, entered, found, session, url_of_either

__all__ = ["db_of_either", "url_of_either"]  # fixtures by being here

PAGE = 3


@pytest.fixture(autouse=True)
def page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_session_table, "PAGE", PAGE)


async def test_a_take_over_of_many_goes_by_pages(db: ClusterDb) -> None:
    one, two, three = (NodeTable(db, CLUSTER, number) for number in (1, 2, 3))
    (first, _), (second, beat), (third, _) = await entered(one), await entered(two), await entered(three)
    had = [session(number) for number in range(1, 9)] + [session(3, "gw2"), session(3, "gw3")]
    others = [session(2, "gw9"), session(20)]
    await SessionTable(db, CLUSTER, 1).write(had, first)
    await SessionTable(db, CLUSTER, 3).write(others, third)
    pages = [await two.take(await found(one, 1), second, beat) or []]
    over = await found(two, 1)
    while pages[-1]:
        assert await SessionTable(db, CLUSTER, 3).ours() == sorted(others, key=lambda one: one.session_id)
        pages.append(await two.rest(over, second))
    assert [len(some) for some in pages] == [PAGE, PAGE, PAGE, 1, 0]
    assert sorted(one for some in pages for one in some) == sorted(had)
    assert sorted(await SessionTable(db, CLUSTER, 2).ours()) == sorted(had)
    assert await SessionTable(db, CLUSTER, 1).ours() == []


@pytest.mark.parametrize("count", [0, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
async def test_all_that_we_have_is_read_by_pages(db: ClusterDb, count: int) -> None:
    epoch, _ = await entered(NodeTable(db, CLUSTER, 1))
    had = [session(2**50 + number // 2, f"gw{number % 2}") for number in range(count)]  # of one id, at two gateways
    table = SessionTable(db, CLUSTER, 1)
    await table.write(had, epoch)
    assert await table.ours() == had
