"""What `make release` has left in dist/: whole, and each wheel serves a command from an environment of its own."""

import json
import subprocess
from pathlib import Path

import pytest

from bridge import __version__
from tests.faults.programs import normal
from tests.support import bridge as support
from tests.support.janus import Janus
from tests.support.tables import sqlite_table
from tests.test_lock import locked
from tools import release

WHEELS = sorted(release.DIST.glob(f"*-{__version__}-*.whl"))
pytestmark = [pytest.mark.release, pytest.mark.skipif(not WHEELS, reason="nothing in dist: `make release` makes it")]


def test_it_is_whole() -> None:
    sums = (release.DIST / release.SUMS).read_text()
    named = {line.split("  ")[1] for line in sums.splitlines()}
    assert named == {file.name for file in release.DIST.iterdir()} - {release.SUMS}
    assert sums == release.sum_up(release.DIST / name for name in named)
    assert {wheel.name for wheel in WHEELS} < named
    assert {wheel.name.endswith("-any.whl") for wheel in WHEELS} == {True, False}
    assert f"opensips_janus_bridge-{__version__}.tar.gz" in named


def test_the_bill_of_materials_is_the_lock() -> None:
    bill = json.loads((release.DIST / f"janus-bridge-{__version__}.cdx.json").read_text())
    assert bill["metadata"]["component"]["version"] == __version__
    assert {one["name"]: one["version"] for one in bill["components"]} == locked()
    assert all(one["externalReferences"][0]["hashes"] for one in bill["components"])


def installed(wheel: Path, folder: Path) -> tuple[Path, str]:
    """The program from an environment of its own, and what it says of itself."""
    python = release.environment(folder / "env", "requirements.lock")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    program = python.with_name("janus-bridge")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, cwd=folder)
    return program, done.stdout


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name.rpartition("-")[2])
async def test_it_serves(wheel: Path, tmp_path: Path, janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    program, said = installed(wheel, tmp_path)
    build = "source" if wheel.name.endswith("-any.whl") else "compiled"
    assert said == f"janus-bridge {__version__} ({build})\n"
    monkeypatch.setattr(support, "PROGRAM", program)
    options = {"janus.janus_db_url": sqlite_table(tmp_path / "opensips.db", {"gw1": janus.url})}
    with support.Bridge(tmp_path, options) as bridge:
        await normal(bridge)
