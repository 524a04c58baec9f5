"""``make release``: all that a release consists of, in dist/, built twice and compared (docs/releasing.md).

    python -m tools.release prepare 0.2.0     version and changes of the next one, to be committed
    python -m tools.release check             whether what is committed is a release, and what is left to choose for one
    python -m tools.release                   the files of it; what is in dist/ already is summed up, too

Owns the order of things and what must hold before. What is built comes from two exports of the commit, in folders of
different names, in other time zones and languages, with the same libraries, by version and hash, and as of the
day of the commit (SOURCE_DATE_EPOCH). Authority: reproducible-builds.org; Hatchling's manual, "Build"; CycloneDX 1.6.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from packaging.version import InvalidVersion, Version

from tools import changes, compile

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
VERSION_FILE = ROOT / "bridge" / "__init__.py"
IMAGE_PAGE = ROOT / "docs" / "container.md"
SUMS = "SHA256SUMS"
IMAGE = "janus-bridge"
_VERSION = re.compile(r'^__version__ = "(.*)"$', re.M)
# What differs between the two builds, and must not show.
_CIRCUMSTANCES = (
    {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"},
    {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "2"},
)
_BUILDS = (["-t", "sdist"], ["-t", "wheel"])


def version() -> str:
    """The one place where it stands."""
    found = _VERSION.search(VERSION_FILE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def prepare(new: str, day: str) -> None:
    """Write version, changes, and the image's tag in its page.

    Raises SystemExit for a version that is none, or not a later one.
    """
    try:
        later = Version(new) >= Version(version())
    except InvalidVersion:
        raise SystemExit(f"{new}: no version, which looks like 1.2.3") from None
    if not later or str(Version(new)) != new:
        raise SystemExit(f"{new}: must be a later version than {version()}, in its shortest form")
    text = changes.release(changes.CHANGELOG.read_text(encoding="utf-8"), new, day)
    changes.CHANGELOG.write_text(text, encoding="utf-8")
    source = VERSION_FILE.read_text(encoding="utf-8")
    page = IMAGE_PAGE.read_text(encoding="utf-8")
    IMAGE_PAGE.write_text(page.replace(f"{IMAGE}:{version()}", f"{IMAGE}:{new}"), encoding="utf-8")
    VERSION_FILE.write_text(_VERSION.sub(f'__version__ = "{new}"', source), encoding="utf-8")


def refusal(root: Path, number: str) -> str | None:
    """Why the commit that is checked out is no release of that version; None if it is one."""
    dirty = _git(root, "status", "--porcelain")
    if dirty:
        return f"what is not committed would not be in the release: commit or stash it\n{dirty}"
    tagged = _git(root, "tag", "--list", f"v{number}", "--format=%(objectname) %(*objectname)").split()
    if tagged and _git(root, "rev-parse", "HEAD") not in tagged:
        return f"v{number} is the tag of another commit: run `python -m tools.release prepare` with a later version"
    return changes.fault((root / "CHANGELOG.md").read_text(encoding="utf-8"), number)


def undecided(root: Path) -> list[str]:
    """What somebody has to choose before strangers may have the files; nothing that this program could."""
    found = []
    if not any(root.glob("LICEN[CS]E*")):
        found.append(
            "there is no LICENSE, so nobody may pass these files on: its owners choose one, for LICENSE, `license` in "
            "pyproject.toml, and OWN in tools/deb_files.py"
        )
    if ".invalid>" in (root / "tools/debian/control").read_text(encoding="utf-8"):
        found.append(
            "the packages' Maintainer is a placeholder: whom users of Debian write to, in tools/debian/control"
        )
    return found


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()


def environment(folder: Path, *locks: str) -> Path:
    """A virtual environment with what these files lock, and nothing else; its Python."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    words = ["-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    subprocess.run([python, *words, *(f"--requirement={ROOT / lock}" for lock in locks)], check=True)
    return python


