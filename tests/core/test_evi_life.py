"""The Event Interface over time: subscriptions that end, subscribers that fail, and its own end."""

import sys
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bridge.core import evi
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS, Encoding, Event, janus_event
from bridge.protocol.reply_socket import ReplySocket
from tests.support.evi_bed import URL, running

A, B, C = (ReplySocket.parse(f"udp:h:{port}") for port in (1, 2, 3))


async def test_a_subscription_lapses_and_its_delivery_ends(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    bed.evi.subscribe(E_JANUS_EVENT, A, 5)
    await trio.sleep(5.5)
    bed.janus(1)
    await trio.sleep(0.5)
    bed.janus(2)
    await trio.sleep(10)  # nobody raises or lists; it is seen all the same
    assert (bed[A].bodies(), bed[A].closed) == ([1], True)
    assert bed.evi.figures() == []
    bed.evi.subscribe(E_JANUS_EVENT, A, 5)
    bed.janus(3)
    await bed.settled()
    assert bed.senders[A][1].bodies() == [3]


async def test_expire_0_delivers_what_was_raised_before(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    bed.evi.subscribe(E_JANUS_EVENT, A, 100)
    bed[A].up = False
    bed.janus(1, 2)
    await trio.sleep(1)
    bed.evi.subscribe(E_JANUS_EVENT, A, 0)
    await trio.sleep(1)
    bed.janus(3)
    bed[A].up = True
    await trio.sleep(15)
    assert (bed[A].bodies(), bed[A].closed) == ([1, 2], True)


async def test_renewed_while_it_ends_a_socket_keeps_its_queue(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    bed.evi.configure([(E_JANUS_EVENT, A)])
    bed[A].up = False
    bed.janus(1)
    bed.evi.configure([])
    await trio.sleep(1)
    bed.evi.configure([(E_JANUS_EVENT, A)])
    bed.janus(2)
    bed[A].up = True
    await bed.settled()
    assert bed[A].bodies() == [1, 2]


async def test_configure_touches_the_difference_alone(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    bed.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_EVENT, B)])
    bed.evi.subscribe(E_JANUS_EVENT, C, 100)
    bed.evi.configure([(E_JANUS_EVENT, B), (E_JANUS_STATUS, B)])
    bed.janus(1)
    await bed.settled()
    assert (bed[A].closed, bed[B].closed, bed[C].closed) == (True, False, False)
    assert (bed[A].bodies(), bed[B].bodies(), bed[C].bodies()) == ([], [1], [1])
    assert bed.evi.is_configured(B)
    assert not bed.evi.is_configured(C)


async def test_a_dead_subscriber_costs_others_nothing_and_learns_what_it_lost(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = await running(nursery, queue_events=10, max_age=3.0)
    bed.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_EVENT, B), (E_JANUS_STATUS, B)])
    bed[B].up = False
    for number in range(16):  # 10 wait, 6 find it full
        bed.janus(number, janus_id="g2" if number == 15 else "g1")
        await trio.testing.wait_all_tasks_blocked()
    await trio.sleep(2)
    assert bed[A].bodies() == list(range(16))
    await trio.sleep(2)  # the ten are too old
    bed[B].up = True
    bed.janus(16)
    await bed.settled()
    params = bed[B].params()
    lost = [(item["janus_id"], item["reason"], item["detail"]) for item in params if "status" in item]
    assert sorted(lost) == [("g1", "age", '{"lost":10}'), ("g1", "full", '{"lost":5}'), ("g2", "full", '{"lost":1}')]
    assert {item["status"] for item in params[:-1]} == {"events_lost"}
    assert {item["janus_url"] for item in params} == {URL}
    assert bed[B].bodies() == [16]
    figures = {item.subscriber: item for item in bed.evi.figures()}
    assert figures[str(B)].drops == {"full": 6, "age": 10}
    assert figures[str(A)].drops == {}
    assert bed.stats.get("event_drops") == 16


async def test_who_does_not_listen_to_status_is_told_nothing(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery, queue_events=1)
    bed.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_STATUS, B)])
    bed.janus(1, 2, 3)
    await bed.settled()
    assert bed[A].bodies() == [1]
    assert (len(bed[A].payloads), bed[B].payloads) == (1, [])


