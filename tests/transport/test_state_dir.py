"""The state directory: whose it is, and what is said where it cannot be had."""

import os
import tempfile
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.transport.state_dir import StateDir


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


@pytest.mark.parametrize("below", ["", "var/state"])
@pytest.mark.parametrize("mode", [0o555, 0o600])
def test_a_look_tells_where_it_may_not_write(below: str, mode: int) -> None:
    """As an unprivileged user, who may read and search it, or not even search; nothing is made."""
    uid = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / below
        os.chmod(folder, mode)
        try:
            if uid == 0:
                os.seteuid(65534)
            with pytest.raises(ConfigError, match=rf"^\[state\] dir {path}: Permission denied$"):
                StateDir(path).look()
        finally:
            os.seteuid(uid)
            os.chmod(folder, 0o755)
        StateDir(path).look()
        assert os.listdir(folder) == []
