"""The log of events on the disk while another program keeps a transaction open in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.protocol.event_record import StoreFailed
from bridge.transport import event_store
from bridge.transport.event_store import EventStore
from tests.support.event_logs import pages, record

WORDS = "another program keeps a transaction open in it, so that its WAL has "


def size_of(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


async def test_its_wal_is_told_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_store, "LONG_WAL", 1 << 20)
    path = tmp_path / "events.db"
    made = EventStore(path, full=False, most_wal=2 << 20)
    made.open()
    await made.write(pages(record(1)), (), (), 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM janus_page").fetchone()
        position = 1
        while size_of(path) <= 2 << 20:
            position += 1
            await made.overdue(1e9, 1 << 40)  # each second: it looks how large it is
            await made.write(pages(record(position, "x" * 500_000)), (), (), 0)
        await made.overdue(1e9, 1 << 40)
        assert caplog.messages == [f"{path}: {WORDS}1 MiB; end that program"]
        with pytest.raises(StoreFailed, match=f"{WORDS}2 MiB"):
            await made.write(pages(record(position + 1)), (), (), 0)
        assert made.figures()[1] > size_of(path)
    await made.write(pages(record(position + 1)), (), (), 0)
    assert size_of(path) < 1 << 20
    made.close()
