"""The fault matrix: what happens when something dies, a row a fault, a test a row.

Owns matrix.toml and its tables in docs/guarantees.md, and docs/cluster.md, which has a group for itself; ``python -m
tests.faults.matrix`` writes them anew. Must not know how a fault is made.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
MATRIX = Path(__file__).with_name("matrix.toml")
GUARANTEES = ROOT / "docs" / "guarantees.md"
CLUSTER = ROOT / "docs" / "cluster.md"
OF_ITS_OWN = {"A cluster of bridges": CLUSTER}  # groups that GUARANTEES leaves to another document
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


def render(document: Path) -> str:
    """Its tables, in Markdown: one for each group, with a heading where there are many."""
    rows = [row for row in load() if OF_ITS_OWN.get(row.group, GUARANTEES) == document]
    groups = groupby(rows, lambda row: row.group)
    return "\n".join("\n".join(_table(group, list(members), document)) for group, members in groups)


def _table(group: str, rows: Sequence[Row], document: Path) -> Iterator[str]:
    if document == GUARANTEES:
        yield f"### {group}\n"
    yield "| fault | what callers see | until normal | lost | test |"
    yield "|---|---|---|---|---|"
    for row in rows:
        file, _, name = row.test.partition("::")
        cells = (row.fault, row.callers, row.time, row.lost, f"[{name.removeprefix('test_')}](../{file})")
        yield f"| {' | '.join(cells)} |"
    yield ""


def included(document: Path) -> str:
    """What it has between the marks. Raises ValueError without them."""
    text = document.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{document.name} has lost its marks")
    return text.split(BEGIN, 1)[1].split(END, 1)[0]


def main() -> None:
    """Write the tables into the documents."""
    for document in (GUARANTEES, *OF_ITS_OWN.values()):
        text = document.read_text(encoding="utf-8")
        written = text.replace(BEGIN + included(document), f"{BEGIN}\n{render(document)}")
        document.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
