"""The Event Interface and an OpenSIPS that loses, delays, refuses, goes away and comes back."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from tests.support.evi_bridge import Bridge, losses, numbers
from tests.support.opensips_mi import OpenSipsMi


@pytest.fixture
async def bridge(nursery: trio.Nursery, mock_clock: MockClock) -> Bridge:
    """Its tests have to name mock_clock too: pytest-trio finds a clock in a test's own arguments alone."""
    assert trio.current_time() == 0
    made = Bridge(mock_clock)
    await nursery.start(made.evi.run)
    return made


@pytest.fixture(params=["udp", "unix"])
async def opensips(request: pytest.FixtureRequest, nursery: trio.Nursery, tmp_path: Path) -> OpenSipsMi:
    made = OpenSipsMi(tmp_path / "mi" if request.param == "unix" else None)
    await nursery.start(made.run)
    return made


async def test_an_opensips_that_loses_delays_and_restarts_runs_everything_at_least_once(
    bridge: Bridge, mock_clock: MockClock, opensips: OpenSipsMi, nursery: trio.Nursery
) -> None:
    bridge.subscribe((E_JANUS_EVENT, opensips.name))
    opensips.acts.extend(["ok", "lost", "mute", "late", "ok"] * 8)
    await bridge.raise_events(0, 100)
    await bridge.while_time_passes_until(lambda: bridge.figures(opensips.name).sent == 100)
    opensips.close()
    await bridge.raise_events(100, 200)
    away = trio.current_time()
    await bridge.while_time_passes_until(lambda: trio.current_time() > away + 10)
    await nursery.start(opensips.run)
    await bridge.while_time_passes_until(lambda: bridge.figures(opensips.name).sent == 200)
    assert bridge.figures(opensips.name) == (opensips.name, 0, 0, 200, {})
    assert trio.current_time() < away + 12.1  # two seconds after it is back
    ran = [(json.loads(item["janus_body"])["n"], item["janus_seq"]) for item in opensips.raised]
    once = list(dict.fromkeys(ran))  # what came twice is the same, its seq included
    assert [number for number, _ in once] == list(range(200))
    assert [int(seq.partition("-")[2]) for _, seq in once] == list(range(1, 201))
    assert len(ran) > 200
    assert len(set(opensips.ids)) == 200


async def test_one_raise_at_a_time(bridge: Bridge, mock_clock: MockClock, opensips: OpenSipsMi) -> None:
    opensips.always = "lost"
    bridge.subscribe((E_JANUS_EVENT, opensips.name))
    await bridge.raise_events(0, 10)
    arrived: list[float] = []
    for _ in range(6):
        await bridge.while_time_passes_until(lambda: len(opensips.ids) > len(arrived))
        arrived.append(trio.current_time())
    gaps = [after - before for before, after in pairwise(arrived)]
    assert gaps == pytest.approx([0.25, 0.5, 1, 2, 2], abs=0.2)
    assert len(set(opensips.ids)) == 1


async def test_404_and_480_are_explained_once_counted_and_told(
    bridge: Bridge, mock_clock: MockClock, opensips: OpenSipsMi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    opensips.acts.extend(["404", "404", "ok", "480"])  # the second refuses the news of the first
    bridge.subscribe((E_JANUS_EVENT, opensips.name), (E_JANUS_STATUS, opensips.name))
    await bridge.raise_events(0, 1)
    await bridge.until(lambda: len(opensips.ids) == 2)
    await bridge.raise_events(1, 2)
    await bridge.until(lambda: len(opensips.ids) == 3)
    await bridge.raise_events(2, 3)
    await bridge.until(lambda: len(opensips.raised) == 2)
    await bridge.until(lambda: bridge.figures(opensips.name).sent == 2)
    assert bridge.figures(opensips.name).drops == {"not_registered": 2, "no_subscriber": 1}
    assert [item["event"] for item in opensips.raised] == [E_JANUS_EVENT, E_JANUS_STATUS]
    assert losses(opensips.raised[1:]) == [(1, "no_subscriber")]
    explained = [line for line in caplog.messages if "event_route[E_JANUS_EVENT]" in line and "answers 404" in line]
    assert len([line for line in explained if "again" not in line]) == 1


async def test_an_opensips_that_is_away_too_long_is_told_how_much_it_missed(
    bridge: Bridge, mock_clock: MockClock, opensips: OpenSipsMi, nursery: trio.Nursery
) -> None:
    bridge.subscribe((E_JANUS_EVENT, opensips.name), (E_JANUS_STATUS, opensips.name))
    opensips.always = "lost"
    await bridge.raise_events(0, 3)
    await opensips.until(1)
    opensips.close()
    bridge.clock.jump(33)
    await bridge.while_time_passes_until(lambda: bridge.figures(opensips.name).queued == 0)
    assert bridge.figures(opensips.name).drops == {"unanswered": 1, "age": 2}
    opensips.always = "ok"
    await nursery.start(opensips.run)
    await bridge.raise_events(3, 4)
    await bridge.while_time_passes_until(lambda: len(opensips.raised) == 3)
    assert losses(opensips.raised) == [(1, "unanswered"), (2, "age")]
    assert numbers(opensips.raised) == [3]
    assert len({item["janus_seq"] for item in opensips.raised}) == 3