def build(python: Path, source: Path, out: Path, environ: Mapping[str, str]) -> None:
    """sdist, the wheel for every machine, and the compiled one for this machine."""
    for variable in ("0", "1"):
        given = {**environ, compile.VARIABLE: variable}
        for words in _BUILDS[int(variable) :]:  # one sdist
            command: list[str | Path] = [python, "-m", "hatchling", "build", "-d", out, *words]
            subprocess.run(command, cwd=source, env=given, check=True, stdout=subprocess.DEVNULL)


def different(one: Path, other: Path) -> list[str]:
    """The names of files of two folders that are not the same, bit by bit."""
    sums = [{file.name: sha256(file) for file in folder.iterdir()} for folder in (one, other)]
    return sorted(name for name in {*sums[0], *sums[1]} if sums[0].get(name) != sums[1].get(name))


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sum_up(files: Iterable[Path]) -> str:
    """As sha256sum(1) reads it."""
    return "".join(f"{sha256(file)}  {file.name}\n" for file in sorted(files))


def bill_of_materials(python: Path, out: Path, environ: Mapping[str, str]) -> None:
    """What is installed with the program, each package with the hashes of its files (CycloneDX).

    The tool reads pyproject.toml, which has no version.
    """
    words = ["-m", "cyclonedx_py", "requirements", "--pyproject=pyproject.toml", "--output-reproducible", f"-o={out}"]
    quiet = {**environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([python, *words, "requirements.lock"], cwd=ROOT, env=quiet, check=True)
    bill = json.loads(out.read_text(encoding="utf-8"))
    bill["metadata"]["component"]["version"] = version()
    out.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")


def make(number: str) -> None:
    """Raises SystemExit where it does not come out the same twice."""
    compile.need_compiler()
    epoch = {"SOURCE_DATE_EPOCH": _git(ROOT, "log", "-1", "--format=%ct")}
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        folder = Path(name)
        print("installing what builds it, by version and hash", file=sys.stderr)
        python = environment(folder / "env", "requirements.lock", "tools/build.lock")
        made = []
        for number_of_build, circumstances in enumerate(_CIRCUMSTANCES, 1):
            print(f"building it, {number_of_build} of {len(_CIRCUMSTANCES)}", file=sys.stderr)
            source = folder / ("x" * 20 * number_of_build)
            _export(source)
            made.append(source / "dist")
            build(python, source, made[-1], {**os.environ, **epoch, **circumstances})
        faults = different(*made)
        if faults:
            raise SystemExit(f"not the same when it is built again: {', '.join(faults)} (both in {_keep(made)})")
        bill = environment(folder / "bill", "tools/sbom.lock")
        bill_of_materials(bill, made[0] / f"janus-bridge-{number}.cdx.json", {**os.environ, **epoch})
        DIST.mkdir(exist_ok=True)
        for file in made[0].iterdir():
            shutil.copy2(file, DIST)
    (DIST / SUMS).write_text(sum_up(file for file in DIST.iterdir() if file.name != SUMS), encoding="utf-8")
    print((DIST / SUMS).read_text(encoding="utf-8"), end="")


def _export(folder: Path) -> None:
    folder.mkdir()
    archive = subprocess.Popen(["git", "-C", ROOT, "archive", "HEAD"], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", folder], stdin=archive.stdout, check=True)
    if archive.wait():
        raise SystemExit("git archive failed")


def _keep(made: Sequence[Path]) -> Path:
    kept = Path(tempfile.mkdtemp(prefix="release-different-"))
    for number, folder in enumerate(made, 1):
        shutil.copytree(folder, kept / str(number))
    return kept


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.release")
    parser.add_argument("step", nargs="?", choices=("prepare", "check", "make"), default="make")
    parser.add_argument("version", nargs="?")
    args = parser.parse_args(argv)
    if args.step == "prepare":
        if args.version is None:
            parser.error("prepare: which version?")
        prepare(args.version, datetime.datetime.now(datetime.UTC).date().isoformat())
        return
    fault = refusal(ROOT, version())
    if fault is not None:
        raise SystemExit(f"no release: {fault}")
    if args.step == "make":
        make(version())
        return
    for open_question in undecided(ROOT):
        print(f"before you publish: {open_question}", file=sys.stderr)


if __name__ == "__main__":
    main()
