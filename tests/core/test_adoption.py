"""A connection of the last process goes on in this one, mid-life (contract 5.3, 10)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from bridge.core.connection import JanusConnection
from bridge.core.registry import DRAIN
from bridge.errors import LinkDown, TransactionLost
from tests.support.linkbed import LinkBed, running
from tests.support.memory_janus import MemoryJanus

ROWS = {"gw": "ws://model"}


@pytest.fixture
async def janus() -> AsyncIterator[MemoryJanus]:
    """It reclaims nothing, and a store keeps the sockets of processes that end."""
    janus = MemoryJanus(reclaim=False)
    janus.store = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(janus.run)
        yield janus
        nursery.cancel_scope.cancel()


def bed_after(janus: MemoryJanus, before: LinkBed | None = None) -> LinkBed:
    bed = LinkBed(start="one" if before is None else "two", connector=janus.connect, look_every=0.05)
    bed.inherited = janus.held
    if before is not None:
        bed.saved = before.saved
    return bed


@asynccontextmanager
async def second_process(janus: MemoryJanus) -> AsyncIterator[LinkBed]:
    """The first one had two sessions, and was killed."""
    first = bed_after(janus)
    async with running(first, ROWS):
        await first.ready()
        await first.ask({"janus": "create"})
    second = bed_after(janus, first)
    async with running(second, ROWS):
        yield second


async def test_it_goes_on_with_its_sessions(autojump_clock: MockClock, janus: MemoryJanus) -> None:
    async with second_process(janus) as bed:
        link = await bed.ready()
        assert {session.session_id for session in link.book} == set(janus.sessions)
        assert (janus.connects, len(janus.open_sockets), bed.names()) == (1, 1, ["connected"])
        await bed.ask({"janus": "message", "handle_id": 1, "body": {"n": 1}})


async def test_a_command_waits_for_nothing_but_the_first_answer(autojump_clock: MockClock, janus: MemoryJanus) -> None:
    """Before it, nobody knows whether this connection can be written to."""
    async with second_process(janus) as bed:
        janus.mute.add("info")
        link = bed.registry.find("gw")
        await bed.until(lambda: 1 in link.connections and link.connections[1].opened)
        with pytest.raises(LinkDown, match="not connected yet"):
            await bed.ask({"janus": "message", "handle_id": 1, "body": {}})
        janus.mute.clear()
        await answer_info(link.connections[1], janus)
        await bed.ask({"janus": "message", "handle_id": 1, "body": {}})


async def test_a_session_that_its_janus_has_ended_is_lost(autojump_clock: MockClock, janus: MemoryJanus) -> None:
    async with second_process(janus) as bed:
        janus.sessions.clear()
        await bed.ready()
        assert bed.names() == ["session_lost", "session_lost", "connected"]
        assert (janus.connects, len(janus.sessions)) == (1, 1)


async def test_a_server_without_claim_goes_on_with_what_it_has(autojump_clock: MockClock, janus: MemoryJanus) -> None:
    async with second_process(janus) as bed:
        janus.errors["claim"] = (457, "Unhandled request 'claim' at this path")
        await bed.ready()
        assert (len(janus.sessions), bed.names()) == (2, ["connected"])


async def test_what_came_meanwhile_may_stand_before_the_first_answer(
    autojump_clock: MockClock, janus: MemoryJanus
) -> None:
    """Minutes of events, which take longer to be read than a new connection's first answer may take."""
    async with second_process(janus) as bed:
        janus.mute.add("info")
        link = bed.registry.find("gw")
        await bed.until(lambda: bool(janus.open_sockets))
        for _ in range(5):
            await trio.sleep(3)
            janus.open_sockets[0].hears({"janus": "webrtcup", "session_id": link.book.managed.session_id})
        janus.mute.clear()
        await answer_info(link.connections[1], janus)
        await bed.ready()
        assert (janus.connects, len(bed.events)) == (1, 5)


