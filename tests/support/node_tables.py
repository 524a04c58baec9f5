"""A database of a cluster, as nodes see it: a new one in MariaDB or SQLite, with its tables.

db = await made(parse_db_url(mariadb.create_database()))
nodes = NodeTable(db, CLUSTER, 1)

A module that imports ``url_of_either`` and ``db_of_either`` has the fixtures ``url`` and ``db``, of both in turn.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.protocol.cluster import Node, NodeSession, NodeState
from bridge.protocol.db_url import DbUrl, SqliteUrl, parse_db_url
from bridge.transport.cluster_db import ClusterDb
from bridge.transport.cluster_tables import ClusterTables, NodeTable
from bridge.transport.db import Database
from tests.support.deadlines import HANG_SECONDS

CLUSTER = 7


@pytest.fixture(name="url", params=[pytest.param("mysql", marks=pytest.mark.mysql), "sqlite"])
def url_of_either(request: pytest.FixtureRequest, tmp_path: Path) -> DbUrl:
    if request.param == "sqlite":
        return SqliteUrl(str(tmp_path / "cluster.db"))
    return parse_db_url(request.getfixturevalue("mariadb").create_database())


@pytest.fixture(name="db")
async def db_of_either(url: DbUrl) -> AsyncIterator[ClusterDb]:
    db = await made(url)
    yield db
    db.close()


async def made(url: DbUrl) -> ClusterDb:
    """A connection to a database that has the tables now."""
    assert await ClusterTables("version").create(Database(url))
    return opened(url)


def opened(url: DbUrl, patience: float = HANG_SECONDS) -> ClusterDb:
    """One more connection to it."""
    return ClusterDb(Database(url, deadline=patience), patience)


async def entered(table: NodeTable, url: str = "http://127.0.0.1:1/mi") -> tuple[int, int]:
    """Begin a life of this table's node; its epoch and beat."""
    nodes = await table.nodes()
    seen = next((node for node in nodes if node.node_id == table.node_id), None)
    epoch = 1 + table.newest
    beat = await table.enter(url, epoch, seen)
    assert beat is not None
    return epoch, beat


async def found(table: NodeTable, node_id: int) -> Node:
    """That node as the table has it."""
    [node] = [node for node in await table.nodes() if node.node_id == node_id]
    return node


def session(number: int, janus_id: str = "gw1", *, managed: bool = False) -> NodeSession:
    return NodeSession(janus_id, "janusws://127.0.0.1", number, managed)


ACTIVE = NodeState.ACTIVE
