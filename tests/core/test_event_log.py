"""The log of events: a list, cursors in it, and what a disk does that is slow, full, broken or cut."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bridge.core.event_drops import Drops
from bridge.core.event_log import EventLog, LogLimits
from bridge.core.event_log_writer import HANGS, StoreLimits
from bridge.core.stats import Stats
from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS, janus_event
from bridge.protocol.event_record import StoreAnew, StoreContents, StoreFailed
from bridge.protocol.reply_socket import ReplySocket
from tests.support.event_logs import Life, MemoryStore, living, opened
from tests.support.evi_bed import URL

MI, OTHER = (ReplySocket.parse(f"mi:udp:h:{port}") for port in (1, 2))
TCP = ReplySocket.parse("tcp:h:3", reliable=True)
UDP = ReplySocket.parse("udp:h:4")
BOTH = [(event, MI) for event in (E_JANUS_EVENT, E_JANUS_STATUS)]


def of(store: MemoryStore, **limits: Any) -> Life:
    end = max(store.records, default=0)
    contents = StoreContents(end, 7, tuple(store.outlets.values()))
    return Life(store, contents, 8 if store.records else 7, LogLimits(**limits), StoreLimits(delay=0.0))


def seqs(life: Life, socket: ReplySocket) -> list[str]:
    return [item["janus_seq"] for item in life.sender(socket).params()]


def told(life: Life, socket: ReplySocket) -> list[tuple[str, str, int]]:
    items = [item for item in life.sender(socket).params() if item.get("status") == "events_lost"]
    return [(item["janus_seq"], item["reason"], json.loads(item["detail"])["lost"]) for item in items]


async def test_over_a_restart_an_outlet_goes_on_where_it_was(tmp_path: Path) -> None:
    """However long it was away; what it got before does not come again, and what is not logged is as ever."""
    wanted = [(E_JANUS_EVENT, MI), (E_JANUS_EVENT, TCP), (E_JANUS_EVENT, UDP)]
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure(wanted)
        life.janus(1, 2, 3)
        await life.settled()
        life.sender(TCP).up = False
        life.janus(*range(4, 1000))
        for socket in (MI, UDP):
            await life.delivered(socket, 999)
        await life.stored()
        assert life.sender(UDP).bodies() == list(range(1, 1000))
    assert life.sender(TCP).bodies() == [1, 2, 3]
    async with living(opened(tmp_path / "events.db", epoch=8)) as life:
        life.evi.configure(wanted)
        life.janus(1000, 1001)
        await life.settled()
        assert life.sender(MI).bodies() == [1000, 1001]
        assert life.sender(TCP).bodies() == list(range(4, 1002))
        assert life.sender(UDP).bodies() == [1000, 1001]
    assert seqs(life, MI) == ["8-1", "8-2"]


async def test_a_new_outlet_begins_with_what_comes_and_a_removed_one_is_forgotten(tmp_path: Path) -> None:
    async with living(opened(tmp_path / "events.db")) as life:
        life.janus(1)
        life.evi.configure([(E_JANUS_EVENT, MI)])
        life.janus(2)
        await life.settled()
        life.sender(MI).up = False
        life.janus(3)
        life.evi.configure([])
        life.janus(4)
        life.sender(MI).up = True
        await life.settled()
        assert life.sender(MI).bodies() == [2, 3]
        await life.stored()
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure([(E_JANUS_EVENT, MI)])
        life.janus(5)
        await life.settled()
    assert life.sender(MI).bodies() == [5]


async def test_each_outlet_gets_what_it_is_subscribed_to(tmp_path: Path) -> None:
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure([(E_JANUS_STATUS, MI), (E_JANUS_EVENT, TCP)])
        life.janus(1)
        life.evi.raise_event(E_JANUS_STATUS, [("status", "x")])  # by MI: goes to no mi: socket
        life.evi.raise_event(E_JANUS_EVENT, [("janus_body", '{"n":7}')])
        life.evi.gateway_status("g1", "u", "connected", "", "{}")
        await life.settled()
    assert [item["status"] for item in life.sender(MI).params()] == ["connected"]
    assert life.sender(TCP).bodies() == [1, 7]


async def test_normal_at_once_full_once_it_is_on_the_disk(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    for full, before in ((False, [1]), (True, [])):
        store = MemoryStore()
        store.held = trio.Event()
        async with living(of(store, full=full)) as life:
            life.evi.configure([(E_JANUS_EVENT, MI)])
            life.janus(1)
            await trio.sleep(HANGS / 2)
            assert life.sender(MI).bodies() == before
            store.held.set()
            await life.settled()
            assert life.sender(MI).bodies() == [1]


async def test_what_comes_together_is_written_together(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with living(of(store)) as life:
        life.janus(*range(100))
        await life.stored()
        life.janus(*range(10_000))
        await life.stored()
    assert [count for count in store.writes if count] == [100, 4096, 4096, 1808]


async def test_a_disk_that_hangs_stops_nobody(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """With "full", outlets wait for it no longer than it is said to hang."""
    caplog.set_level("INFO")
    store = MemoryStore()
    store.held = trio.Event()
    async with living(of(store, full=True)) as life:
        life.evi.configure([(E_JANUS_EVENT, MI)])
        life.janus(1)
        await trio.sleep(HANGS * 1.3)
        life.janus(2)
        await wait_all_tasks_blocked()
        assert life.sender(MI).bodies() == [1, 2]
        assert life.writer.figures().trouble == "the disk does not respond"
        store.held.set()
        await life.stored()
        life.janus(3)
        await life.settled()
        assert life.sender(MI).bodies() == [1, 2, 3]
        assert (len(store.records), life.writer.figures().trouble) == (3, None)
    assert [line.split(":")[0] for line in caplog.messages] == [
        "events are not kept on disk",
        "events are kept on disk again after",
    ]


async def test_a_full_disk_is_today_s_queue_and_what_that_lets_go_is_counted_and_told(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = MemoryStore()
    store.fault = StoreFailed("disk is full")
    async with living(of(store, events=10)) as life:
        life.evi.configure([*BOTH, (E_JANUS_EVENT, OTHER)])
        life.janus(1)
        await life.settled()
        life.sender(MI).up = False
        for number in range(2, 31):
            life.janus(number)
            await trio.sleep(0.5)
        assert life.sender(OTHER).bodies() == list(range(1, 31))  # who takes them loses nothing
        assert life.stats.get("store_full") == 20
        store.fault = None
        life.sender(MI).up = True
        await life.settled()
        await life.stored()
    assert sorted(store.records) == list(range(21, 31))
    # 2 was its page when it was away; of the others, those that were let go before it could read them are lost.
    got = life.sender(MI).bodies()
    assert (got[:2], got[-10:]) == ([1, 2], list(range(21, 31)))
    assert told(life, MI) == [("7-20.lost", "store_full", 18)]
    assert {one.subscriber: one.drops for one in life.evi.figures()} == {str(MI): {"store_full": 18}, str(OTHER): {}}


async def test_what_is_cut_off_is_told_exactly_in_its_place_over_any_restart(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = MemoryStore()
    async with living(of(store)) as life:
        life.evi.configure(BOTH)
        life.janus(1)
        await life.settled()
        life.sender(MI).up = False
        for number in range(2, 12):
            life.janus(number)
            life.evi.raise_event(E_JANUS_EVENT, [("janus_body", "{}")])  # not for it: not lost to it
            life.janus(number, janus_id="g2")
        await life.stored()
        store.cut = (1 + 5 * 3, "store_age")
        await trio.sleep(5)
        await life.stored()
        assert min(store.records) == 17
        assert life.evi.figures()[0].drops == {"store_age": 10}
    async with living(of(store)) as life:
        life.evi.configure(BOTH)
        await life.settled()
    got = life.sender(MI).params()
    assert [(item["janus_id"], item["detail"]) for item in got[:2]] == [("g1", '{"lost":5}'), ("g2", '{"lost":5}')]
    assert [item["janus_seq"] for item in got[:2]] == ["7-6.lost", "7-5.lost"]
    assert life.sender(MI).bodies() == [n for number in range(7, 12) for n in (number, number)]
    async with living(of(store)) as life:
        life.evi.configure(BOTH)
        await life.settled()
    assert life.sender(MI).params() == []


async def test_a_log_that_begins_anew_costs_nobody_what_was_read(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = MemoryStore()
    async with living(of(store)) as life:
        life.evi.configure([(E_JANUS_EVENT, MI)])
        life.sender(MI).up = False
        life.janus(*range(1, 6))
        await life.stored()
        store.records.clear()
        store.outlets.clear()
        store.fault = StoreAnew("malformed; it was set aside")
        life.janus(6)
        await trio.sleep(0.5)
        store.fault = None
        await life.stored()
        assert sorted(store.records) == [1, 2, 3, 4, 5, 6]  # memory has them while somebody has still to read them
        life.sender(MI).up = True
        await life.settled()
    assert life.sender(MI).bodies() == [1, 2, 3, 4, 5, 6]
    assert store.outlets[str(MI)].position == 6


async def test_what_is_too_large_or_refused_is_lost_in_its_place(tmp_path: Path) -> None:
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure([(E_JANUS_STATUS, MI)])
        life.evi.gateway_status("g1", "u", "connected", "", "{}")
        life.evi.gateway_status("g1", "u", "connected", "", '{"x":"' + "x" * 70_000 + '"}')
        life.evi.gateway_status("g1", "u", "connected", "", "{}")
        await life.settled()
    assert seqs(life, MI) == ["7-1", "7-2.lost", "7-3"]


async def test_a_socket_of_memory_that_is_configured_goes_on_from_the_log(tmp_path: Path) -> None:
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.subscribe(E_JANUS_EVENT, MI, 3600)
        life.sender(MI).up = False
        life.janus(1, 2)
        life.evi.configure([(E_JANUS_EVENT, MI)])
        life.janus(3, 4)
        await life.stored()
        life.sender(MI).up = True
        await life.settled()
    assert life.sender(MI).bodies() == [1, 2, 3, 4]


async def test_a_filter_of_what_comes_from_the_log(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """What it keeps out is not lost to it when it is cut."""
    store = MemoryStore()
    only = EventFilter(janus_ids=frozenset({"g2"}), kinds=frozenset({"event"}))
    async with living(of(store)) as life:
        life.evi.configure(BOTH, {(E_JANUS_EVENT, MI): only})
        life.sender(MI).up = False
        for number in range(1, 7):
            life.evi.gateway_event("g2", URL, f'{{"janus":"{"event" if number % 2 else "ack"}","n":{number}}}')
            life.janus(number)
        await life.stored()
        store.cut = (4, "store_bytes")
        await trio.sleep(5)
        life.sender(MI).up = True
        await life.settled()
    assert told(life, MI) == [("7-1.lost", "store_bytes", 1)]
    assert life.sender(MI).bodies() == [3, 5]


async def test_the_oldest_is_as_old_as_it_is_whatever_the_clock_does(autojump_clock: MockClock) -> None:
    wall = 1_800_000_000.0
    store, limits = MemoryStore(), LogLimits()
    log = EventLog(store, StoreContents(), Stats(), 7, limits, lambda: wall)
    cursor = log.outlet("a", Drops("a", Stats()))
    cursor.wants = lambda record: True
    assert log.oldest() == 0.0
    for n in (1, 2):
        log.append(E_JANUS_EVENT, janus_event("g1", URL, "{}"), "g1", n)
    assert await cursor.fill()
    wall += 5.0
    assert log.oldest() == 5.0
    for step in (365 * 86_400.0, -2 * 365 * 86_400.0):
        wall += step
        await trio.sleep(60.0)
        assert log.oldest() % 60.0 == 5.0
    assert log.oldest() == 125.0


async def test_removed_it_gets_what_is_not_on_the_disk_yet(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    store = MemoryStore()
    store.held = trio.Event()
    async with living(of(store, full=True)) as life:
        life.evi.configure([(E_JANUS_EVENT, MI)])
        life.janus(1, 2)
        life.evi.configure([])
        life.janus(3)
        await trio.sleep(HANGS / 2)
        assert life.sender(MI).bodies() == []
        store.held.set()
        await life.settled()
        assert life.sender(MI).bodies() == [1, 2]
        await life.stored()
    assert store.outlets == {}