async def answer_info(connection: JanusConnection, janus: MemoryJanus) -> None:
    """The answer that was muted comes now."""
    transaction = "jb.two.1.o."
    janus.open_sockets[0].hears({"janus": "server_info", "transaction": transaction})
    await trio.sleep(0.1)
    assert connection.info is not None


async def test_out_of_step_no_session_ends_and_the_loss_is_told(autojump_clock: MockClock, janus: MemoryJanus) -> None:
    """Nothing is written to it: a session lives until a new connection has it; only then its socket is closed."""
    janus.out_of_step = True
    async with second_process(janus) as bed:
        await bed.ready()
        assert (len(janus.sessions), janus.lost) == (2, [])
        assert bed.names() == ["events_lost", "connected"]
        assert bed.statuses[0][2:] == ("restart", {"lost": None})
        assert bed.stats.get("connect_failures") == 0
        await bed.until(lambda: len(janus.open_sockets) == 1)
        assert (set(janus.sessions.values()), janus.lost) == (set(janus.open_sockets), [])


async def test_without_a_first_answer_it_is_kept_until_another_one_has_its_sessions(
    autojump_clock: MockClock, janus: MemoryJanus
) -> None:
    janus.deaf = True
    async with second_process(janus) as bed:
        await bed.until(lambda: len(janus.sockets) == 2)
        adopted, janus.refusing = janus.sockets[1], True
        await trio.sleep(60)
        assert not adopted.ended
        assert janus.lost == []
        janus.refusing = False
        await bed.ready()
        assert (len(janus.sessions), janus.lost, bed.names()) == (2, [], ["connected"])
        await bed.until(lambda: adopted.ended)


async def test_planned_hand_over_ends_no_session(autojump_clock: MockClock, janus: MemoryJanus) -> None:
    """What is in flight has its two seconds; nothing is destroyed, closed or written after that."""
    first = bed_after(janus)
    async with running(first, ROWS):
        await first.ready()
        sessions = set(janus.sessions)
        janus.mute.add("message")
        async with trio.open_nursery() as callers:
            callers.start_soon(ask_in_vain, first)
            await first.until(lambda: bool(janus.executed))
            began = trio.current_time()
            await first.registry.stop(hand_over=True)
            assert trio.current_time() - began == pytest.approx(DRAIN, abs=0.1)
        assert first.names() == ["connected", "disconnected"]
    janus.mute.clear()
    second = bed_after(janus, first)
    async with running(second, ROWS):
        await second.ready()
        assert (set(janus.sessions), janus.lost, janus.connects) == (sessions, [], 1)


async def ask_in_vain(bed: LinkBed) -> None:
    with pytest.raises(TransactionLost, match="the bridge is stopping"):
        await bed.ask({"janus": "message", "handle_id": 1, "body": {"n": 1}})


async def test_a_link_that_starts_anew_goes_on_as_well(autojump_clock: MockClock, janus: MemoryJanus) -> None:
    """A fault of the bridge ends the link's task: its sockets are kept, and out of step they are of the same worth."""
    bed = bed_after(janus)
    async with running(bed, ROWS):
        await bed.ready()
        sessions = set(janus.sessions)
        janus.out_of_step = True
        janus.open_sockets[0].fail()
        await bed.until(lambda: len(janus.sockets) == 3)
        await bed.ready()
        await bed.until(lambda: len(janus.open_sockets) == 1)
        assert (set(janus.sessions), janus.lost) == (sessions, [])


async def test_a_session_that_ended_meanwhile_is_lost_where_nothing_can_be_read(
    autojump_clock: MockClock, janus: MemoryJanus
) -> None:
    """A connection that gives no answer is no carrier: the new one's word counts, at once."""
    janus.out_of_step = True
    async with second_process(janus) as bed:
        janus.sessions.clear()
        await bed.ready()
        assert bed.names() == ["events_lost", "session_lost", "session_lost", "connected"]
