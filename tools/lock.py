"""``python -m tools.lock``: what a release is installed with, in requirements.lock, what it is built with, in
tools/build.lock, and what makes its bill of materials, in tools/sbom.lock, each package by version and hash.

Owns these files. pip resolves what pyproject.toml asks for, once for each Python and machine below, and says which file
it would take; nothing is installed. The first decides the versions, the others add the hashes of their own files.
Authority: pip's manual, "Secure installs" (--require-hashes) and "pip install --report".
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tools.compile import COMPILER

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
BUILD_LOCK = ROOT / "tools" / "build.lock"
SBOM_LOCK = ROOT / "tools" / "sbom.lock"
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
HEAD = """\
# What a release is {purpose} with: made by `python -m tools.lock`, not by hand.
# Wheels for Python {pythons} on Linux with glibc, {machines}.
#   pip install --require-hashes {way}
"""
INSTALLED = ("installed", "-r requirements.lock && pip install --no-deps .     (in a clone)")
BUILT = ("built", "-r requirements.lock -r tools/build.lock && pip wheel --no-build-isolation --no-deps .")
LISTED = ("listed", "-r tools/sbom.lock     (in an environment of its own: it makes the bill of materials)")
SBOM_TOOL = "cyclonedx-bom>=7,<8"


def locked(wanted: Sequence[str]) -> dict[str, set[str]]:
    """``name==version`` -> the sha256 of each file that any of the machines would take. Raises SystemExit."""
    hashes: defaultdict[str, set[str]] = defaultdict(set)
    for machine in MACHINES:
        for python in PYTHONS:
            for item in _resolve([*wanted, *hashes], python, machine):
                archive = item["download_info"]["archive_info"]
                name = item["metadata"]["name"].lower().replace("_", "-")
                hashes[f"{name}=={item['metadata']['version']}"].add(archive["hashes"]["sha256"])
    return dict(hashes)


def render(hashes: dict[str, set[str]], head_words: tuple[str, str]) -> str:
    """The file."""
    purpose, way = head_words
    head = HEAD.format(pythons=", ".join(PYTHONS), machines=" and ".join(MACHINES), purpose=purpose, way=way)
    return head + "".join(_entry(pin, files) for pin, files in sorted(hashes.items()))


def _entry(pin: str, files: Iterable[str]) -> str:
    return " \\\n".join([pin, *(f"    --hash=sha256:{digest}" for digest in sorted(files))]) + "\n"


def _resolve(wanted: Sequence[str], python: str, machine: str) -> list[dict[str, Any]]:
    # Every manylinux up to Debian 12's glibc: pip takes these names as they are and derives none from another.
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1)] + [f"manylinux2014_{machine}"]
    with tempfile.TemporaryDirectory() as nowhere:
        report = Path(nowhere, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        command += ["--ignore-installed", "--only-binary=:all:", f"--target={nowhere}", f"--report={report}"]
        command += [f"--python-version={python}", *(f"--platform={name}" for name in platforms), *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"pip cannot resolve this for Python {python} on {machine}:\n{done.stderr.strip()}")
        items: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["install"]
        return items


def main() -> None:
    """Write the files anew."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, build = pyproject["project"], pyproject["build-system"]
    installed = locked([*project["dependencies"], *project["optional-dependencies"]["rabbitmq"]])
    # In one environment with them: the compiler reads the types of what the program is installed with.
    both = locked([*installed, *build["requires"], COMPILER])
    _write(LOCK, installed, INSTALLED)
    _write(SBOM_LOCK, locked([SBOM_TOOL]), LISTED)
    _write(BUILD_LOCK, {pin: files for pin, files in both.items() if pin not in installed}, BUILT)


def _write(file: Path, hashes: dict[str, set[str]], head_words: tuple[str, str]) -> None:
    file.write_text(render(hashes, head_words), encoding="utf-8")
    print(f"{file.relative_to(ROOT)}: {len(hashes)} packages, {sum(map(len, hashes.values()))} files")


if __name__ == "__main__":
    main()
