"""What the control group allows this process, and what of it is used."""

from pathlib import Path

from bridge.protocol.snapshot import Room
from bridge.transport.cgroup import room

GROUP = "system.slice/janus-bridge.service"


def make(root: Path, group: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / group
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{text}\n")
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(f"0::/{GROUP}\n")


def test_what_the_unit_allows(tmp_path: Path) -> None:
    make(tmp_path, GROUP, memory_current="50000000", memory_max="1073741824", pids_current="12", pids_max="128")
    assert room(tmp_path) == Room(50_000_000, 1_073_741_824, 12, 128)


def test_no_limit_is_none(tmp_path: Path) -> None:
    make(tmp_path, GROUP, memory_current="50000000", memory_max="max")
    assert room(tmp_path) == Room(None, None, None, None)


def test_an_outer_limit_that_is_nearer_counts(tmp_path: Path) -> None:
    make(tmp_path, GROUP, memory_current="10", memory_max="1000")
    make(tmp_path, "system.slice", memory_current="900", memory_max="1200")
    make(tmp_path, "", memory_current="5", memory_max="9000")
    assert room(tmp_path)[:2] == (900, 1200)


def test_a_machine_without_control_groups_of_this_kind_says_nothing(tmp_path: Path) -> None:
    assert room(tmp_path) == Room(None, None, None, None)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/x\n")
    assert room(tmp_path) == Room(None, None, None, None)
    assert isinstance(room(), Room)
