"""The log of events on the disk: what was written is there, and a file that cannot be used is set aside."""

import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from bridge.protocol.event_payload import E_JANUS_STATUS, janus_status
from bridge.protocol.event_record import (
    PAGE,
    EventRecord,
    LogPage,
    Loss,
    OutletState,
    StoreAnew,
    StoreContents,
    StoreFailed,
    row_of,
)
from bridge.transport import event_file, event_pages
from bridge.transport.event_rows import APPLICATION, VERSION
from bridge.transport.event_store import EventStore
from bridge.transport.log_time import SURE
from tests.support.deadlines import HANG_SECONDS
from tests.support.event_logs import pages, record

ASIDE = "it is set aside as"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def store(path: Path, *, full: bool = False, clock: Callable[[], float] = float) -> EventStore:
    return EventStore(path, full=full, clock=clock, wall=clock)


def content(path: Path) -> bytes:
    return path.read_bytes()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def contents(path: Path) -> StoreContents:
    made = store(path)
    try:
        return made.open()
    finally:
        made.close()


async def write(made: EventStore, *records: EventRecord, cut: int = 0, most: int = PAGE) -> None:
    await made.write(pages(*records, most=most), (), (), cut)


async def numbers(made: EventStore, after: int = 0, upto: int = 2**62) -> list[int]:
    records, _ = await made.read(after, upto)
    return [one.position for one in records]


@pytest.mark.parametrize("full", [False, True])
async def test_what_was_written_is_there_again(path: Path, full: bool) -> None:
    made = store(path, full=full)
    assert made.open() == StoreContents()
    status = janus_status("g1", "janusws://h", "connected", "", "{}")
    raised = [
        record(1),
        EventRecord(2, *row_of(5.5, E_JANUS_STATUS, status, "g1", 7, 2)),
        EventRecord(3, *row_of(6.0, "E_JANUS_EVENT", [("janus_id", "x"), ("n", 5)])),
        record(4, '{"ü":"😀\\u0000\x7f"}'),
    ]
    losses = (Loss("g1", "janusws://h", "store_age", 3, "7-9", 2), Loss("g2", "u", "full", 1, None, 4))
    await made.write(pages(*raised), [OutletState("mi:udp:h:1", 2, losses), OutletState("gone", 1)], (), 0)
    await made.write((), [OutletState("mi:udp:h:1", 3, losses)], ["gone"], 0)
    made.close()
    again = store(path)
    assert again.open() == StoreContents(4, 7, (OutletState("mi:udp:h:1", 3, losses),))
    assert await again.read(0, 100) == (raised, 100)
    assert [one.params for one in raised] == [one.params for one in (await again.read(0, 100))[0]]
    assert (await again.read(0, 100))[0][1].params == [*status]
    again.close()
    assert mode(path) == 0o600


