"""CHANGELOG.md as a release needs it: the changes of a version, under its number and day.

Owns the form of its headings: ``## Unreleased``, then ``## VERSION (YYYY-MM-DD)``, the newest first.
"""

import re
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
UNRELEASED = "Unreleased"
_HEADING = re.compile(r"^## (.*)$", re.M)
_RELEASED = re.compile(r"(\S+) \(\d{4}-\d\d-\d\d\)")


def sections(text: str) -> dict[str, str]:
    """Title to body, in their order; what stands before the first is left out."""
    parts = _HEADING.split(text)[1:]
    return {title: body.strip() for title, body in zip(parts[::2], parts[1::2], strict=True)}


def release(text: str, version: str, day: str) -> str:
    """The file in which what was unreleased is that version's, of that day. Raises SystemExit where that is nothing, or
    the version has its section already.
    """
    found = sections(text)
    if not found.get(UNRELEASED):
        raise SystemExit(f"CHANGELOG.md has nothing under ## {UNRELEASED}: there is nothing to release")
    if _title_of(found, version) is not None:
        raise SystemExit(f"CHANGELOG.md has a section for {version} already: choose another version")
    return text.replace(f"## {UNRELEASED}\n", f"## {UNRELEASED}\n\n## {version} ({day})\n", 1)


def fault(text: str, version: str) -> str | None:
    """What speaks against a release of that version; None if nothing does."""
    found = sections(text)
    title = _title_of(found, version)
    if title is None:
        return (
            f"CHANGELOG.md has no section `## {version} (YYYY-MM-DD)`: run `python -m tools.release prepare {version}`"
        )
    if not found[title]:
        return f"CHANGELOG.md says nothing of {version}"
    if found.get(UNRELEASED):
        return f"CHANGELOG.md has changes under ## {UNRELEASED}: move them below ## {title}, or release another version"
    return None


def _title_of(found: dict[str, str], version: str) -> str | None:
    return next((title for title in found if (one := _RELEASED.fullmatch(title)) and one[1] == version), None)
