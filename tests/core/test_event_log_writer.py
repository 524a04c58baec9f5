"""When the log of events is cut or ended: what a cut means, or a last write, that does not come to its end."""

import json
from collections.abc import Sequence

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from bridge.core.event_log import LogLimits
from bridge.core.event_log_writer import LAST_WRITE, StoreLimits
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.event_record import PAGE, EventRecord, LogPage, OutletState, StoreContents, StoreFailed
from bridge.protocol.reply_socket import ReplySocket
from tests.support.event_logs import Life, MemoryStore, living

MI = ReplySocket.parse("mi:udp:h:1")


async def test_a_cut_that_comes_to_nothing_costs_nobody_an_event(nursery: trio.Nursery) -> None:
    """The disk fails in the middle of it, or the bridge stops: what is still on the disk is delivered or told."""
    store = MemoryStore()
    life = Life(store, StoreContents(), 7, LogLimits(), StoreLimits())
    life.evi.configure([(E_JANUS_EVENT, MI)])
    life.janus(*range(1, 11))
    await life.writer._write()
    (cursor,) = life.log.outlets.values()
    pages = store.read

    async def failing(after: int, upto: int) -> tuple[list[EventRecord], int]:
        if after:
            raise StoreFailed("disk I/O error")
        return await pages(after, upto)

    store.read = failing  # type: ignore[method-assign]
    with pytest.raises(StoreFailed):
        await life.writer._cut_to(8, "store_age")
    store.read = pages  # type: ignore[method-assign]
    assert (cursor.state().position, cursor.read_to, cursor.state().losses) == (0, 0, ())
    assert life.evi.figures()[0].drops == {}
    await nursery.start(life.evi.run)
    await life.settled()
    assert life.sender(MI).bodies() == list(range(1, 11))
    nursery.cancel_scope.cancel()


async def test_a_disk_that_takes_no_more_is_cut_all_the_same(nursery: trio.Nursery) -> None:
    """And is told to be full until it has what waits, a few at a time."""
    store = MemoryStore()
    life = Life(store, StoreContents(), 7, LogLimits(), StoreLimits())
    life.janus(*range(10))
    await life.writer._write()
    room, write = 0, store.write

    async def full(pages: Sequence[LogPage], outlets: Sequence[OutletState], gone: Sequence[str], cut: int) -> None:
        if sum(len(page.rows) for page in pages) > room:
            raise StoreFailed("disk is full")
        await write(pages, outlets, gone, cut)

    store.write = full  # type: ignore[method-assign]
    life.janus(*range(5000))
    nursery.start_soon(life.writer._cut_to, 8, "store_age")
    await trio.testing.wait_all_tasks_blocked()
    assert not await life.writer._write()
    assert (sorted(store.records), life.log.trouble) == ([9, 10], "disk is full")
    room = PAGE
    while life.log.waiting:
        assert await life.writer._write()
        assert life.log.trouble is None
        life.log.trouble = "disk is full"  # as after an attempt at more
    assert len(store.records) == 5002


def life_of(store: MemoryStore) -> Life:
    contents = StoreContents(max(store.records, default=0), 7, tuple(store.outlets.values()))
    return Life(store, contents, 7, LogLimits(), StoreLimits(delay=0.0))


async def test_a_stop_writes_all_at_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A disk may take seconds for each write, however much that has."""
    store = MemoryStore()
    async with living(life_of(store)) as life:
        life.janus(*range(20_000))
        await trio.lowlevel.checkpoint()
    assert (len(store.records), store.writes) == (20_000, [20_000])


async def test_what_the_disk_does_not_take_at_a_stop_is_counted_and_told_by_the_next_start(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """To who had not got it: one had, one had a part and read on, one is far behind, to one it is all the same."""
    both = [(event, MI) for event in (E_JANUS_EVENT, E_JANUS_STATUS)]
    store = MemoryStore()
    async with living(life_of(store)) as life:
        life.evi.configure(both)
        life.sender(MI).up = False
        life.janus(1, 2)
        await life.stored()
        store.held = trio.Event()
        life.janus(3, 4, 5)
        await trio.sleep(0.5)
        begun = trio.current_time()
    assert trio.current_time() - begun == pytest.approx(LAST_WRITE)
    assert life.evi.figures()[0].drops == {"stopped": 3}
    text = "3 events not kept, and lost to subscribers that had not got them: the disk did not take them within"
    assert f"{text} {LAST_WRITE:g} s" in caplog.messages
    store.held = None
    async with living(life_of(store)) as life:
        life.evi.configure(both)
        life.janus(6)
        await life.settled()
    got = life.sender(MI).params()
    assert [item.get("reason", item.get("janus_body")) for item in got] == ['{"n":1}', '{"n":2}', "stopped", '{"n":6}']
    assert (got[2]["janus_seq"], json.loads(got[2]["detail"])) == ("7-5.lost", {"lost": 3})


async def test_who_cannot_be_told_is_said_in_the_log(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    store.fault = StoreFailed("disk I/O error")
    async with living(life_of(store)) as life:
        life.janus(1)
        await trio.lowlevel.checkpoint()
    assert caplog.messages[-1] == "the next start cannot tell which events are lost: disk I/O error"
