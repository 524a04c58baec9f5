"""The file of the log of events: what in it is damage, wherever, and what is no file at all."""

import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from bridge.protocol.event_record import OutletState, StoreAnew, StoreContents, StoreFailed
from bridge.transport.event_store import EventStore
from tests.support.deadlines import HANG_SECONDS
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
        *("UPDATE janus_subscriber SET lost = CAST(x'5bff5d' AS TEXT)", "UPDATE janus_number SET epoch = 'x'"),
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


def spoil(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *((b"TABLE janus_page", b"T\xffBLE janus_page"), (b"tablejanus_page", b"tablejan\xffs_page")),
        (b"\4" + bytes(11) + b"\1", b"\7" + bytes(11) + b"\1"),  # its format, and the encoding of its texts
    ],
)
async def test_a_byte_that_sqlite_has_no_words_for_is_damage_as_well(
    path: Path, before: bytes, after: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(path, before, after)
    made = EventStore(path, full=False)
    assert made.open() == StoreContents()
    made.close()
    assert f"it is set aside as {path}.aside" in caplog.text


async def test_a_statement_that_turns_out_damaged_is_damage_for_whoever_writes(path: Path) -> None:
    spoil(path, b"INTO janus_number", b"INTO jan\xffs_number")
    made = EventStore(path, full=False)
    made.open()
    with pytest.raises(StoreAnew, match="it is damaged; it was set aside"):
        await made.write(pages(record(2)), (), (), 0)
    await made.write(pages(record(2)), (), (), 0)
    made.close()


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        ("UPDATE janus_number SET janus_id = CAST(janus_id AS BLOB)", lambda made: made.place_of(0, 1)),
        ("UPDATE janus_page SET first = 0", lambda made: made.read(0, 1)),
        ("UPDATE janus_page SET at = 'x'", lambda made: made.overdue(1.0, 1)),
        ("UPDATE janus_number SET page = 'x'", lambda made: made.place_of(0, 1)),
    ],
)
async def test_a_value_that_nobody_wrote_is_damage_for_whoever_reads(
    path: Path, damage: str, read: Callable[[EventStore], Awaitable[object]]
) -> None:
    made = EventStore(path, full=False)
    made.open()
    change(path, damage)
    with trio.fail_after(HANG_SECONDS), pytest.raises(StoreFailed):
        await read(made)
    with pytest.raises(StoreAnew):
        await made.write(pages(record(2)), (), (), 0)
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
