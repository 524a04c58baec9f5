"""The locks are whole: what pyproject.toml asks for, and what that asks for, each by version and hash."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.compile import COMPILER

ROOT = Path(__file__).parents[1]
_ENTRY = re.compile(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M)


def locked(file: str = "requirements.lock") -> dict[str, str]:
    """name -> version"""
    text = (ROOT / file).read_text(encoding="utf-8")
    rest = _ENTRY.sub("", text)
    assert all(line.startswith("#") for line in rest.splitlines()), rest
    return {name: version for name, version, _ in _ENTRY.findall(text)}


def wanted() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in project["dependencies"]]


def test_every_dependency_is_locked_within_its_range() -> None:
    pins = locked()
    for requirement in wanted():
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_what_dependencies_ask_for_is_locked_too() -> None:
    pins = locked()
    extras: dict[str, set[str]] = {canonicalize_name(requirement.name): requirement.extras for requirement in wanted()}
    seen: set[str] = set()
    for name in pins:
        try:
            texts = requires(name) or []
        except PackageNotFoundError:  # one that only another version of Python needs
            continue
        for requirement in map(Requirement, texts):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras.get(name, ())}):
                seen.add(canonicalize_name(requirement.name))
    assert len(seen) > 5
    assert seen <= pins.keys()


def test_what_a_release_is_built_with_is_locked_beside_what_it_is_installed_with() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    pins = locked("tools/build.lock")
    for requirement in map(Requirement, [*build, COMPILER, "setuptools"]):  # mypyc's, to run the C compiler
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
    assert pins.keys().isdisjoint(locked())
