import json
import logging
import os
import stat
import time
from pathlib import Path

import pytest

from bridge.protocol.gateway import TableRow
from bridge.transport.saved_table import SavedTable

SOURCE = "mysql://u:***@h/opensips janus"
ROWS = [TableRow(1, "gw1", "janusws://h1"), TableRow(7, "gw-日本", "januswss://h2/janus?token=x")]


async def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    before = time.time()
    await SavedTable(tmp_path / "table.json", SOURCE).save([])
    await SavedTable(tmp_path / "table.json", SOURCE).save(ROWS)
    saved = SavedTable(tmp_path / "table.json", SOURCE).load()
    assert saved is not None
    assert saved.rows == ROWS
    assert before <= saved.saved_at <= time.time()


async def test_only_the_owner_can_read_it_and_nothing_else_is_left(tmp_path: Path) -> None:
    await SavedTable(tmp_path / "table.json", SOURCE).save(ROWS)
    assert os.listdir(tmp_path) == ["table.json"]
    assert stat.S_IMODE((tmp_path / "table.json").stat().st_mode) == 0o600


def test_no_file_is_no_table_and_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert SavedTable(tmp_path / "table.json", SOURCE).load() is None
    assert caplog.records == []


async def test_another_database_s_rows_are_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await SavedTable(tmp_path / "table.json", "sqlite:///other.db janus").save(ROWS)
    assert SavedTable(tmp_path / "table.json", SOURCE).load() is None
    assert "sqlite:///other.db" in caplog.text


async def test_another_host_of_the_same_cluster_s_are(tmp_path: Path) -> None:
    await SavedTable(tmp_path / "table.json", SOURCE).save(ROWS)
    more = SavedTable(tmp_path / "table.json", "mysql://u:***@h2/opensips janus", SOURCE)
    assert more.load() is not None
    await more.save(ROWS)
    assert SavedTable(tmp_path / "table.json", SOURCE).load() is not None
    assert SavedTable(tmp_path / "table.json", "mysql://u:***@h3/opensips janus").load() is None


GOOD = {"format": 1, "source": SOURCE, "saved_at": 1.5, "rows": [[1, "gw1", "janusws://h"]]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"null",
        b"{}",
        json.dumps(GOOD).encode()[:-1],
        json.dumps(GOOD | {"format": 2}).encode(),
        json.dumps(GOOD | {"saved_at": "yesterday"}).encode(),
        json.dumps(GOOD | {"rows": 5}).encode(),
        json.dumps(GOOD | {"rows": [[1, "gw1"]]}).encode(),
        json.dumps(GOOD | {"rows": [["1", "gw1", "janusws://h"]]}).encode(),
        json.dumps(GOOD | {"rows": [[1, None, "janusws://h"]]}).encode(),
    ],
)
def test_a_damaged_file_is_reported_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "table.json").write_bytes(content)
    assert SavedTable(tmp_path / "table.json", SOURCE).load() is None
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"{tmp_path / 'table.json'}: ignoring the saved table: the file is damaged"


async def test_what_cannot_be_read_or_written_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "table.json").mkdir()
    table = SavedTable(tmp_path / "table.json", SOURCE)
    assert table.load() is None
    await table.save(ROWS)
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]
    assert all("Is a directory" in record.getMessage() for record in caplog.records)
    assert os.listdir(tmp_path) == ["table.json"]  # no temporary file is left
