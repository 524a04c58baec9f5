"""What subscribers are told of a gateway (contract 7.2), on the autojump clock."""

import random
from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from bridge.core.environment import LinkEnvironment, LinkSettings
from bridge.core.stats import Stats
from bridge.core.status_events import BURST, QUIET, StatusEvents
from bridge.core.timers import Timers
from bridge.protocol import codec
from bridge.protocol.event_payload import E_JANUS_STATUS, Encoding, Event, janus_status
from bridge.protocol.gateway import Gateway
from bridge.protocol.janus import MAX_PLUGIN
from bridge.protocol.session import JanusSession

GATEWAY = Gateway(1, "gw", "janusws://h", None)


class Bed:
    """StatusEvents, and what it told whom, when."""

    def __init__(self, *, wide_strings: bool = True, gateway: Gateway = GATEWAY) -> None:
        self.told: list[tuple[float, str, str, Any]] = []
        self.raised: list[tuple[Gateway, str, str, str]] = []
        self.timers = Timers()
        self.status = StatusEvents(self._environment(LinkSettings(wide_strings=wide_strings)), gateway)

    def _environment(self, settings: LinkSettings) -> LinkEnvironment:
        def raise_status(gateway: Gateway, status: str, reason: str, detail: str) -> None:
            self.raised.append((gateway, status, reason, detail))
            self.told.append((trio.current_time(), status, reason, codec.parse(detail)))

        async def connect(*_: Any) -> str:
            raise AssertionError("nobody connects here")

        return LinkEnvironment(
            start="test",
            connect=connect,
            timers=self.timers,
            stats=Stats(),
            wanted=lambda: True,
            raise_event=lambda *_: None,
            raise_status=raise_status,
            save=lambda *_: None,
            uniform=random.Random(1).uniform,
            wall=lambda: 0.0,
            settings=settings,
        )

    def names(self) -> list[str]:
        return [status for _, status, _, _ in self.told]

    def outage(self, reason: str = "cut") -> None:
        self.status.disconnected(reason)
        self.status.connected("ready", {})


Made = Callable[[], Bed]


@pytest.fixture
def made(nursery: trio.Nursery) -> Made:
    """A Bed whose timers run; to be made inside the test, on its clock."""

    def make() -> Bed:
        bed = Bed()
        nursery.start_soon(bed.timers.run)
        return bed

    return make


# Changes


async def test_change_is_told_at_once(autojump_clock: MockClock, made: Made) -> None:
    bed = made()
    bed.status.connected("ready", {"sessions": 1})
    await trio.sleep(100)
    bed.status.disconnected("connection lost: reset")
    assert bed.told == [
        (0.0, "connected", "ready", {"sessions": 1}),
        (100.0, "disconnected", "connection lost: reset", {}),
    ]
    assert bed.raised[0] == (GATEWAY, "connected", "ready", '{"sessions":1}')


async def test_gateway_that_never_was_ready_is_not_lost(autojump_clock: MockClock, made: Made) -> None:
    bed = made()
    for _ in range(10):
        bed.status.disconnected("refused")
        await trio.sleep(60)
    assert bed.told == []


async def test_same_status_is_told_once(autojump_clock: MockClock, made: Made) -> None:
    bed = made()
    for _ in range(3):
        bed.status.connected("ready", {})
        await trio.sleep(60)
    for _ in range(3):
        bed.status.disconnected("refused")
        await trio.sleep(60)
    assert bed.names() == ["connected", "disconnected"]


async def test_two_whole_outages_are_told_at_once(autojump_clock: MockClock, made: Made) -> None:
    bed = made()
    await trio.sleep(100)
    bed.status.connected("ready", {})
    await trio.sleep(100)
    bed.outage()
    bed.outage()
    assert bed.names() == ["connected"] + ["disconnected", "connected"] * 2
    assert {time for time, *_ in bed.told[1:]} == {200.0}


async def test_link_that_flaps_is_told_once_in_a_while_and_as_it_is_then(autojump_clock: MockClock, made: Made) -> None:
    bed = made()
    bed.status.connected("ready", {})
    for _ in range(1000):
        await trio.sleep(0.5)
        bed.status.disconnected("cut")
        await trio.sleep(0.5)
        bed.status.connected("ready", {})
    times = [time for time, *_ in bed.told]
    assert len(times) > BURST
    for first, last in combinations(range(len(times)), 2):
        assert last - first <= BURST + (times[last] - times[first]) / QUIET
    later = times[BURST:]
    assert max(after - before for before, after in pairwise(later)) < 2 * QUIET
    assert all(before != after for before, after in pairwise(bed.names()))


