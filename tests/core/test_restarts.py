"""A Janus that ends again and again is used again each time, and no storm comes of it (contract 5.3)."""

import pytest
import trio
from trio.testing import MockClock

from bridge.core.environment import LinkSettings
from tests.support.linkbed import LinkBed, running
from tests.support.memory_janus import MemoryJanus

LIMIT = 2.0  # seconds from the open port to the gateway in use


def crash(janus: MemoryJanus) -> None:
    janus.refusing = True
    janus.sessions.clear()
    for socket in janus.open_sockets:
        socket.end("Janus closed the connection")


@pytest.mark.parametrize("reconnect_min", [0.5, 20])
@pytest.mark.parametrize(("up", "away"), [(0.1, 1), (3, 0.1), (6, 1), (12, 5)])
async def test_each_of_many_restarts_in_a_row(
    up: float, away: float, reconnect_min: float, autojump_clock: MockClock
) -> None:
    janus = MemoryJanus(reclaim=True)
    bed = LinkBed(
        settings=LinkSettings(reconnect_min=reconnect_min, reconnect_max=60), connector=janus.connect, look_every=0.02
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(janus.run)
        async with running(bed, {"gw": "ws://model"}):
            await bed.ready()
            for _ in range(7):
                await trio.sleep(up)
                crash(janus)
                await trio.sleep(away)
                assert bed.registry.find("gw").shown_state != "ready"
                janus.refusing = False
                opened = trio.current_time()
                await bed.ready()
                assert trio.current_time() - opened < LIMIT
        nursery.cancel_scope.cancel()


async def storm(janus: MemoryJanus, seconds: float) -> float:
    """Connects a second over so long a time."""
    bed = LinkBed(connector=janus.connect, look_every=0.02)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(janus.run)
        async with running(bed, {"gw": "ws://model"}):
            await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    return janus.connects / seconds


async def test_peer_that_accepts_and_closes_is_asked_ever_less(autojump_clock: MockClock) -> None:
    janus = MemoryJanus(reclaim=True)
    janus.closing = True
    assert await storm(janus, 600) < 0.15


async def test_peer_that_gives_a_session_and_closes_is_asked_ever_less(autojump_clock: MockClock) -> None:
    """A session alone is no service: nothing was answered in it."""
    janus = MemoryJanus(reclaim=True)
    janus.closing_after = "create"
    assert await storm(janus, 600) < 0.15


async def test_peer_that_serves_and_closes_is_no_storm(autojump_clock: MockClock) -> None:
    janus = MemoryJanus(reclaim=True)
    janus.closing_after = "keepalive"
    assert await storm(janus, 20) < 3