async def test_cut_by_age_and_by_bytes(path: Path) -> None:
    now = 0.0
    made = store(path, clock=lambda: now)
    made.open()
    for n in range(1, 61, 3):
        now = n + 2.0
        await write(made, *(record(n + i) for i in range(3)))
    now = 100.0
    assert await made.overdue(60.0, 1 << 40) == (39, "store_age")  # the end of a page
    await write(made, cut=39)
    assert await made.overdue(60.0, 1 << 40) is None
    assert (await numbers(made), made.figures()[0]) == (list(range(40, 61)), 21)
    cut = await made.overdue(60.0, 1)
    assert cut == (60, "store_bytes")
    await write(made, *(record(n, "x" * 1000, at=99.0) for n in range(100, 2000)), most=10)
    await made.overdue(60.0, 1 << 40)  # it looks how large it is
    size = made._bytes
    position, reason = await made.overdue(60.0, size - size // 10) or (0, "")
    assert reason == "store_bytes"
    assert 40 < position < 400  # about a tenth of them
    await write(made, cut=1990)
    assert made._bytes < size / 5
    made.close()


async def test_a_clock_that_is_wrong_for_a_while_cuts_nothing_and_keeps_nothing(path: Path) -> None:
    """Events have the wall clock's time, which a start goes by alone: by the last one, and never back."""
    age, year, now = 86_400.0, 365 * 86_400.0, 1_800_000_000.0
    at = 0

    async def live(*raised: float) -> tuple[int, str] | None:
        """A life of an hour with an event at each of these times, as the wall clock has them."""
        nonlocal at, now
        made = store(path, clock=lambda: now)
        made.open()
        for wall in raised:
            at += 1
            await write(made, record(at, at=wall))
        now += SURE
        overdue = await made.overdue(age, 1 << 40)
        made.close()
        return overdue

    assert await live(now, now + year, now) is None  # ahead by a year, and back
    now += 60.0
    assert await live(now - year, now + year) is None  # behind, then ahead to the end
    now += 60.0
    assert await live(now) is None
    now += age - 4 * SURE - 150.0  # the bridge was away
    assert await live(now) is None
    now += age
    made = store(path, clock=lambda: now)
    made.open()
    assert await made.overdue(age - 1.0, 1 << 40) is None
    now += SURE
    assert await made.overdue(age - 1.0, 1 << 40) == (at, "store_age")
    made.close()


async def test_a_page_from_the_future_is_as_old_as_the_next_one(path: Path) -> None:
    """As an earlier program kept it, by the wall clock."""
    now = 1_800_000_000.0
    made = store(path, clock=lambda: now)
    made.open()
    for n in range(1, 6):
        await write(made, record(n, at=now))
        now += 10.0
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE janus_page SET at = at + 31536000 WHERE last IN (1, 3)")
    found = []
    for seconds in (35.0, 20.0, 10.0, 0.0):  # the ages that are kept
        overdue = await made.overdue(seconds, 1 << 40)
        found.append(overdue and overdue[0])
    assert found == [2, 2, 4, 5]
    made.close()


async def test_a_gateway_s_events_from_a_number_on(path: Path) -> None:
    made = store(path)
    made.open()
    pairs = [(n, janus_id) for n in range(1, 51) for janus_id in ("g1", "g2")]
    await write(made, *(record(i, janus_id=janus_id, n=n) for i, (n, janus_id) in enumerate(pairs, 1)))
    await write(made, record(200, n=1)._replace(epoch=8))
    found = await made.replay("g1", 7, 48, 10)
    assert [one.seq for one in found] == ["7-48", "7-49", "7-50", "8-1"]
    assert [one.seq for one in await made.replay("g2", 0, 0, 2)] == ["7-1", "7-2"]
    assert await made.replay("g3", 0, 0, 2) == []
    made.close()


async def test_what_is_cut_while_it_is_looked_up_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the number of a page and the page itself."""
    made = store(path)
    made.open()
    await write(made, record(1), record(2))
    one = event_pages._one

    def cut_first(connection: sqlite3.Connection, last: int) -> LogPage:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            event_pages.delete(other, 2)
        return one(connection, last)

    monkeypatch.setattr(event_pages, "_one", cut_first)
    ((_, first, last),) = await made.gateways()
    assert (first.position, last.position) == (1, 2)
    assert await made.replay("g1", 0, 0, 10) == []
    await write(made, record(3))
    assert await numbers(made) == [3]
    made.close()


async def test_whatever_goes_wrong_is_a_failure_of_the_store(path: Path) -> None:
    made = store(path)
    made.open()
    with pytest.raises(StoreFailed, match="too large"):
        await write(made, record(2**70))
    assert await made.replay("\ud800", 0, 0, 1) == []
    await write(made, record(1))
    made.close()
    assert contents(path).end == 1


async def test_nothing_is_closed_while_a_thread_is_in_it(path: Path) -> None:
    """A stop in the middle of a read; sqlite3 crashes the process that closes what another thread uses."""
    made = store(path)
    made.open()
    began, go, over = threading.Event(), threading.Event(), threading.Event()
    found: list[object] = []

    def work() -> None:
        began.set()
        go.wait(HANG_SECONDS)
        try:
            found.append(made._connected(made._reader).execute("SELECT 5").fetchone())
        except sqlite3.Error as exc:
            found.append(exc)
        over.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(made._in_thread, made._reading, work)
        await trio.to_thread.run_sync(began.wait, HANG_SECONDS)
        nursery.cancel_scope.cancel()
    made.close()
    go.set()
    await trio.to_thread.run_sync(over.wait, HANG_SECONDS)
    assert found == [(5,)]
    await write(made, record(1))
    await made.read(0, 1)  # behind what was out
    made.close()
    assert made._reader is None


async def test_an_empty_log_has_nothing_to_cut(path: Path) -> None:
    """Its subscribers' rows may be larger than it is to be; a cut up to nothing would never come to an end."""
    made = store(path)
    made.open()
    await made.write((), [OutletState("o", 0)], (), 0)
    assert made.figures()[1] > 1
    assert await made.overdue(1.0, 1) is None
    made.close()


async def test_what_is_set_aside_stays_while_no_new_one_can_be_begun(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store(path)
    made.open()
    await write(made, record(1))
    made._damage = "malformed"
    begin = event_file.prepare

    def no_room(connection: sqlite3.Connection, *, full: bool) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(event_file, "prepare", no_room)
    for _ in range(3):
        with pytest.raises(StoreFailed, match="disk is full"):
            await write(made, record(2))
    monkeypatch.setattr(event_file, "prepare", begin)
    with pytest.raises(StoreAnew):
        await write(made, record(2))
    await write(made, record(2))
    made.close()
    assert (contents(path).end, contents(Path(f"{path}.aside")).end) == (2, 1)


def scribble(path: Path) -> None:
    """Over everything but the first pages."""
    spoilt = bytearray(path.read_bytes())
    spoilt[8192:] = b"\xff" * (len(spoilt) - 8192)
    path.write_bytes(spoilt)


def damaged(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE janus (id INTEGER)")


def of_a_newer_version(path: Path) -> None:
    contents(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")


def of_an_older_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"""
            PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1;
            CREATE TABLE janus_event (seq INTEGER PRIMARY KEY, body TEXT);
            INSERT INTO janus_event VALUES (1, '{{}}');
        """)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damaged, "file is not a database"),
        (of_another_program, "it is another program's"),
        (of_a_newer_version, f"it has version {VERSION + 1}, and this program {VERSION}"),
        (of_an_older_version, f"it has version 1, and this program {VERSION}"),
    ],
)
async def test_what_cannot_be_used_is_set_aside_told_and_begun_anew(
    path: Path, spoil: Callable[[Path], None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(path)
    before = content(path)
    made = store(path)
    assert made.open() == StoreContents()
    (line,) = caplog.messages
    assert line.startswith(f"{path} cannot be used: {reason}; {ASIDE} {path}.aside")
    assert content(Path(f"{path}.aside")) == before
    await write(made, record(1))
    assert await numbers(made) == [1]
    made.close()


@pytest.mark.parametrize(
    "read", [lambda made: made.read(0, 300), lambda made: made.overdue(1.0, 1), EventStore.gateways]
)
async def test_a_log_that_turns_out_damaged_is_set_aside_while_it_runs(
    path: Path, read: Callable[[EventStore], Awaitable[object]], caplog: pytest.LogCaptureFixture
) -> None:
    made = store(path)
    made.open()
    await write(made, *(record(n, "x" * 500) for n in range(1, 300)))
    made.close()
    made = store(path)
    made.open()
    scribble(path)
    with pytest.raises(StoreFailed):
        await read(made)
    assert made._damage  # a write alone might not touch the spoilt pages for days
    with pytest.raises(StoreAnew, match="it was set aside"):
        await write(made, record(300))
    await write(made, record(300))
    assert await numbers(made) == [300]
    assert ASIDE in caplog.text
    made.close()


async def test_a_full_disk_keeps_all_or_nothing(path: Path) -> None:
    made = store(path)
    made.open()
    await write(made, record(1))
    assert made._writer is not None
    (size,) = made._writer.execute("PRAGMA page_count").fetchone()
    made._writer.execute(f"PRAGMA max_page_count = {size + 2}")
    with pytest.raises(StoreFailed, match="database or disk is full"):
        await made.write(pages(*(record(n, "x" * 500) for n in range(2, 200))), [OutletState("o", 1)], (), 0)
    assert await numbers(made) == [1]
    made._writer.execute(f"PRAGMA max_page_count = {size + 1000}")
    await write(made, *(record(n, "x" * 500) for n in range(2, 200)))
    made.close()
    assert contents(path) == StoreContents(199, 7)


def test_what_can_neither_be_opened_nor_made_is_said(tmp_path: Path) -> None:
    for place in (tmp_path / "gone" / "events.db", tmp_path):
        with pytest.raises(StoreFailed, match=f"^{place}: (No such file or directory|Is a directory)"):
            store(place).open()
