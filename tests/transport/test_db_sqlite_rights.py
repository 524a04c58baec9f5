"""An SQLite file or folder that the user has no right to: which right is missing, where SQLite says nothing of it."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.bridge import PROGRAM
from tests.support.deadlines import HANG_SECONDS
from tests.support.environ import bare
from tests.support.tables import sqlite_table

pytestmark = pytest.mark.program

# Of root too, permissions are asked once its capabilities are gone.
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []

LIST, ADD, INIT = ["list"], ["add", "gw1", "janusws://h"], ["init"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """With a table in ``t.db``."""
    folder = tmp_path / "site"
    folder.mkdir()
    sqlite_table(folder / "t.db", {})
    yield folder
    folder.chmod(0o700)


def refusal(path: Path, words: list[str]) -> str:
    """What ``janus-bridge db`` says of the file, after its name."""
    command = [*POWERLESS, str(PROGRAM), "db", *words, "-o", f"janus.janus_db_url=sqlite://{path}"]
    environ = {**bare(path.parent), "HOME": "/nonexistent"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=HANG_SECONDS)
    if done.stderr.startswith("setpriv:"):
        pytest.skip(done.stderr)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    beginning = f"janus-bridge db: sqlite://{path}: "
    assert done.stderr.startswith(beginning)
    return done.stderr.removeprefix(beginning).removesuffix("\n")


@pytest.mark.parametrize("words", [LIST, ADD, INIT], ids=" ".join)
def test_a_file_that_may_not_be_read(folder: Path, words: list[str]) -> None:
    (folder / "t.db").chmod(0)
    assert refusal(folder / "t.db", words) == "unable to open database file: no permission to read it"


def test_a_file_that_may_only_be_read(folder: Path) -> None:
    (folder / "t.db").chmod(0o400)
    assert refusal(folder / "t.db", ADD) == "attempt to write a readonly database: no permission to write it"


def test_a_folder_without_room_for_a_journal(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "t.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    folder.chmod(0o500)
    words = f"no permission to write in {folder}, where SQLite has to make its journal"
    assert refusal(folder / "t.db", ADD).endswith(words)
    assert refusal(folder / "t.db", LIST).endswith(words)  # which WAL mode makes even to read


def test_a_folder_without_room_for_a_new_file(folder: Path) -> None:
    folder.chmod(0o500)
    assert refusal(folder / "new.db", INIT) == (
        f"unable to open database file: no permission to write in {folder}, where SQLite has to make its file"
    )
    assert refusal(folder / "below" / "new.db", INIT) == f"{folder / 'below'}: Permission denied"


@pytest.mark.parametrize("words", [LIST, ADD, INIT], ids=" ".join)
def test_a_folder_that_may_not_be_entered(folder: Path, words: list[str]) -> None:
    folder.chmod(0)
    assert refusal(folder / "t.db", words) == f"{folder}: Permission denied"


def test_where_no_right_is_missing_nothing_is_added(folder: Path) -> None:
    (folder / "loop.db").symlink_to(folder / "loop.db")
    assert refusal(folder / "loop.db", INIT) == "unable to open database file"
