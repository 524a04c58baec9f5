"""The files that travel with the program."""

import pytest

from bridge import resources


def test_what_was_not_shipped_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"^sql/none\.sql was not shipped with this installation"):
        resources.path("sql/none.sql")
    with pytest.raises(FileNotFoundError):
        resources.path("sql")  # a folder is no file


def test_a_schema_is_read_once() -> None:
    assert resources.schema("config") is resources.schema("config")
    assert resources.schema("config")["type"] == "object"
