"""The fault matrix: what happens when something dies, a row a fault, a test a row.

Owns matrix.toml and the table that docs/guarantees.md has of it; ``python -m tests.faults.matrix`` writes that anew.
Must not know how a fault is made.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
MATRIX = Path(__file__).with_name("matrix.toml")
GUARANTEES = ROOT / "docs" / "guarantees.md"
BEGIN, END = "<!-- the fault matrix: python -m tests.faults.matrix -->\n", "<!-- end of the fault matrix -->\n"


@dataclass(frozen=True, slots=True)
class Row:
    """``within`` in seconds: the test that bears it fails when normal takes longer; None where ``normal`` says all."""

    group: str
    fault: str
    callers: str
    normal: str
    lost: str
    test: str  # its node id, from the root of the repository
    within: float | None = None

    @property
    def time(self) -> str:
        """Until normal, in words."""
        return self.normal if self.within is None else f"{self.within:g} s {self.normal}".rstrip()


def load() -> list[Row]:
    """Every row, in the order of the file. Raises TypeError for a row that lacks a member or has one too many."""
    groups = tomllib.loads(MATRIX.read_text(encoding="utf-8"))
    return [Row(group, **row) for group, rows in groups.items() for row in rows]


def render(rows: Sequence[Row]) -> str:
    """A table for each group, in Markdown."""
    return "\n".join("\n".join(_table(group, list(members))) for group, members in groupby(rows, lambda row: row.group))


def _table(group: str, rows: Sequence[Row]) -> Iterator[str]:
    yield f"### {group}\n"
    yield "| fault | what callers see | until normal | lost | test |"
    yield "|---|---|---|---|---|"
    for row in rows:
        file, _, name = row.test.partition("::")
        cells = (row.fault, row.callers, row.time, row.lost, f"[{name.removeprefix('test_')}](../{file})")
        yield f"| {' | '.join(cells)} |"
    yield ""


def included(document: str) -> str:
    """What the document has between the marks. Raises ValueError without them."""
    return document.split(BEGIN, 1)[1].split(END, 1)[0] if BEGIN in document and END in document else _no_marks()


def _no_marks() -> str:
    raise ValueError(f"{GUARANTEES.name} has lost its marks")


def main() -> None:
    """Write the table into the document."""
    document = GUARANTEES.read_text(encoding="utf-8")
    GUARANTEES.write_text(document.replace(BEGIN + included(document), BEGIN + "\n" + render(load())), encoding="utf-8")


if __name__ == "__main__":
    main()
