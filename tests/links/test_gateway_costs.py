"""What one gateway of many costs, in calls of our functions: its start, an idle interval, a look at its state.

The ceilings are what was counted when they were written, and a margin of a sixth. What a thousand gateways cost in a
second, ``make bench`` measures; it follows from these.
"""

import sys

import pytest
import trio
from trio.testing import MockClock

from bridge.daemon.news import status_of
from tests.support.calls import Calls
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running
from tests.support.metrics_bed import MetricsBed
from tests.support.ticking_janus import TickingJanus, ticking_bed

GATEWAYS, INTERVALS = 40, 25
# Counted: 401, 49 and 1.6 calls.
CALLS_OF_A_START, CALLS_OF_AN_INTERVAL, CALLS_OF_A_LOOK = 467, 57, 2

pytestmark = pytest.mark.skipif(sys.gettrace() is not None, reason="coverage and debuggers add calls of their own")


def rows(url: str) -> dict[str, str]:
    return {f"gw{number}": url for number in range(GATEWAYS)}


async def test_a_start(janus: Janus) -> None:
    """From its row to ready."""
    async with running(LinkBed(), {"first": janus.url}) as bed:
        await bed.ready("first")  # the first of everything is dearer
        with Calls() as calls:
            bed.reconcile({"first": janus.url, **rows(janus.url)})
            await bed.until(lambda: len(bed.statuses) == 1 + GATEWAYS)
        print(f"{calls.own / GATEWAYS:.0f} calls, {calls.all / GATEWAYS:.0f} with libraries")
        assert calls.own <= GATEWAYS * CALLS_OF_A_START


async def test_an_idle_interval(autojump_clock: MockClock) -> None:
    """A keepalive, its answer, and a sample for the status page: all but the socket."""
    janus = TickingJanus()
    async with running(ticking_bed(janus), rows("janusws://127.0.0.1")) as bed, trio.open_nursery() as nursery:
        nursery.start_soon(MetricsBed(bed).metrics.run)
        await trio.sleep(20)
        before = len(janus.times("keepalive"))
        with Calls() as calls:
            await trio.sleep(5 * INTERVALS)
        count = len(janus.times("keepalive")) - before
        assert count == pytest.approx(GATEWAYS * INTERVALS, abs=GATEWAYS)
        print(f"{calls.own / count:.0f} calls")
        assert calls.own <= count * CALLS_OF_AN_INTERVAL
        nursery.cancel_scope.cancel()


async def test_a_look_at_the_state() -> None:
    """Whoever waits for all gateways asks all the time, and systemd is told twice a second."""
    async with running(LinkBed(), rows("janusws://127.0.0.1:1")) as bed:
        MetricsBed(bed)
        with Calls() as calls:
            assert bed.stats.get("gateways_ready") == 0
            status_of("fresh", bed.registry)
        print(f"{calls.own / 2 / GATEWAYS:.1f} calls")
        assert calls.own <= 2 * GATEWAYS * CALLS_OF_A_LOOK
