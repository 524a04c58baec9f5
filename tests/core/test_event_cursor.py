"""A place in the log of events: what is lost, and where that is told."""

import json
from typing import Any

import trio
from trio.testing import MockClock

from bridge.core.event_log import LogLimits
from bridge.core.event_log_writer import RETRY, StoreLimits
from bridge.core.event_sender import PAUSES
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.event_record import StoreContents, StoreFailed
from bridge.protocol.reply_socket import ReplySocket
from tests.support.event_logs import Life, MemoryStore, living

MI = ReplySocket.parse("mi:udp:h:1")
BOTH = [(event, MI) for event in (E_JANUS_EVENT, E_JANUS_STATUS)]


def of(store: MemoryStore, **limits: Any) -> Life:
    contents = StoreContents(max(store.records, default=0), 7, tuple(store.outlets.values()))
    return Life(store, contents, 8 if store.records else 7, LogLimits(**limits), StoreLimits(delay=0.0))


def got(life: Life) -> list[Any]:
    """Numbers of events, and what is lost before the next as a text."""
    return [
        json.loads(item["janus_body"])["n"] if "janus_body" in item else f"{item['detail']} {item['janus_seq']}"
        for item in life.sender(MI).params()
    ]


async def overflow(life: Life, store: MemoryStore, first: int) -> None:
    """So many that ten of them are let go, ten are kept."""
    store.fault = StoreFailed("disk is full")
    life.janus(*range(first, first + 20))
    await trio.sleep(RETRY)
    store.fault = None
    await life.stored()


async def test_each_hole_is_told_in_its_place_over_a_restart_too(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = MemoryStore()
    async with living(of(store, events=10)) as life:
        life.evi.configure(BOTH)
        life.janus(0)
        await life.settled()
        life.sender(MI).up = False
        life.janus(1)
        await life.stored()
        await overflow(life, store, 2)
        await overflow(life, store, 22)
        assert [one.before for one in store.outlets[str(MI)].losses] == [2, 22]
    async with living(of(store)) as life:
        life.evi.configure(BOTH)
        await life.settled()
    assert got(life) == [1, '{"lost":10} 7-12.lost', *range(12, 22), '{"lost":10} 7-32.lost', *range(32, 42)]


async def test_what_is_just_being_written_comes_before_the_hole_behind_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """With "full" it may not be read yet; that is no reason to tell of the hole."""
    store = MemoryStore()
    async with living(of(store, events=10, full=True)) as life:
        life.evi.configure(BOTH)
        store.held = trio.Event()
        life.janus(*range(5))
        await trio.sleep(0.5)
        life.janus(*range(5, 20))
        await trio.sleep(0.5)
        assert got(life) == []
        store.held.set()
        await life.settled()
    assert got(life) == [*range(5), '{"lost":5} 7-10.lost', *range(10, 20)]


async def test_an_end_that_has_a_place_outlives_the_process(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with living(of(store)) as life:
        life.evi.configure(BOTH)
        life.sender(MI).up = False
        life.janus(1, 2)
        life.evi.configure([])
        life.janus(3)
        await life.stored()
    state = store.outlets[str(MI)]
    assert (state.position, state.until) == (0, 2)
    store.outlets[str(MI)] = state._replace(position=1)
    async with living(of(store)) as life:
        life.evi.configure([(E_JANUS_EVENT, MI)])  # wanted again: it goes on beyond
        await life.settled()
        await life.stored()
    assert got(life) == [2, 3]
    assert store.outlets[str(MI)].until is None


async def test_who_is_away_holds_one_event_in_memory_and_reads_the_rest_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Also what it wanted when it came, and does no more."""
    store = MemoryStore()
    async with living(of(store)) as life:
        life.evi.configure(BOTH)
        life.sender(MI).up = False
        life.janus(*range(10))
        await life.stored()
        await trio.sleep(PAUSES[-1])
        waiting = life.evi.figures()[0]
        assert (waiting.queued, waiting.queued_bytes) == (10, len('{"n":0}'))
        life.evi.configure([(E_JANUS_STATUS, MI)])
        life.sender(MI).up = True
        await life.settled()
        assert got(life) == list(range(10))
