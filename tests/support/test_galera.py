"""The Galera of the tests is one: what is committed on a node is on all, and without a majority nothing is."""

import pymysql
import pytest

from tests.support.galera import NODES, Galera


def test_a_node_that_dies_leaves_a_majority_and_comes_back(galera: Galera) -> None:
    name = galera.create_database().rpartition("/")[2]
    first, *others = galera.nodes
    first.execute("CREATE TABLE t (n INT PRIMARY KEY)", database=name)
    first.kill()
    galera.execute("INSERT INTO t VALUES (1)", database=name)
    galera.heal()
    assert [node.synced for node in galera.nodes] == [NODES] * NODES
    assert first.execute("SET SESSION wsrep_sync_wait = 1", "SELECT n FROM t", database=name) == [(1,)]
    for node in others:
        node.freeze()
    while first.synced:
        pass
    with pytest.raises(pymysql.OperationalError, match="1047"):
        first.execute("INSERT INTO t VALUES (2)", database=name)
