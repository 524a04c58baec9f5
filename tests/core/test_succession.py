"""Connections that fail while sessions are on their way to them (contract 5.3), beside a model of Janus."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock

from bridge.core.left import MOST
from bridge.core.link import JanusLink
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
