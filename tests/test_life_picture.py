"""The picture of a connection's life in the documentation is drawn from the table that decides."""

from tools import life


def test_the_document_has_the_picture_of_the_table() -> None:
    document = life.FILE.read_text(encoding="utf-8")
    assert life.included(document) == life.render(), "python -m tools.life"
