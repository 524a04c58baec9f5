"""The journal of sessions when it was cut, and when the disk is full, gone or hangs."""

import errno
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count as count_from
from pathlib import Path

import pytest
import trio

from bridge.protocol.humanize import plural
from bridge.protocol.session import SavedSession
from bridge.transport import session_journal
from tests.support.deadlines import HANG_SECONDS
from tests.support.journals import GATEWAY, client_session, count, loaded, managed, rows, write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.jsonl"


# Damage


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        "{}",
        "x" * 1000,
        "[" * 100_000,
        '{"janus_id":"gw"}',
        '{"janus_id":"gw","janus_url":"janusws://h?token=x","session_id":"7","managed":true,"ended":false}',
        '{"janus_id":"gw","janus_url":"janusws://h?token=x","session_id":0,"managed":true,"ended":false}',
        '{"janus_id":"gw","janus_url":"janusws://h?token=x","session_id":true,"managed":true,"ended":false}',
        '{"janus_id":"gw","janus_url":"janusws://h?token=x","session_id":' + "9" * 5000 + ',"managed":true}',
        '{"janus_id":"gw","janus_url":"janusws://h?token=x","session_id":7,"managed":tr',
    ],
)
def test_damaged_line_is_skipped_and_counted(path: Path, line: str, caplog: pytest.LogCaptureFixture) -> None:
    write(loaded(path), managed(1))
    path.write_text(path.read_text() + line + "\n" + line)
    assert loaded(path).saved(GATEWAY) == (managed(1),)
    damaged = 1 if line == "" else 2
    assert [record.getMessage() for record in caplog.records] == [f"{path}: skipped {plural(damaged, 'damaged line')}"]


def test_line_that_a_kill_cut_harms_no_other(path: Path) -> None:
    write(loaded(path), managed(1), client_session(2))
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        saved = loaded(path).saved(GATEWAY)
        complete = whole[:length].count(b"\n") + (whole[length : length + 1] == b"\n")
        assert saved == (managed(1), client_session(2))[:complete]
        write(loaded(path), client_session(3))  # not behind the cut line
        assert client_session(3) in loaded(path).saved(GATEWAY)


def test_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\0\n" * 3)
    assert loaded(path).saved(GATEWAY) == ()


