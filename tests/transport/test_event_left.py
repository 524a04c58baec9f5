"""What a stop leaves to the next start where the database does not take it."""

from pathlib import Path

import pytest

from bridge.protocol.event_record import Loss, NamedSubscription, OutletState, StoreFailed, Wish
from bridge.transport.event_store import EventStore
from tests.support.event_logs import pages, record

LOSS = Loss("g1", "janusws://h", "stopped", 3, "7-9", 6)
NAMED = NamedSubscription("mi:udp:h:1", (Wish("E_JANUS_EVENT", 5, {"kind": ["event"]}),))


def mode(path: Path) -> int | None:
    return path.stat().st_mode & 0o777 if path.exists() else None


def spoil(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def test_the_next_start_has_it_and_no_other(tmp_path: Path) -> None:
    path, file = tmp_path / "events.db", tmp_path / "events.db.left"
    store = EventStore(path, full=False)
    store.open()
    await store.write(pages(record(1)), [OutletState("a", 0), OutletState("b", 1)], (), 0)
    state = OutletState("a", 1, (LOSS,), NAMED, 7)
    await store.leave([state])
    store.close()
    assert mode(file) == 0o600
    for _ in range(2):
        again = EventStore(path, full=False)
        assert again.open().outlets == (state, OutletState("b", 1))
        again.close()
        assert mode(file) is None


async def test_a_damaged_one_is_told_and_costs_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, file = tmp_path / "events.db", tmp_path / "events.db.left"
    odd = [
        b'[["a", %s, "[]", null, null, "[]"]]' % number
        for number in (b"9" * 5000, b"1e999", b"-1", b'"1"', b"%d" % 2**70)
    ]
    for content in (b"x", b"[1]", b"\xff", b'[["a", "x", "[]", null]]', b"[" * 100_000, b"null", *odd):
        spoil(file, content)
        store = EventStore(path, full=False)
        assert store.open().outlets == ()
        store.close()
        rest = "subscribers that lost events at the last stop are not told"
        assert caplog.messages[-1] == f"{file} cannot be read: it is damaged; {rest}"
        assert mode(file) is None


async def test_what_cannot_be_left_is_a_failure_of_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    with pytest.raises(StoreFailed, match="No such file or directory"):
        await EventStore(folder / "events.db", full=False).leave([])


async def test_what_is_no_file_there_costs_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "events.db.left"
    file.mkdir()
    store = EventStore(tmp_path / "events.db", full=False)
    store.open()
    await store.write(pages(record(1)), (), (), 0)
    store.close()
    assert [line.removeprefix(f"{file} ").split(": ")[0] for line in caplog.messages] == [
        "cannot be read",
        "cannot be removed",
    ]
