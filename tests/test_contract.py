"""What code and docs cite is there: clauses of docs/contract.md, files and headings that a document links to."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXTS = ("bridge", "tests", "tools", "bench", "docs", "schemas", "sql", "opensips-examples")
CITATION = re.compile(r"contract,? (?:clauses? )?((?:\d+(?:\.\d+)?(?:, | and )?)+)")
CLAUSE = re.compile(r"^(?:## )?(\d+(?:\.\d+)?)[. ]", re.MULTILINE)
PATH = re.compile(r"`([\w.*/-]+/[\w.*/-]+|\w+\.(?:py|md|toml))`")
LINK = re.compile(r"\]\(([^):\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def clauses() -> set[str]:
    return set(CLAUSE.findall((ROOT / "docs" / "contract.md").read_text()))


def texts() -> Iterator[tuple[Path, str]]:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        yield ROOT / name, (ROOT / name).read_text()
    for folder in TEXTS:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".py", ".md", ".toml", ".json", ".sql", ".cfg", ".inc", ".service", ".yml"):
                yield file, file.read_text()


def cited(text: str) -> list[str]:
    """The clauses that a text names. "contract" may end a line of a comment."""
    plain = re.sub(r"\s*\n\s*(?:#\s*)?", " ", text)
    return [number for found in CITATION.findall(plain) for number in re.findall(r"\d+(?:\.\d+)?", found)]


def test_every_clause_that_is_cited_exists() -> None:
    there = clauses()
    assert {"1", "5.3", "8.4"} <= there
    missing = {
        f"{file.relative_to(ROOT)}: contract {one}" for file, text in texts() for one in cited(text) if one not in there
    }
    assert not missing


def test_citations_are_found_in_every_spelling() -> None:
    assert cited("(contract 5.3)") == ["5.3"]
    assert cited("# see contract\n    # 5.4, 5.5.") == ["5.4", "5.5"]
    assert cited("contract 8.2; and contract 2") == ["8.2", "2"]


def anchors(file: Path) -> set[str]:
    """What a link may have behind its ``#``: GitHub's spelling of each heading."""
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in HEADING.findall(file.read_text())}


def dead(file: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = file.parent / path if path else file
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


def test_documents_link_to_what_exists() -> None:
    links = [(file, link) for file, text in texts() if file.suffix == ".md" for link in LINK.findall(text)]
    assert any("#" in link for _, link in links)
    assert {f"{file.relative_to(ROOT)}: {link}" for file, link in links if dead(file, link)} == set()


def test_a_link_to_a_heading_that_is_gone_is_dead() -> None:
    security = ROOT / "docs" / "security.md"
    there = ("#the-databases-password", "../README.md#run-it-as-a-service", "guarantees.md")
    gone = ("#no-such-heading", "../README.md#no-such-heading", "no-such-file.md")
    assert [dead(security, link) for link in there + gone] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_that_is_named_exists(name: str) -> None:
    """In backquotes, below the root or below bridge/; NAME stands for a new one."""
    named = set(PATH.findall((ROOT / name).read_text()))
    assert len(named) > 20
    missing = {
        one for one in named if "NAME" not in one and not any(any(top.glob(one)) for top in (ROOT, ROOT / "bridge"))
    }
    assert not missing