@pytest.mark.program
def test_process_that_is_killed_loses_nothing_that_was_written(path: Path) -> None:
    """And a new one goes on behind it."""
    code = (
        "import sys, trio\n"
        "from pathlib import Path\n"
        "from tests.support.journals import GATEWAY, loaded, client_session\n"
        "async def main():\n"
        "    journal = loaded(Path(sys.argv[1]))\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        nursery.start_soon(journal.run)\n"
        "        for n in range(1, 10**6):\n"
        "            journal.save(GATEWAY, client_session(n))\n"
        "            await trio.sleep(0)\n"
        "trio.run(main)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT) as process:
        while process.poll() is None and (not path.exists() or path.stat().st_size < 50_000):
            threading.Event().wait(0.001)
        process.send_signal(signal.SIGKILL)
    written = count(path)
    assert written > 100
    ids = [session.session_id for session in loaded(path).saved(GATEWAY)]
    assert ids[:written] == list(range(1, written + 1))
    assert len(ids) <= written + 1


# A disk that fails


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """No file of this process may become longer than the journal is now."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("intruder", ["fifo", "nothing", "link", "socket"])
def test_what_took_the_place_of_the_file_while_it_ran_is_replaced_by_all_of_it(intruder: str, path: Path) -> None:
    journal = loaded(path)
    write(journal, managed(1), client_session(2))
    path.unlink()
    if intruder == "fifo":
        os.mkfifo(path)
    elif intruder == "link":
        path.symlink_to(path.with_name("elsewhere"))
    elif intruder == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    write(journal, client_session(3))
    assert path.is_file()
    assert not path.is_symlink()
    assert loaded(path).saved(GATEWAY) == (managed(1), client_session(2), client_session(3))


def test_full_disk_is_logged_once_and_costs_nothing_when_it_has_room_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    journal = loaded(path)
    write(journal, managed(1))
    with full_disk(path):
        write(journal, client_session(2))
        write(journal, client_session(3))
        assert journal.saved(GATEWAY) == (managed(1), client_session(2), client_session(3))
    write(journal, client_session(4))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} cannot be written: {os.strerror(errno.EFBIG)}; sessions are not saved; retrying",
        f"{path} can be written again",
    ]
    assert loaded(path).saved(GATEWAY) == (managed(1), client_session(2), client_session(3), client_session(4))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_a_full_disk_refused_is_written_at_the_end(path: Path) -> None:
    journal = loaded(path)
    write(journal, managed(1))
    with full_disk(path):
        write(journal, client_session(2))
    write(journal)
    assert loaded(path).saved(GATEWAY) == (managed(1), client_session(2))


def test_line_that_a_full_disk_cut_harms_nobody(path: Path) -> None:
    journal = loaded(path)
    write(journal, managed(1))
    with full_disk(path):
        write(journal, client_session(2))
        assert not path.read_bytes().endswith(b"\n")
        assert loaded_only(path) == (managed(1),)
    write(journal, client_session(3))
    assert loaded(path).saved(GATEWAY) == (managed(1), client_session(2), client_session(3))


def loaded_only(path: Path) -> tuple[SavedSession, ...]:
    """What a next process would find, without its beginning a new file."""
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes()[:200])
    try:
        return loaded(copy).saved(GATEWAY)
    finally:
        copy.unlink()


def test_directory_that_is_gone_is_logged_not_fatal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "gone" / "sessions.jsonl"
    journal = loaded(path)
    write(journal, managed(1))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} cannot be written: {os.strerror(errno.ENOENT)}; sessions are not saved; retrying"
    ]
    path.parent.mkdir()
    write(journal, client_session(2))
    assert loaded(path).saved(GATEWAY) == (managed(1), client_session(2))


def test_file_that_cannot_be_read_is_named(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()
    journal = loaded(path)
    assert journal.saved(GATEWAY) == ()
    first, second = [record.getMessage() for record in caplog.records]
    assert first == f"{path} cannot be read: {os.strerror(errno.EISDIR)}; no session of the last process is claimed"
    assert second.startswith(f"{path} cannot be written: ")


@pytest.fixture
def hanging_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The first append waits until the returned function is called: a network drive whose server is away."""
    release = threading.Event()
    append = session_journal._append
    appends = count_from(1)

    def hang(path: Path, data: bytes) -> None:
        if next(appends) == 1:
            release.wait(HANG_SECONDS)
        append(path, data)

    monkeypatch.setattr(session_journal, "_append", hang)
    yield release.set
    release.set()


async def test_disk_that_hangs_stops_nobody(
    path: Path, hanging_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session_journal, "LAST_WRITE", 0.05)
    journal = loaded(path)
    with trio.fail_after(HANG_SECONDS / 2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            journal.save(GATEWAY, managed(1))
            await trio.sleep(0.05)
            for n in range(2, 1000):
                journal.save(GATEWAY, client_session(n))
            nursery.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: the disk does not respond; the last sessions are not saved"
    ]


async def test_what_waits_behind_a_hanging_disk_is_bounded(
    path: Path, hanging_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_journal, "REWRITE_AFTER", 100)
    journal = loaded(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        journal.save(GATEWAY, managed(10**6))
        await trio.testing.wait_all_tasks_blocked()
        for n in range(1, 1000):
            journal.save(GATEWAY, client_session(n))
            journal.save(GATEWAY, client_session(n, ended=True))
        journal.save(GATEWAY, client_session(10**7))
        assert len(journal._unwritten) == 100
        hanging_disk()
        nursery.cancel_scope.cancel()
    saved = loaded(path).saved(GATEWAY)
    assert saved[-2:] == (managed(10**6), client_session(10**7))
    assert len(saved) == 1001


async def test_last_write_waits_for_the_one_before(
    path: Path, hanging_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what it had in its hands would be lost with the process."""
    assert session_journal.LAST_WRITE == 2
    monkeypatch.setattr(session_journal, "LAST_WRITE", HANG_SECONDS)
    journal = loaded(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        journal.save(GATEWAY, managed(1))
        await trio.testing.wait_all_tasks_blocked()
        assert count(path) == 0
        nursery.cancel_scope.cancel()
        threading.Timer(0.1, hanging_disk).start()
    assert rows(path)[0]["session_id"] == 1