async def test_subscribers_are_listed_with_what_is_left(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    bed.evi.configure([(E_JANUS_EVENT, A)])
    bed.evi.subscribe(E_JANUS_EVENT, B, 20)
    await trio.sleep(1)
    listed = [(item.socket, item.expire, ttl) for item, ttl in bed.evi.subscribers(E_JANUS_EVENT)]
    assert listed == [(B, 20, 19), (A, None, None)]


async def test_drain_ends_at_its_deadline_and_the_rest_is_counted(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        bed = await running(nursery)
        bed.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_EVENT, B)])
        bed[B].up = False
        bed.janus(1, 2, 3)
        before = trio.current_time()
        await bed.evi.drain(before + 2)
        assert trio.current_time() == before + 2
        nursery.cancel_scope.cancel()
    figures = {item.subscriber: (item.sent, item.drops) for item in bed.evi.figures()}
    assert figures == {str(A): (3, {}), str(B): (0, {"stopped": 3})}
    assert (bed[A].closed, bed[B].closed) == (True, True)


async def test_a_fault_of_a_sender_is_its_own(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bed = await running(nursery)
    bed.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_EVENT, B)])
    broken: Any = bed[B]
    whole, broken.try_send = broken.try_send, None
    bed.janus(1, 2)
    await trio.testing.wait_all_tasks_blocked()
    assert bed[A].bodies() == [1, 2]
    assert "sender of udp:h:2 failed" in caplog.text
    broken.try_send = whole
    await bed.settled()
    assert bed[B].bodies() == [1, 2]


async def test_drops_are_logged_without_another_drop(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bed = await running(nursery, queue_events=1)
    bed.evi.configure([(E_JANUS_EVENT, A)])
    bed.janus(*range(100))
    await trio.sleep(75)
    dropped = [line.split(" event")[0] for line in caplog.messages if "dropped (full)" in line]
    assert dropped == ["udp:h:1: 1", "udp:h:1: 98"]


# What all queues hold together


def udp(number: int) -> ReplySocket:
    return ReplySocket.parse(f"udp:127.0.0.1:{10_000 + number}")


async def test_subscribers_of_mi_take_nothing_from_configured_ones(nursery: trio.Nursery) -> None:
    """All are dead; the one that is configured keeps as much as if it were alone."""
    bed = await running(nursery, pending_bytes=2**20)
    bed.evi.configure([(E_JANUS_EVENT, A)])
    bed[A].up = False
    for number in range(40):
        bed.evi.subscribe(E_JANUS_EVENT, udp(number), 3600)
        bed[udp(number)].up = False
    await wait_all_tasks_blocked()
    for number in range(20):
        bed.evi.gateway_event("g1", URL, f'{{"n":{number},"pad":"{"x" * 20_000}"}}')
    queued = {figures.subscriber: figures.queued for figures in bed.evi.figures()}
    assert queued.pop(str(A)) == 20
    assert set(queued.values()) == {0}  # their share is 13,107 bytes
    assert bed.evi.pools.used <= 2**20


async def test_sockets_that_are_only_served_to_their_end_have_a_number(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who subscribes, fills a queue and ends it, again and again, would else hold any number of them."""
    monkeypatch.setattr(evi, "MAX_SUBSCRIPTIONS", 10)
    bed = await running(nursery)
    for number in range(20):
        bed.evi.subscribe(E_JANUS_EVENT, udp(number), 3600)
        bed[udp(number)].up = False
        bed.janus(number)
        bed.evi.subscribe(E_JANUS_EVENT, udp(number), 0)
    await trio.sleep(1.5)  # what ended within this second is still subscribed
    with pytest.raises(ValueError, match="20 sockets are served"):
        bed.evi.subscribe(E_JANUS_EVENT, udp(20), 3600)


def test_an_event_that_was_put_into_bytes_lets_go_of_what_it_was() -> None:
    """A short form for a datagram would else keep the megabytes that it was made from."""
    event = Event(E_JANUS_EVENT, janus_event("g1", URL, '{"pad":"' + "x" * 10**6 + '"}'), "p-1", 1, "g1")
    short = event.encoded(Encoding("datagram"))
    assert len(event.encoded(Encoding("stream"))) > 10**6
    event.seal()
    held = [getattr(event, name) for name in dir(event) if not name.startswith("__")]
    assert sum(sys.getsizeof(value) for value in held if not callable(value)) < 1500
    assert (len(short) < 200, event.janus_url) == (True, URL)
