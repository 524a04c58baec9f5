"""The picture of a connection's life in the documentation is drawn from the table that decides."""

from bridge.protocol.decisions import TABLE
from tools import life


def test_the_document_has_the_picture_of_the_table() -> None:
    document = life.FILE.read_text(encoding="utf-8")
    assert life.included(document) == life.render(), "python -m tools.life"


def test_what_a_decision_says_is_told_to_its_end() -> None:
    """Two lines of a docstring are one sentence, too."""
    rows = [line for line in life.render().splitlines() if line.startswith("| ") and "`: " in line]
    assert len(rows) == len(TABLE)
    assert all(line.split(" | ")[2].endswith(".") for line in rows)
