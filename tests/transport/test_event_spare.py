"""The spare room of the log of events: on a disk that others have filled it is cut, again and again, and goes on."""

import sqlite3
from pathlib import Path

import pytest

from bridge.transport import event_spare
from bridge.transport.event_spare import Spare, is_full
from tests.support.own_mounts import run_with_own_mounts

ON_A_FULL_DISK = """
import os, sys, trio
from pathlib import Path
from bridge.protocol.event_record import StoreFailed
from bridge.transport.event_spare import FREE
from bridge.transport.event_store import EventStore
from tests.support.event_logs import pages, record
from tests.support.own_mounts import mount

folder = Path(sys.argv[1])
mount("-t", "tmpfs", "-o", f"size={FREE + (4 << 20)}", "tmpfs", str(folder))
now, end = 0.0, 0

def fill():
    try:
        with open(folder / "others", "ab", buffering=0) as others:
            while True:
                others.write(bytes(1 << 16))
    except OSError:
        pass

async def write(events):
    global now, end
    now += 1.0
    try:
        await made.write(pages(*(record(end + n, "x" * 1000, at=now) for n in range(1, events + 1))), (), (), 0)
    except StoreFailed as exc:
        return str(exc).partition(": ")[2]
    end += events
    return ""

async def cut(age):
    cuts = 0
    while (overdue := await made.overdue(age, 1 << 40)) is not None:
        await made.write((), (), (), overdue[0])
        cuts += 1
    return cuts

async def main():
    global made, now
    made = EventStore(folder / "events.db", full=False, clock=lambda: now)
    made.open()
    await cut(1e9)
    await write(1000)
    fill()
    while not (words := await write(250)):
        pass
    print(words)
    print(await write(1))
    now += 100.0
    for _ in range(3):
        print(await cut(50.0) > 0)
        fill()
        before = end
        while not (words := await write(250)):
            pass
        print(end > before, words)
        now += 100.0
    print(await cut(50.0) > 0)
    made.close()
    os.unlink(folder / "others")
    made = EventStore(folder / "events.db", full=False, clock=lambda: now)
    made.open()
    await cut(50.0)
    print(await write(1000))
    made.close()
    fill()
    made = EventStore(folder / "events.db", full=False, clock=lambda: now)
    made.open()
    fill()
    now += 100.0
    print(await cut(50.0) > 0, await write(10))
    made.close()

trio.run(main)
"""


@pytest.mark.program
def test_a_disk_that_others_filled_takes_cuts_and_then_events(tmp_path: Path) -> None:
    done = run_with_own_mounts(ON_A_FULL_DISK, tmp_path)
    within = "the disk is full, and so is the room that the log has"
    full = ["database or disk is full"] * 2
    again = ["True", f"True {within}"] * 3
    assert done.stdout.splitlines() == [*full, *again, "True", "", "True "], done.stderr
    said = "the disk is full: the log of events goes on in the room that it has; free 32 MiB there"
    assert done.stderr.splitlines() == [f"{tmp_path}/events.db: {said}"] * 2


def test_it_is_taken_where_there_is_room_and_given_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "events.db.spare"
    spare = Spare(tmp_path / "events.db")
    assert not spare.give()
    monkeypatch.setattr(event_spare, "FREE", 1 << 62)
    spare.take()
    assert not path.exists()
    monkeypatch.setattr(event_spare, "FREE", 1 << 20)
    monkeypatch.setattr(event_spare, "SPARE", 1 << 16)
    spare.take()
    assert (path.stat().st_size, path.stat().st_mode & 0o777, spare.given) == (1 << 16, 0o600, False)
    assert (spare.give(), spare.give(), spare.given) == (True, False, True)
    assert Spare(tmp_path / "events.db").given  # the next process knows
    spare.take()
    assert not spare.given
    assert caplog.messages[-1] == f"{tmp_path}/events.db: the disk has room again"


def test_only_a_lack_of_room_is_one(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(tmp_path / "none" / "events.db")
    assert not is_full(caught.value)
    assert not is_full(sqlite3.OperationalError("one of ours"))
    connection = sqlite3.connect(tmp_path / "events.db")
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    connection.close()
    assert is_full(caught.value)
