"""Connections that fail while sessions are on their way to them (contract 5.3), beside a model of Janus."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from bridge.core.left import MOST
from bridge.core.link import JanusLink
from bridge.errors import BridgeError, LinkDown, TransactionLost
from bridge.protocol.life import State
from tests.support.linkbed import LinkBed, running
from tests.support.memory_janus import MemoryJanus


@asynccontextmanager
async def bed_of(janus: MemoryJanus) -> AsyncIterator[tuple[LinkBed, JanusLink]]:
    bed = LinkBed(connector=janus.connect, look_every=0.02)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(janus.run)
        async with running(bed, {"gw": "ws://model"}):
            yield bed, bed.registry.find("gw")
        nursery.cancel_scope.cancel()


async def test_stall_while_it_is_joined_needs_no_deadline(autojump_clock: MockClock) -> None:
    """The answer could still come, for five seconds; but nothing more could be asked on this connection."""
    janus = MemoryJanus(reclaim=True)
    janus.mute = {"create"}
    async with bed_of(janus) as (bed, link):
        await bed.until(lambda: link.state is State.JOINING and len(janus.sessions) == 1)
        janus.mute = set()
        stalled_at = trio.current_time()
        janus.sockets[0].stall()
        await bed.until(lambda: link.state is State.READY)
        assert trio.current_time() - stalled_at < 3
        assert janus.connects == 2


async def test_connections_that_swallow_claims_do_not_pile_up(autojump_clock: MockClock) -> None:
    """Each may have the sessions; but one that is only one of many is not worth a socket."""
    janus = MemoryJanus(reclaim=True)
    async with bed_of(janus) as (bed, link):
        await bed.until(lambda: link.state is State.READY)
        session = link.book.managed.session_id
        janus.mute = {"claim", "ping"}
        janus.sockets[0].forgotten = True
        most = 0
        for number in range(1, 3 * MOST):
            await bed.until(lambda: link.state is State.REJOINING, 200)
            await trio.sleep(1)  # the claim is executed
            janus.sockets[-1].forgotten = True
            await bed.until(lambda: link.state is State.RESTING, 200)
            most = max(most, len(janus.open_sockets))
            assert len(janus.sockets) == number + 1
        assert most == MOST
        janus.mute = set()
        await bed.until(lambda: link.state is State.READY, 200)
        await bed.until(lambda: len(janus.open_sockets) == 1, 60)
        assert link.book.managed.session_id == session


async def test_session_that_ends_while_another_connection_is_wanted_is_made_anew_where_it_was(
    autojump_clock: MockClock,
) -> None:
    """The old connection serves until the new one is there; so nothing has to wait for that one."""
    janus = MemoryJanus(reclaim=True)
    async with bed_of(janus) as (bed, link):
        await bed.until(lambda: link.state is State.READY)
        await trio.sleep(20)
        before = link.book.managed.session_id
        assert before is not None
        janus.refusing = True
        link.reconnect()
        await bed.until(lambda: link.state is State.RESTING)
        assert link.shown_state == "ready"
        janus.end_session(before)
        await bed.until(lambda: link.shown_state == "ready" and link.book.managed.session_id not in (None, before))
        assert [janus.sockets[0]] == janus.open_sockets == list(janus.sessions.values())
        janus.refusing = False
        await bed.until(lambda: link.reconnects == 1, 60)  # the wish is not forgotten
        assert bed.names() == ["connected", "session_lost"]


async def test_new_connection_ends_and_the_old_one_is_stalled_meanwhile(autojump_clock: MockClock) -> None:
    """There is nothing to go back to: what waited for its turn on the old one was never sent, and hears so at once."""
    janus = MemoryJanus(reclaim=True)
    async with bed_of(janus) as (bed, link):
        await bed.until(lambda: link.state is State.READY)
        session = link.book.managed.session_id
        janus.mute = {"claim"}
        link.reconnect()
        await bed.until(lambda: link.state is State.REJOINING)
        janus.mute.add("message")
        ended: list[BridgeError] = []

        async def ask(number: int) -> None:
            with pytest.raises(BridgeError) as caught:
                await bed.ask({"janus": "message", "handle_id": 1, "body": {"n": number}})
            ended.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 1)
            await bed.until(lambda: janus.executed)
            nursery.start_soon(ask, 2)
            await bed.until(lambda: link.traffic.in_flight == 2)
            janus.sockets[0].stall()
            assert link.shown_state != "ready"
            janus.refusing = True
            janus.sockets[1].end("connection lost: reset")
        assert {type(error) for error in ended} == {LinkDown, TransactionLost}
        assert all("could not complete" in str(error) for error in ended)
        assert len(janus.executed) == 1
        janus.refusing, janus.mute = False, set()
        await bed.until(lambda: link.state is State.READY, 60)
        assert link.book.managed.session_id == session
        await bed.until(lambda: len(janus.open_sockets) == 1, 60)


async def test_silent_connection_is_replaced_by_one_that_gets_no_managed_session(autojump_clock: MockClock) -> None:
    """What can be claimed is claimed; the rest is asked for until it is given, and then there is one connection."""
    janus = MemoryJanus(reclaim=True)
    async with bed_of(janus) as (bed, link):
        await bed.until(lambda: link.state is State.READY)
        further = int((await bed.ask({"janus": "create"}))["data"]["id"])
        del janus.sessions[link.book.managed.session_id or 0]  # nobody is told
        janus.errors = {"create": (472, "Not accepting new sessions")}
        janus.sockets[0].forgotten = True
        await bed.until(lambda: link.state is State.REFUSED, 200)
        assert janus.sessions[further] is janus.sockets[1]
        assert link.last_error == "Janus refused to create a session: 472 Not accepting new sessions"
        janus.errors = {}
        await bed.until(lambda: link.state is State.READY, 60)
        assert (await bed.ask({"janus": "keepalive", "session_id": further}))["janus"] == "ack"
        # The old one alone could say that its session is over; it is given up when Janus must have ended it.
        assert bed.names().count("session_lost") == 0
        await bed.until(lambda: janus.open_sockets == [janus.sockets[1]], 700)
        await bed.until(lambda: bed.names().count("session_lost") == 1)
