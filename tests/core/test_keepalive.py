"""The heartbeat (contract 5.3 "Ready"), with whole links and a Janus in memory, on the autojump clock."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from bridge.core.environment import LinkSettings
from bridge.core.keepalive import PART, interval
from bridge.protocol.janus import session_times
from tests.support.linkbed import LinkBed, running
from tests.support.ticking_janus import FRAME, TickingJanus, ticking_bed

URL = "janusws://127.0.0.1"


@asynccontextmanager
async def gateway(janus: TickingJanus, ping_interval: float = 5.0) -> AsyncIterator[LinkBed]:
    """A gateway that has done what it does at its start; the clock stands at 1 s."""
    bed = ticking_bed(janus, settings=LinkSettings(ping_interval=ping_interval))
    async with running(bed, {"gw": URL}):
        await trio.sleep(1)
        yield bed


def steps(times: list[float]) -> set[float]:
    return {round(after - before, 3) for before, after in pairwise(times)}


@pytest.mark.parametrize(
    ("configured", "info", "seconds"),
    [
        (5, {}, 5),
        (5, {"session-timeout": 60, "reclaim-session-timeout": 0}, 5),
        (30, {"session-timeout": 60}, 20),
        (5, {"session-timeout": 0}, 5),
        (5, {"session-timeout": 60, "reclaim-session-timeout": 9}, 3),
        (5, {"session-timeout": 6, "reclaim-session-timeout": 9}, 2),
        (1, {"session-timeout": 60}, 1),
        (5, {"session-timeout": -3, "reclaim-session-timeout": "1"}, 5),
        (5, {"session-timeout": True, "reclaim-session-timeout": None}, 5),
    ],
)
def test_interval_is_capped_at_a_third_of_what_janus_gives(configured: float, info: Any, seconds: float) -> None:
    assert interval(configured, session_times(info)) == seconds


async def test_every_session_is_kept_alive_in_each_interval(autojump_clock: MockClock) -> None:
    janus = TickingJanus()
    async with gateway(janus) as bed:
        assert (await bed.ask({"janus": "create"}))["janus"] == "success"
        await trio.sleep(60)
        link = await bed.ready()
        assert len(link.book) == 2
    times = janus.times("keepalive")
    assert len(times) == 1 + 2 * 12  # the managed session's first one at once
    assert steps(times[1:]) == {0.0, 5.0}


async def test_keepalives_of_many_sessions_are_spread(autojump_clock: MockClock) -> None:
    """No turn of the loop has more than a part of them, and each session has its own in every interval."""
    janus = TickingJanus()
    async with gateway(janus) as bed:
        link = await bed.ready()
        for session_id in range(10**6, 10**6 + 4 * PART):
            janus.sessions.add(session_id)
            link.book.adopt(session_id, 1)
        await trio.sleep(60)
        assert len(janus.sockets) == 1
    times = janus.times("keepalive")[1:]
    at_once = Counter(times)
    assert max(at_once.values()) <= PART
    assert len(at_once) >= 5 * 11
    assert len(times) >= (4 * PART + 1) * 11


async def test_beats_of_many_connections_come_together(autojump_clock: MockClock) -> None:
    """Whenever each began: a turn of the loop costs more than a keepalive."""
    times: list[float] = []
    for late in (0.013, 0.027):
        await trio.sleep(late)
        janus = TickingJanus()
        async with gateway(janus):
            await trio.sleep(60)
        times += janus.times("keepalive")[1:]
    assert len(times) >= 2 * 11
    assert {round(time % 0.2, 3) for time in times} <= {0.0, 0.2}


@pytest.mark.parametrize(
    "info", [{"session-timeout": 30, "reclaim-session-timeout": 0}, {"reclaim-session-timeout": 30}]
)
async def test_sessions_that_time_out_sooner_are_kept_alive_sooner(
    autojump_clock: MockClock, info: dict[str, int]
) -> None:
    janus = TickingJanus(info=info)
    async with gateway(janus, ping_interval=60.0):
        await trio.sleep(100)
    times = janus.times("keepalive")
    assert times[0] < 11
    assert times[1] - times[0] <= 10
    assert steps(times[1:]) == {10.0}


async def test_janus_that_answers_is_not_pinged(autojump_clock: MockClock) -> None:
    janus = TickingJanus(latency=0.5)
    async with gateway(janus) as bed:
        await trio.sleep(1000)
        assert (await bed.ready()).rtt == pytest.approx(0.5)
    assert janus.times("(ping)") == []


async def test_late_answers_are_no_silence_while_pings_are_answered(autojump_clock: MockClock) -> None:
    """One request of another client may hold up all of Janus for seconds, but not its WebSockets."""
    janus = TickingJanus()
    async with gateway(janus, ping_interval=1.0) as bed:
        janus.answers = False
        await trio.sleep(100)
        await bed.ready()
        assert bed.names() == ["connected"]
    assert len(janus.sockets) == 1
    pings = janus.times("(ping)")
    assert steps(pings) == {1.3}  # one interval and a quarter, and the pong's way


async def test_events_are_signs_of_life(autojump_clock: MockClock) -> None:
    janus = TickingJanus()
    async with gateway(janus, ping_interval=1.0) as bed:
        janus.answers = janus.pongs = False
        for _ in range(100):
            janus.sockets[0].say('{"janus":"event","session_id":1,"sender":2}')
            await trio.sleep(1)
        assert bed.names() == ["connected"]
    assert janus.times("(ping)") == []


async def test_part_of_a_message_is_a_sign_of_life(autojump_clock: MockClock) -> None:
    janus = TickingJanus()
    async with gateway(janus, ping_interval=1.0) as bed:
        janus.answers = janus.pongs = False
        for _ in range(100):
            janus.sockets[0].say(FRAME)
            await trio.sleep(1)
        assert bed.names() == ["connected"]


@pytest.mark.parametrize("stall", [0.6, 0.9, 30.0])
async def test_what_came_while_the_loop_stood_still_is_read_before_the_verdict(
    autojump_clock: MockClock, stall: float
) -> None:
    for _ in range(12):  # timers and readers of one turn run in any order
        janus = TickingJanus(latency=0.3)
        async with gateway(janus, ping_interval=1.0) as bed:
            janus.answers = janus.pongs = False
            await trio.sleep_until(janus.sockets[0].last_received + 1.5)
            janus.sockets[0].say(FRAME)
            autojump_clock.jump(stall)
            await trio.sleep(0.1)
            assert bed.names() == ["connected"]


@pytest.mark.parametrize(("ping_interval", "silence"), [(5.0, 10.0), (1.0, 2.0), (0.5, 2.0)])
async def test_silence_is_two_intervals_and_at_least_two_seconds(
    autojump_clock: MockClock, ping_interval: float, silence: float
) -> None:
    janus = TickingJanus()
    async with gateway(janus, ping_interval) as bed:
        janus.answers = janus.pongs = False
        last = janus.sockets[0].last_received
        await trio.sleep_until(last + silence - 0.01)
        assert bed.names() == ["connected"]
        await trio.sleep_until(last + silence + 0.01)
        assert [(status, reason) for _, status, reason, _ in bed.statuses][1:] == [("disconnected", "Janus is silent")]
        assert not janus.sockets[0].closed
        await trio.sleep(1)
        assert len(janus.sockets) == 2
    assert round(last + 1.25 * ping_interval, 3) in janus.times("(ping)")


async def test_silence_is_measured_the_same_at_any_time_of_a_clock(autojump_clock: MockClock) -> None:
    """Where times are large, a deadline and the time that has passed are rounded differently."""
    for n in range(50):
        await trio.sleep(12345.678 + n / 7)
        janus = TickingJanus(latency=0.1 + n / 1000)
        async with gateway(janus, ping_interval=3.3) as bed:
            janus.answers = janus.pongs = False
            await trio.sleep(10)
            assert "disconnected" in bed.names()


async def test_pong_has_its_time_while_janus_refuses_a_session(autojump_clock: MockClock) -> None:
    """No session, no keepalive: pings alone tell life from silence, and must not come right before the verdict."""
    for latency in (0.05, 0.5, 1.0, 2.0, 3.0):
        janus = TickingJanus(refuses=403, latency=latency)
        async with gateway(janus) as bed:
            await trio.sleep(500)
            assert bed.registry.find("gw").last_error == "Janus refused to create a session: 403 refused"
        assert len(janus.sockets) == 1, latency
        assert janus.times("keepalive") == []


async def test_heart_stops_with_its_connection(autojump_clock: MockClock) -> None:
    janus = TickingJanus()
    async with gateway(janus):
        janus.sockets[0].close()
        await trio.sleep(60)
        assert len(janus.sockets) == 2
    assert steps(janus.times("keepalive")[2:]) == {5.0}
