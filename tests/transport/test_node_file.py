"""node.json: what a node knows of itself over a restart, and what it makes of a file that is none."""

import json
import stat
from pathlib import Path

import pytest

from bridge.protocol.cluster import Node, NodeState
from bridge.transport.node_file import NodeFile

NODES = [Node(1, "http://h:1/mi", 1795363200001, 7, NodeState.ACTIVE), Node(2, "http://h:2/mi", 5, 9, NodeState.TAKEN)]


def loaded(folder: Path, cluster_id: int = 7, node_id: int = 1) -> NodeFile:
    file = NodeFile(folder, cluster_id, node_id)
    file.load()
    return file


async def test_what_is_kept_is_known_again(tmp_path: Path) -> None:
    assert (loaded(tmp_path).epochs, loaded(tmp_path).nodes) == ((), None)
    await NodeFile(tmp_path, 7, 1).keep([4, 1795363200001], NODES)
    assert stat.S_IMODE((tmp_path / "node.json").stat().st_mode) == 0o600
    again = loaded(tmp_path)
    assert again.epochs == [4, 1795363200001]
    assert again.nodes == [one._replace(beat=0) for one in NODES]  # beats are of the moment


async def test_another_node_s_file_says_nothing(tmp_path: Path) -> None:
    await NodeFile(tmp_path, 7, 1).keep([4], NODES)
    assert loaded(tmp_path, 7, 2).epochs == loaded(tmp_path, 8, 1).epochs == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"node": [7, 1]}',
        b'{"node": [7, 1], "epochs": 5, "nodes": []}',
        b'{"node": [7, 1], "epochs": [1e999], "nodes": []}',
    ],
)
def test_a_damaged_file_is_told_and_left_alone(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "node.json"
    path.write_bytes(content)
    assert (loaded(tmp_path).epochs, loaded(tmp_path).nodes) == ((), None)
    assert "the file is damaged" in caplog.text
    assert path.read_bytes() == content


def test_a_state_that_is_none_is_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "node.json").write_text(json.dumps({"node": [7, 1], "epochs": [1], "nodes": [[2, "u", 1, 9]]}))
    assert loaded(tmp_path).epochs == ()
    assert "damaged" in caplog.text


async def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "node.json").mkdir()
    file = loaded(tmp_path)
    assert "is watched until it stands still" in caplog.text
    await file.keep([5], [])
    assert "cannot be written" in caplog.text
    assert file.epochs == [5]
