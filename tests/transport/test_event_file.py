"""The file of the log of events: what in it is damage, wherever, and what is no file at all."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.protocol.event_record import OutletState, StoreAnew, StoreContents, StoreFailed
from bridge.transport.event_store import EventStore
from tests.support.event_logs import pages, record


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with an event and a subscriber."""
    path = tmp_path / "events.db"
    made = EventStore(path, full=False)
    made.open()
    await made.write(pages(record(1, at=0.0)), [OutletState("a", 0)], (), 0)
    made.close()
    return path


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(sql)


@pytest.mark.parametrize(
    "damage",
    [
        *(f"DROP {part}" for part in ("TABLE janus_page", "TABLE janus_number", "TRIGGER janus_page_number")),
        *("DROP TABLE janus_subscriber", "DROP TABLE janus_subscription", "DROP VIEW janus_event"),
        "ALTER TABLE janus_page RENAME first TO begin",
        *(f"UPDATE janus_page SET {damage}" for damage in ("at = 9e999", "at = 'x'", "events = '[]'", "first = 'x'")),
        "UPDATE janus_page SET events = replace(events, '0.0', '\"x\"')",
        *(f"UPDATE janus_page SET last = {last}" for last in (2**63 - 1, -1)),
        *(f"UPDATE janus_subscriber SET seq = {seq}" for seq in ("'x'", 2**63 - 1, -1, 1.5)),
        *(f"UPDATE janus_subscriber SET lost = {lost}" for lost in ("'x'", "'[[1, 2, 3, null, 5, 6]]'")),
        f"UPDATE janus_subscriber SET lost = '{'[' * 50_000}'",
        *(f"UPDATE janus_subscription SET subscription = '{text}'" for text in ("{}", '["a", [["E", 1, 5]]]')),
    ],
)
async def test_it_is_set_aside_and_begun_anew(path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    change(path, damage)
    made = EventStore(path, full=False)
    assert made.open() == StoreContents()
    made.close()
    assert f"it is set aside as {path}.aside" in caplog.text


@pytest.mark.parametrize("table", ["janus_page", "janus_subscriber"])
async def test_what_is_missing_is_damage_while_it_runs_as_well(path: Path, table: str) -> None:
    made = EventStore(path, full=False)
    made.open()
    change(path, f"DROP TABLE {table}")
    with pytest.raises(StoreAnew, match=f"no such table: main.{table}|no such table: {table}"):
        await made.write(pages(record(2)), [OutletState("a", 1)], (), 0)
    await made.write(pages(record(2)), [OutletState("a", 1)], (), 0)
    made.close()


@pytest.mark.parametrize("kind", ["a FIFO, not a file", "a symbolic link, not a file", "Is a directory"])
def test_what_is_no_file_is_called_what_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "events.db"
    if kind.startswith("a FIFO"):
        os.mkfifo(path)
    elif kind.startswith("a symbolic"):
        path.symlink_to(tmp_path / "none")
    else:
        path.mkdir()
    with pytest.raises(StoreFailed, match=f"^{path}: {kind}$"):
        EventStore(path, full=False).open()
    assert os.listdir(tmp_path) == ["events.db"]


def test_a_place_that_is_taken_is_named_where_it_cannot_be_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"x" * 5000)
    (tmp_path / "events.db.aside").mkdir()
    with pytest.raises(StoreFailed, match=f"^{path}.aside: Is a directory$"):
        EventStore(path, full=False).open()
