"""Epochs: larger at each start, never one twice."""

import os
from pathlib import Path

import pytest

from bridge.protocol.cluster import MOST_NODES
from bridge.protocol.event_record import LARGEST
from bridge.transport.epoch import take_epoch
from bridge.transport.private_file import replace_file

NOW = 1_800_000_000.5  # unix seconds


def test_it_is_the_clock_s_and_one_more_where_that_is_not_ahead(tmp_path: Path) -> None:
    file = tmp_path / "epoch"
    assert [take_epoch(file, lambda: NOW - 60), take_epoch(file, lambda: NOW - 30)] == [
        1_799_999_940_500,
        1_799_999_970_500,
    ]
    assert [take_epoch(file, lambda: NOW) for _ in range(3)] == [1_800_000_000_500 + n for n in range(3)]
    assert file.read_bytes() == b"1800000000502\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_it_is_on_the_disk_with_its_name_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    take_epoch(tmp_path / "epoch")
    assert [Path(name).parent for name in synced] == [tmp_path, tmp_path.parent]  # the new file, then its folder


@pytest.mark.parametrize(
    "content", [b"", b"x", b"-1", b"0", b"1.5", b"\xff", b"1\x00", b"9" * 64, str(LARGEST).encode()]
)
def test_a_damaged_file_is_told_and_its_epochs_are_left_behind(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "epoch"
    file.write_bytes(content)
    assert take_epoch(file, lambda: NOW) == 1_800_000_000_500
    assert caplog.messages == [f"{file}: the file is damaged; events are numbered from the clock on"]
    assert take_epoch(file, lambda: NOW) == 1_800_000_000_501


def test_a_lost_file_is_beyond_all_that_were_used(tmp_path: Path) -> None:
    file = tmp_path / "epoch"
    used = [take_epoch(file, lambda: NOW) for _ in range(9)]
    file.unlink()
    assert take_epoch(file, lambda: NOW + 0.01) > max(used)


def test_what_cannot_be_kept_is_not_used_again_and_none_goes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A start with a full disk leaves the file at the start before it."""
    file = tmp_path / "gone" / "epoch"
    assert take_epoch(file, lambda: NOW) == 1_800_000_000_500
    words = "cannot be written: No such file or directory; the epoch of this start, 1800000000500, is not kept"
    assert words in caplog.messages[0]
    file.parent.mkdir()
    replace_file(file, b"7\n")
    assert take_epoch(file, lambda: NOW + 1) == 1_800_000_001_500


def test_a_clock_that_was_set_back_repeats_nothing(tmp_path: Path) -> None:
    file = tmp_path / "epoch"
    assert take_epoch(file, lambda: NOW) == 1_800_000_000_500
    assert take_epoch(file, lambda: NOW - 86_400) == 1_800_000_000_501
    assert take_epoch(file, lambda: -1.0, newest=1_900_000_000_000) == 1_900_000_000_001


def test_a_folder_in_its_place_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "epoch"
    file.mkdir()
    assert take_epoch(file, lambda: NOW) == 1_800_000_000_500
    assert [message.split(": ")[1].split(";")[0] for message in caplog.messages] == ["Is a directory"] * 2


def test_in_a_cluster_it_is_that_of_the_life_there(tmp_path: Path) -> None:
    file = tmp_path / "epoch"
    assert take_epoch(file, lambda: NOW + 5, life=1_800_000_000_777_001) == 1_800_000_000_777_001
    assert file.read_bytes() == b"1800000000777001\n"


def test_bridges_that_start_in_one_millisecond_without_their_database_share_none(tmp_path: Path) -> None:
    taken = [
        take_epoch(tmp_path / str(node_id), lambda: NOW, node_id=node_id)
        for node_id in (1, 2, MOST_NODES - 1)
        for _ in range(3)
    ]
    assert len(set(taken)) == len(taken)
    assert taken[:4] == [1_800_000_000_500_001, 1_800_000_000_501_001, 1_800_000_000_502_001, 1_800_000_000_500_002]
    assert max(taken) < LARGEST
    file = tmp_path / "1"
    assert take_epoch(file, lambda: NOW, newest=1_900_000_000_000_002, node_id=1) == 1_900_000_000_001_001
    assert take_epoch(file, lambda: NOW) == 1_900_000_000_001_002  # alone again, and later all the same
