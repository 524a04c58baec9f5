"""What code and docs cite is there: clauses of docs/contract.md, and the files that a document links to."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXTS = ("bridge", "tests", "tools", "bench", "docs", "schemas", "sql", "opensips-examples")
CITATION = re.compile(r"contract,? (?:clauses? )?((?:\d+(?:\.\d+)?(?:, | and )?)+)")
CLAUSE = re.compile(r"^(?:## )?(\d+(?:\.\d+)?)[. ]", re.MULTILINE)
PATH = re.compile(r"`([\w.*/-]+/[\w.*/-]+|\w+\.(?:py|md|toml))`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def clauses() -> set[str]:
    return set(CLAUSE.findall((ROOT / "docs" / "contract.md").read_text()))


def texts() -> Iterator[tuple[Path, str]]:
    for name in ("README.md", "CONTRIBUTING.md"):
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


def test_documents_link_to_files_that_exist() -> None:
    dead = {
        f"{file.relative_to(ROOT)}: {link}"
        for file, text in texts()
        if file.suffix == ".md"
        for link in LINK.findall(text)
        if not (file.parent / link).exists()
    }
    assert not dead


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_that_is_named_exists(name: str) -> None:
    """In backquotes, below the root or below bridge/; NAME stands for a new one."""
    named = set(PATH.findall((ROOT / name).read_text()))
    assert len(named) > 20
    missing = {
        one for one in named if "NAME" not in one and not any(any(top.glob(one)) for top in (ROOT, ROOT / "bridge"))
    }
    assert not missing