@pytest.mark.parametrize("ends_connected", [True, False])
async def test_last_word_is_the_truth(autojump_clock: MockClock, made: Made, ends_connected: bool) -> None:
    bed = made()
    bed.status.connected("ready", {})
    for _ in range(20):
        bed.outage()
    if not ends_connected:
        bed.status.disconnected("gone for good")
    await trio.sleep(2 * QUIET)
    assert bed.names()[-1] == ("connected" if ends_connected else "disconnected")
    told = len(bed.told)
    await trio.sleep(1000)
    assert len(bed.told) == told


async def test_after_a_quiet_time_changes_are_told_at_once_again(autojump_clock: MockClock, made: Made) -> None:
    bed = made()
    bed.status.connected("ready", {})
    for _ in range(20):
        bed.outage()
    await trio.sleep(QUIET * (BURST + 2))
    told = len(bed.told)
    bed.outage()
    assert bed.names()[told:] == ["disconnected", "connected"]


async def test_stopped_status_says_nothing_more_by_itself(autojump_clock: MockClock, made: Made) -> None:
    bed = made()
    bed.status.connected("ready", {})
    for _ in range(20):
        bed.outage()
    bed.status.disconnected("stopping")
    told = len(bed.told)
    bed.status.stop()
    await trio.sleep(1000)
    assert len(bed.told) == told
    bed.status.stop()


# Lost sessions


def lost(handles: dict[int, str | None], session_id: int = 2**40) -> JanusSession:
    return JanusSession(managed=False, session_id=session_id, handles=handles)


async def test_lost_session_is_told_with_its_handles() -> None:
    bed = Bed()
    bed.status.session_lost(lost({2**41: "janus.plugin.sip", 7: None}), "why")
    assert bed.raised == [
        (
            GATEWAY,
            "session_lost",
            "why",
            '{"session":"1099511627776","managed":false,'
            '"handles":[{"handle_id":"2199023255552","plugin":"janus.plugin.sip"},{"handle_id":7,"plugin":null}]}',
        )
    ]


async def test_integers_stay_integers_where_that_is_configured() -> None:
    bed = Bed(wide_strings=False)
    bed.status.session_lost(lost({2**41: "p"}), "why")
    assert bed.told[0][3] == {
        "session": 2**40,
        "managed": False,
        "handles": [{"handle_id": 2**41, "plugin": "p"}],
    }


async def test_session_without_handles_is_one_event() -> None:
    bed = Bed()
    bed.status.session_lost(lost({}), "why")
    assert [detail["handles"] for _, _, _, detail in bed.told] == [[]]


async def test_each_of_many_losses_is_told() -> None:
    bed = Bed()
    for n in range(1, 1000):
        bed.status.session_lost(lost({}, session_id=n), "why")
    assert [detail["session"] for _, _, _, detail in bed.told] == list(range(1, 1000))


@pytest.mark.parametrize(
    "plugin",
    ["janus.plugin.videoroom", "", None, '"' * MAX_PLUGIN, "\\" * MAX_PLUGIN, "\n" * MAX_PLUGIN, "\u00e9" * MAX_PLUGIN],
)
@pytest.mark.parametrize("count", [1, 400, 401, 3000])
async def test_many_handles_are_split_so_that_each_event_fits_every_socket(plugin: str | None, count: int) -> None:
    handles = {2**52 + n: plugin for n in range(count)}
    gateway = Gateway(1, "g" * 64, "janusws://h/" + "u" * 200, None)
    bed = Bed(gateway=gateway)
    bed.status.session_lost(lost(handles), "why")
    rows = [row for _, _, _, detail in bed.told for row in detail["handles"]]
    assert rows == [{"handle_id": str(handle_id), "plugin": plugin} for handle_id in handles]
    for _, status, reason, detail in bed.raised:
        params = janus_status(gateway.janus_id, gateway.janus_url, status, reason, detail)
        event = Event(E_JANUS_STATUS, params, "x" * 32, 1, gateway.janus_id, "1700000000-1")
        for encoding in (Encoding("datagram"), Encoding("mi", numbered=True)):
            event.encoded(encoding)  # raises TooLarge
    if plugin is None:
        assert len(bed.raised) <= count // 300 + 1
