"""``janus-bridge cluster``: what it shows, and what ``release`` says in the database when a process is over."""

import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.__main__ import main
from tests.support.bridge import Bridge
from tests.support.bridge_cluster import ClusterBed
from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port
from tests.support.receivers import udp_receiver
from tests.support.tables import sqlite_table

pytestmark = pytest.mark.program


@pytest.fixture
def bridges(tmp_path: Path) -> Iterator[list[Bridge]]:
    url = sqlite_table(tmp_path / "site.db", {})
    with udp_receiver() as events, ClusterBed(tmp_path, url, 2, events) as bed:
        yield bed.bridges


def options(bridge: Bridge) -> list[str]:
    names = ("state.dir", "janus.janus_db_url", "cluster.my_node_url")
    words = [f'{name}="{bridge.options[name]}"' for name in names]
    words += [f"cluster.{name}={bridge.options[f'cluster.{name}']}" for name in ("cluster_id", "my_node_id")]
    return [word for option in words for word in ("-o", option)]


def test_both_are_shown_and_one_that_died_until_it_is_taken_over(
    bridges: list[Bridge], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = bridges
    url = second.mi_url

    def states() -> list[str]:
        main(["cluster", "--url", url, "--json"])
        return [node["state"] for node in json.loads(capsys.readouterr().out)["Nodes"]]

    while states() != ["active", "active"]:
        pass
    assert main(["cluster", "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NODE", "STATE", "BEAT", "EPOCH", "URL"]
    assert [line.split()[:2] for line in lines[1:]] == [["1", "active"], ["2", "(this"]]
    assert main(["cluster", "release", *options(first)]) == 2  # it lives
    assert "another janus-bridge is running with it" in capsys.readouterr().err
    knows = Path(str(first.options["state.dir"]), "node.json")
    while str(second.options["cluster.my_node_url"]) not in knows.read_text():  # else nobody is told
        pass
    first.kill()
    nowhere = 'janus.janus_db_url="sqlite:////nonexistent/site.db"'
    assert main(["cluster", "release", *options(first), "-o", nowhere]) == 2
    while states() != ["taken", "active"]:  # it was told before the database
        pass
    assert main(["cluster", "--url", url]) == 1
    capsys.readouterr()
    assert main(["cluster", "release", *options(first)]) == 0  # once is enough
    assert capsys.readouterr().out == ""
    second.kill()
    assert main(["cluster", "release", *options(second)]) == 0  # nobody is left to be told
    assert capsys.readouterr().out.startswith("node 2 of cluster 1: epoch ")


def test_release_waits_for_no_peer_that_hangs_or_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.cli.cluster.TELLING", 0.02)
    (tmp_path / "state").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        urls = [f"http://127.0.0.1:{port}/mi" for port in (mute.getsockname()[1], free_port())]
        nodes = [[number, url, number, 1] for number, url in enumerate([*urls, "no URL at all"], 2)]
        (tmp_path / "state/node.json").write_text(json.dumps({"node": [1, 1], "epochs": [7], "nodes": nodes}))
        url = sqlite_table(tmp_path / "site.db", {})
        words = [
            f'state.dir="{tmp_path / "state"}"',
            f'janus.janus_db_url="{url}"',
            'cluster.my_node_url="http://127.0.0.1:1/mi"',
            *("cluster.cluster_id=1", "cluster.my_node_id=1"),
        ]
        given = [word for one in words for word in ("-o", one)]
        assert main(["db", "init", *given]) == 0
        with sqlite3.connect(tmp_path / "site.db") as table:
            table.execute("INSERT INTO janus_node (cluster_id, node_id, url, state, epoch, beat) VALUES (1,1,'',1,7,1)")
        capsys.readouterr()
        assert main(["cluster", "release", *given]) == 0
    assert capsys.readouterr().out == "node 1 of cluster 1: epoch 7 is over\n"


def test_a_copied_configuration_does_not_start(bridges: list[Bridge], tmp_path: Path) -> None:
    first, _ = bridges
    words = options(first)
    words[1] = f'state.dir="{tmp_path / "copy"}"'
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "run", *words, "-o", 'mi.http=["127.0.0.1:0"]'],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert f"node 1 of cluster 1 is another running bridge (its MI is {first.mi_url})" in last
    assert "the bridge does not start" in last
    assert main(["cluster", "--url", first.mi_url]) == 0


def test_without_a_cluster_there_is_nothing_to_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "release", "-o", f'state.dir="{tmp_path}"']) == 0
    assert capsys.readouterr().out == ""


def test_a_bridge_that_is_alone_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Bridge(tmp_path) as bridge:
        assert main(["cluster", "--url", bridge.mi_url]) == 1
    assert capsys.readouterr().err.startswith("janus-bridge: 503 No cluster: ")
