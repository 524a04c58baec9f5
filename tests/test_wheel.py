"""The wheel that users install: schemas/ and sql/ travel inside it and are found there."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted(str(file.relative_to(ROOT)) for folder in ("schemas", "sql") for file in (ROOT / folder).rglob("*.*"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(ROOT))
    [built] = folder.glob("opensips_janus_bridge-*.whl")
    return built


def test_it_has_every_shipped_file_and_nothing_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert SHIPPED
    assert {f"bridge/_data/{name}" for name in SHIPPED} <= names
    assert "bridge/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"bridge", "opensips_janus_bridge"}


def test_an_installed_copy_finds_its_own_files(wheel: Path, tmp_path: Path) -> None:
    _pip("install", "--no-deps", "--no-index", "--no-compile", "--target", str(tmp_path), str(wheel))
    assert (tmp_path / "bin" / "janus-bridge").is_file()
    script = "import sys; sys.path.insert(0, sys.argv[1])\nfrom bridge import resources\n"
    script += "print(*map(resources.path, sys.argv[2:]), sep='\\n')"
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *SHIPPED],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert found.stdout.splitlines() == [str(tmp_path / "bridge" / "_data" / name) for name in SHIPPED]


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
