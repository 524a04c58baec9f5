"""``janus-bridge reload``, as the unit's ExecReload runs it: what became of SIGHUP is its exit code."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.bridge import PROGRAM
from tests.support.deadlines import HANG_SECONDS
from tests.support.site import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A bridge with systemd's runtime directory."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return Site(tmp_path)


def reload(pid: int | str) -> tuple[int, str]:
    """Exit code, and what it said on stderr."""
    environ = {**os.environ, "MAINPID": str(pid)}
    command = [str(PROGRAM), "reload"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=HANG_SECONDS)
    return done.returncode, done.stderr


def test_what_was_taken_and_what_was_not(site: Site) -> None:
    with site.bridge as bridge:
        pid = bridge.process.pid
        assert reload(pid) == (0, "")
        assert bridge.logged("reload: done; nothing changed")
        site.write(log__level=9)
        code, said = reload(pid)
        assert code == 1
        assert said == (
            f"janus-bridge reload: {site.file}: [log] level = 9: must be from -3 to 4; everything stays as it is\n"
        )
        site.write(log__level=2, janus__janus_db_url=f"sqlite://{site.folder}/none.db")
        code, said = reload(pid)
        assert (code, said.count("\n")) == (1, 1)
        assert said.endswith("no such file; the gateways stay as they are\n")
        assert "reload: done in part; changed: " not in bridge.log  # the level from now on: notices are no longer told
        site.write(log__level=3, janus__janus_db_url=f"sqlite://{site.folder}/state/janus.db")
        assert reload(pid) == (0, "")
        assert bridge.logged("reload: done; changed: janus.janus_db_url, log.level\n")


def test_a_service_that_has_ended(site: Site) -> None:
    with site.bridge as bridge:
        bridge.stop()
        code, said = reload(bridge.process.pid)
    assert (code, said) == (3, f"janus-bridge: the service, process {bridge.process.pid}, has ended\n")


def test_a_directory_that_is_gone_is_told(site: Site, tmp_path: Path) -> None:
    with site.bridge as bridge:
        (tmp_path / "run").rmdir()
        bridge.reload()
        while "`systemctl reload` does not hear" not in bridge.log:
            bridge.mi("version")


@pytest.mark.parametrize("pid", ["", "x"])
def test_without_systemd_it_says_so(pid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    code, said = reload(pid)
    assert (code, said.count("\n")) == (2, 1)
    assert "systemctl reload janus-bridge" in said
