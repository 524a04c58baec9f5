"""The state directory: whose it is, and what is said where it cannot be had."""

import os
import pwd
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.transport.state_dir import StateDir
from tests.support.own_mounts import run_with_own_mounts


def fault(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        StateDir(path).take()
    return str(caught.value)


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "var" / "state"
    StateDir(path).take()
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "lock").stat().st_mode & 0o777 == 0o600


def test_it_is_of_one_bridge_until_that_gives_it_free(tmp_path: Path) -> None:
    first = StateDir(tmp_path)
    first.take()
    assert fault(tmp_path) == f"[state] dir {tmp_path}: another janus-bridge is running with it"
    first.release()
    StateDir(tmp_path).take()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "Not a directory"),
        ("file/below", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("taken", "Is a directory"),
    ],
)
def test_what_is_wrong_is_said_as_of_any_setting(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "lock").mkdir(parents=True)
    assert fault(tmp_path / name) == f"[state] dir {tmp_path / name}: {reason}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where any user may get to; the test is an unprivileged one, where it can be. As it was, afterwards."""
    uid = os.geteuid()
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        try:
            if uid == 0:
                os.seteuid(65534)
            yield Path(name)
        finally:
            os.seteuid(uid)
            for path, _, _ in os.walk(name):
                os.chmod(path, 0o755)


def both_say(path: Path) -> str | None:
    """What a look and a start say, without the key and the path; None: nothing."""
    said: list[str | None] = []
    for step in (StateDir(path).look, StateDir(path).take):
        try:
            step()
        except ConfigError as exc:
            said.append(str(exc).removeprefix(f"[state] dir {path}: "))
        else:
            said.append(None)
    assert said[0] == said[1]
    return said[0]


needs_two_users = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what is another user's")


@needs_two_users
@pytest.mark.parametrize("mode", [0o755, 0o777, 0o700])
def test_another_users_is_said_to_be_his(folder: Path, mode: int) -> None:
    os.seteuid(0)
    os.chmod(folder, mode)
    os.seteuid(65534)
    nobody = pwd.getpwuid(65534).pw_name
    assert both_say(folder) == f"{folder} belongs to root, and this process runs as {nobody}"


@needs_two_users
def test_another_users_lock_or_folder_above_is_said_to_be_his(folder: Path) -> None:
    nobody = pwd.getpwuid(65534).pw_name
    assert both_say(folder / "var" / "state") == f"{folder} belongs to root, and this process runs as {nobody}"
    os.seteuid(0)
    (folder / "own").mkdir()
    (folder / "own" / "lock").touch(0o600)
    os.chown(folder / "own", 65534, -1)
    os.seteuid(65534)
    lock = folder / "own" / "lock"
    assert both_say(folder / "own") == f"{lock} belongs to root, and this process runs as {nobody}"


def test_a_mode_that_a_start_sets_is_no_fault(folder: Path) -> None:
    mine = own(folder)
    (mine / "state").mkdir(0o000)
    assert both_say(mine / "state") is None
    (mine / "closed").mkdir(0o500)
    assert both_say(mine / "closed" / "state") == "Permission denied"
    assert os.listdir(mine / "closed") == []


def test_what_is_no_folder_is_said_alike(folder: Path) -> None:
    mine = own(folder)
    (mine / "file").touch()
    (mine / "dangling").symlink_to(mine / "none")
    (mine / "loop").symlink_to(mine / "loop")
    (mine / "taken" / "lock").mkdir(parents=True)
    for name in ("file", "file/below", "dangling", "loop"):
        assert both_say(mine / name) == "Not a directory"
    assert both_say(mine / "taken") == "Is a directory"
    assert both_say(mine / ("x" * 300)) == "File name too long"


def own(folder: Path) -> Path:
    """A folder of the user's that the test is."""
    if os.getuid() != 0:
        return folder
    os.seteuid(0)
    (folder / "mine").mkdir()
    os.chown(folder / "mine", 65534, -1)
    os.seteuid(65534)
    return folder / "mine"


def test_a_limit_that_leaves_no_room_is_told(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.require_room(64 << 10)
    assert os.listdir(tmp_path) == []
    StateDir(tmp_path / "none").require_room(1)  # what else is wrong with it, ``take`` says
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ConfigError, match=r"File too large$"):
            state.require_room(64 << 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


ON_ODD_DISKS = """
import sys
from pathlib import Path
from bridge.errors import ConfigError
from bridge.transport.state_dir import StateDir
from tests.support.own_mounts import mount

def said(step, *args):
    try:
        step(*args)
    except ConfigError as exc:
        print(exc)

folder = Path(sys.argv[1])
mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder))
said(StateDir(folder).require_room, 128 << 10)
mount("-o", "remount,ro", str(folder))
for path in (folder, folder / "below"):
    said(StateDir(path).look)
    said(StateDir(path).take)
"""


@pytest.mark.program
def test_a_full_disk_and_a_read_only_one_are_told_alike(tmp_path: Path) -> None:
    done = run_with_own_mounts(ON_ODD_DISKS, tmp_path)
    full, *read_only = done.stdout.splitlines()
    assert full == f"[state] dir {tmp_path}: No space left on device", done.stderr
    assert len(read_only) == 4
    for line, path in zip(read_only, [tmp_path, tmp_path, tmp_path / "below", tmp_path / "below"], strict=True):
        assert line.startswith(f"[state] dir {path}: {tmp_path} is read-only for this process; ")
