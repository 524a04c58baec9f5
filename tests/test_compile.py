"""The compiled build: the hook, with one module instead of all, and when it does nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from bridge.cli.version import version
from tools import compile as build

ROOT = Path(__file__).resolve().parent.parent
MODULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"][
    "custom"
]["modules"]
ONE = "bridge/protocol/numbers.py"  # which --version looks at


def missing() -> str:
    """What this machine lacks to compile, "" if nothing."""
    try:
        build.need_compiler()
    except SystemExit as exc:
        return str(exc)
    return ""


def test_every_listed_module_is_there_once() -> None:
    assert [name for name in MODULES if not (ROOT / name).is_file()] == []
    assert sorted(set(MODULES)) == MODULES
    assert ONE in MODULES


def test_version_says_which_build_it_is() -> None:
    assert version().endswith((" (source)", " (compiled)"))


@pytest.mark.galera  # whoever has time for one has time for this
@pytest.mark.skipif(bool(missing()), reason=missing() or "compiles")
def test_a_compiled_wheel_runs_compiled(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in ("bridge", "tools", "schemas", "sql", "opensips-examples"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        text = (ROOT / name).read_text(encoding="utf-8").replace('optimize = "2"', 'optimize = "0"')
        (project / name).write_text(text.replace("\n".join(f'    "{name}",' for name in MODULES), f'    "{ONE}",'))
    script = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    environ = {**os.environ, build.VARIABLE: "1"}
    built = run(project, environ, sys.executable, "-c", script, str(tmp_path)).splitlines()[-1]
    assert not built.endswith("-any.whl")
    shutil.unpack_archive(tmp_path / built, tmp_path / "installed", "zip")
    libraries = list((tmp_path / "installed").rglob("*.so"))
    compiled = {file.name.partition(".")[0] for file in libraries}
    assert compiled == {"numbers", f"{build.GROUP}__mypyc"}
    places = (tempfile.gettempdir(), str(project))
    assert [file.name for file in libraries if any(place.encode() in file.read_bytes() for place in places)] == []
    said = run(tmp_path / "installed", dict(os.environ), sys.executable, "-m", "bridge", "--version")
    assert said.endswith(" (compiled)\n")


def run(folder: Path, environ: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SystemExit, match=r"JANUS_BRIDGE_COMPILED is set, and \S+ cannot be found: .*gcc python3-dev"):
        build.need_compiler()


@pytest.mark.parametrize(("version", "value"), [("standard", None), ("standard", "0"), ("editable", "1")])
def test_what_stays_python(version: str, value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(build.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(build.VARIABLE, value)
    hook = build.CompileHook("/nonexistent", {}, None, None, "", "wheel")  # type: ignore[arg-type]  # reads none of them
    data: dict[str, object] = {}
    hook.initialize(version, data)
    assert data == {}
