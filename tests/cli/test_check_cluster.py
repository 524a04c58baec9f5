"""What ``check`` says of a cluster: on real databases, and of what a Janus says of itself."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.__main__ import main
from bridge.cli.check_cluster import of_gateway, of_peers, suspect_timeout
from bridge.config import load
from bridge.core.mi import Command, MiRequest, Registry
from bridge.protocol.caller import Role
from bridge.protocol.cluster import ALIVE, Node, NodeState
from bridge.protocol.recipe import Parameter
from bridge.transport.http_access import LOOPBACK, Access
from tests.support.galera import Galera
from tests.support.http_peer import serve
from tests.support.mariadb import MariaDb
from tests.support.ports import free_port
from tests.support.tables import mariadb_table, sqlite_table

CLUSTER = {"cluster_id": 1, "my_node_id": 1, "my_node_url": '"http://127.0.0.1:8889/mi"'}
Said = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """``said("check", url, node_timeout=10)``: levels and texts of the lines about the cluster."""

    def run(word: str, url: str, **settings: Any) -> list[tuple[str, str]]:
        options = [f'state.dir="{tmp_path}/state"', f'janus.janus_db_url="{url}"']
        options += [f"cluster.{name}={value}" for name, value in {**CLUSTER, **settings}.items()]
        words = ["db", "init"] if word == "init" else [word, "--json"]
        main([*words, *(part for option in options for part in ("-o", option))])
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        return [(line["level"], line["text"]) for line in lines if line["where"] == "[cluster]"]

    return run


def test_tables_that_are_not_there_and_then_are(said: Said, tmp_path: Path) -> None:
    url = sqlite_table(tmp_path / "site.db", {})
    [(level, text)] = said("check", url)
    assert level == "error"
    assert "janus_node" in text
    assert text.endswith("(janus-bridge db init makes the tables of the cluster)")
    said("init", url)
    assert said("check", url) == [("ok", f"{url} janus_node, version 1: no node yet")]
    with closing(sqlite3.connect(tmp_path / "site.db")) as db:
        db.execute("INSERT INTO janus_node VALUES (1, 2, 'http://h/mi', 1, 'x', 1), (1, 3, 'http://i/mi', 1, 5, 5)")
        db.commit()
    [known, (level, text)] = said("check", url)
    assert known == ("ok", f"{url} janus_node, version 1: nodes 3 at http://i/mi")
    assert level == "error"
    assert text.startswith("janus_node: a row of node 2 has the epoch 'x'")


def test_a_database_that_is_no_galera_sets_no_time(said: Said, mariadb: MariaDb) -> None:
    url = mariadb_table(mariadb, {})
    said("init", url)
    [(level, text)] = said("check", url)
    assert (level, text.rpartition(" janus_node")[2]) == ("ok", ", version 1: no node yet")


def test_a_galera_that_stands_still_for_longer_than_a_bridge_may(said: Said, galera: Galera) -> None:
    url = mariadb_table(galera, {})
    said("init", url)
    words = "when a node of this Galera dies, nothing is committed for up to 2.7 s (evs.suspect_timeout)"
    assert said("check", url)[1:] == [("ok", f"{words}; node_timeout 10 s is longer")]
    assert said("check", url, node_timeout=3, ping_interval=0.5)[1:] == [
        ("warning", f"{words}: bridges would be taken over that live; node_timeout must be at least 3.4 s")
    ]


@pytest.mark.parametrize(
    ("provider", "seconds"),
    [
        ("base_port = 4567; evs.suspect_timeout = PT5S; evs.user_send_window = 2;", 5.0),
        ("evs.suspect_timeout = PT0.5S", 0.5),
        ("evs.suspect_timeout = PT1M30S", 90.0),
        ("", None),
    ],
)
def test_the_time_of_a_galera(provider: str, seconds: float | None) -> None:
    assert suspect_timeout(provider) == seconds


def test_fences_and_whether_sessions_wait(tmp_path: Path) -> None:
    secret = 'janus.gateways.gw1.token_secret="s"'
    options = [f'state.dir="{tmp_path}"', 'janus.janus_db_url="sqlite:///s.db"']
    options += [f"cluster.{name}={value}" for name, value in CLUSTER.items()]

    def levels(*more: str, reclaim: int) -> list[str]:
        config = load(None, [*options, *more], {})
        return [
            f"{level}: {text}"[:32] for level, text in of_gateway(config, "gw1", {"reclaim-session-timeout": reclaim})
        ]

    assert levels(reclaim=60) == ["ok: fence: the bridge's own beat;"[:32]]
    assert levels(secret, reclaim=60) == ["ok: fences: the bridge's own beat, and Janus"[:32]]
    assert levels(reclaim=19)[1:] == ["warning: reclaim-session-timeout 19 s"[:32]]
    assert levels(reclaim=20)[1:] == levels(reclaim=0)[1:] == []  # of 0 check warns anyway
    assert list(of_gateway(load(None, options[:2], {}), "gw1", {})) == []


async def test_what_the_others_answer(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Each as the table has it: one that answers, one of another token, one whose URL was copied, one that is away."""

    def alive(call: MiRequest) -> Any:
        return {"word": "alive", "node_id": 2, "cluster_id": 1}

    asked = Parameter("node_id", "int"), Parameter("epoch", "int"), Parameter("asked", "int")
    registry = Registry()
    registry.add(Command(ALIVE, "x:alive", (asked,), alive, "", "x", Role.EVERYTHING))
    ours, theirs = [
        (await serve(nursery, registry.dispatch, Access(LOOPBACK, token))).port for token in ("s3cret", "other")
    ]
    options = [f'state.dir="{tmp_path}"', 'janus.janus_db_url="sqlite:///s.db"', 'cluster.token="s3cret"']
    config = load(None, [*options, *(f"cluster.{name}={value}" for name, value in CLUSTER.items())], {})
    ports = [free_port(), ours, theirs, ours, free_port()]
    nodes = [
        Node(number, f"http://127.0.0.1:{port}/mi", 1, 1, NodeState.ACTIVE) for number, port in enumerate(ports, 1)
    ]
    found = [(level, text.replace(str(nodes[1].url), "URL")) for level, text in await of_peers(config, nodes)]
    assert [level for level, _ in found] == ["ok", "error", "error", "warning"]
    assert [text for _, text in found[::2]] == [
        "node 2 at URL answers",
        "node 4 at URL: that MI is of node 2 of cluster 1; give each bridge a [cluster] my_node_url of its own",
    ]
    assert "does not answer as a peer" in found[1][1]
    assert "401 Unauthorized" in found[1][1]
    assert "[cluster] token here has to be its [mi] token" in found[1][1]
    assert found[3][1].startswith(f"node 5 at {nodes[4].url} does not answer: ")
    assert "s3cret" not in str(found)
