"""The Event Interface in memory: who gets what, in which order, numbered how, and for how long."""

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from bridge.core.event_sender import Limits
from bridge.core.evi import EventInterface
from bridge.core.stats import Stats
from bridge.protocol.event_delivery import NotSent, Parcel
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.reply_socket import ReplySocket

A, B, C = (ReplySocket.parse(f"udp:h:{port}") for port in (1, 2, 3))
MI = ReplySocket.parse("mi:udp:h:4")
START = 1_800_000_000
URL = "janusws://h:8188/janus"


class MemorySender:
    """Keeps what it gets; ``up`` False: nobody is there."""

    def __init__(self) -> None:
        self.up = True
        self.closed = False
        self.payloads: list[bytes] = []

    def try_send(self, parcel: Parcel) -> bool:
        if self.up:
            self.payloads.append(parcel.payload)
        return self.up

    async def send(self, parcel: Parcel, patience: float) -> None:
        await trio.lowlevel.checkpoint()
        if not self.try_send(parcel):
            raise NotSent("cannot be reached")

    def close(self) -> None:
        self.closed = True

    def params(self) -> list[Any]:
        """The events' parameters, whatever their envelope."""
        found = [json.loads(payload)["params"] for payload in self.payloads]
        return [json.loads(item[1]) if isinstance(item, list) and item[0].startswith("E_") else item for item in found]

    def bodies(self) -> list[Any]:
        return [json.loads(item["janus_body"])["n"] for item in self.params() if "janus_body" in item]


class House:
    """An EventInterface whose sockets are in memory and whose wall clock is the loop's."""

    def __init__(self, **limits: Any) -> None:
        self.senders: dict[ReplySocket, list[MemorySender]] = {}
        self.stats = Stats()
        self.evi = EventInterface(self.open, self.stats, limits=Limits(**limits), clock=self.now)

    def now(self) -> float:
        try:
            return START + trio.current_time()
        except RuntimeError:
            return START

    def open(self, socket: ReplySocket) -> MemorySender:
        self.senders.setdefault(socket, []).append(MemorySender())
        return self.senders[socket][-1]

    def __getitem__(self, socket: ReplySocket) -> MemorySender:
        (only,) = self.senders[socket]
        return only

    def janus(self, *numbers: int, janus_id: str = "g1") -> None:
        for number in numbers:
            self.evi.gateway_event(janus_id, URL, f'{{"n":{number}}}')

    async def settled(self) -> None:
        await self.evi.drain(trio.current_time() + 10)


async def running(nursery: trio.Nursery, **limits: Any) -> House:
    house = House(**limits)
    await nursery.start(house.evi.run)
    return house


async def test_each_subscriber_gets_each_event_once_and_in_order(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    house = await running(nursery)
    house.evi.configure([(E_JANUS_EVENT, A)])
    house.evi.subscribe(E_JANUS_EVENT, B, 3600)
    house.janus(*range(500))
    await house.settled()
    assert house[A].bodies() == house[B].bodies() == list(range(500))
    assert house[A].payloads[0] is house[B].payloads[0]  # made once


async def test_the_events_of_one_socket_share_its_queue(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    house.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_STATUS, A)])
    house.janus(1)
    house.evi.gateway_status("g1", URL, "disconnected", "eof", "{}")
    house.janus(2)
    await house.settled()
    methods = [json.loads(payload)["method"] for payload in house[A].payloads]
    assert methods == [E_JANUS_EVENT, E_JANUS_STATUS, E_JANUS_EVENT]
    assert house[A].params()[1] == {
        "janus_id": "g1",
        "janus_url": URL,
        "status": "disconnected",
        "reason": "eof",
        "detail": "{}",
    }


async def test_nobody_subscribed_nothing_encoded(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    unrenderable: Any = object()
    assert not house.evi.wanted(E_JANUS_EVENT)
    house.evi.raise_event(E_JANUS_EVENT, [("janus_body", unrenderable)], "g1")
    house.evi.configure([(E_JANUS_EVENT, A)])
    assert house.evi.wanted(E_JANUS_EVENT)
    assert not house.evi.wanted(E_JANUS_STATUS)
    with pytest.raises(TypeError):
        house.evi.raise_event(E_JANUS_EVENT, [("janus_body", unrenderable)], "g1")


async def test_raised_before_it_runs_an_event_waits(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = House()
    house.evi.configure([(E_JANUS_EVENT, A)])
    house.janus(1)
    assert house[A].payloads == []
    await nursery.start(house.evi.run)
    await house.settled()
    assert house[A].bodies() == [1]


async def test_unknown_events(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    with pytest.raises(KeyError):
        house.evi.raise_event("E_NONE", [])
    with pytest.raises(ValueError, match="no event 'E_NONE'"):
        house.evi.subscribe("E_NONE", A, 10)
    with pytest.raises(ValueError, match="no event 'E_NONE'"):
        house.evi.configure([("E_NONE", A)])
    house.evi.register("E_NONE")
    assert house.evi.events() == [E_JANUS_EVENT, E_JANUS_STATUS, "E_NONE"]
    house.evi.subscribe("E_NONE", A, 10)
    house.evi.raise_event("E_NONE", [("n", 1)])
    await house.settled()
    assert house[A].params() == [{"n": 1}]


async def test_janus_seq_counts_both_events_of_a_gateway_for_mi_alone(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    house = await running(nursery)
    house.janus(1)  # nobody hears it; it counts
    house.evi.configure([(E_JANUS_EVENT, MI), (E_JANUS_STATUS, MI), (E_JANUS_EVENT, A)])
    house.janus(2)
    house.evi.gateway_status("g1", URL, "connected", "", "{}")
    house.janus(3)
    house.janus(4, janus_id="g2")
    await house.settled()
    assert [item["janus_seq"] for item in house[MI].params()] == [
        f"{START}-2",
        f"{START}-3",
        f"{START}-4",
        f"{START}-1",
    ]
    assert all("janus_seq" not in item for item in house[A].params())
    ids = [json.loads(payload)["id"] for payload in house[MI].payloads]
    assert len(set(ids)) == 4
    assert all(isinstance(id, str) for id in ids)


async def test_two_starts_share_no_id(autojump_clock: MockClock) -> None:
    ids = set()
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            house = await running(nursery)
            house.evi.configure([(E_JANUS_EVENT, MI)])
            house.janus(1)
            await house.settled()
            ids.add(json.loads(house[MI].payloads[0])["id"])
            nursery.cancel_scope.cancel()
    assert len(ids) == 2


async def test_what_mi_raised_goes_to_no_mi_socket(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    house.evi.configure([(E_JANUS_EVENT, MI), (E_JANUS_EVENT, A)])
    house.evi.raise_event(E_JANUS_EVENT, [("janus_id", "g1")])
    house.janus(1)
    await house.settled()
    assert house[A].params()[0] == {"janus_id": "g1"}
    assert house[MI].bodies() == [1]
    assert len(house[MI].payloads) == 1


async def test_a_subscription_lapses_and_its_outlet_ends(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    house.evi.subscribe(E_JANUS_EVENT, A, 5)
    await trio.sleep(5.5)
    house.janus(1)
    await trio.sleep(0.5)
    house.janus(2)
    await trio.sleep(10)  # nobody raises or lists; it is seen all the same
    assert (house[A].bodies(), house[A].closed) == ([1], True)
    assert house.evi.figures() == []
    house.evi.subscribe(E_JANUS_EVENT, A, 5)
    house.janus(3)
    await house.settled()
    assert house.senders[A][1].bodies() == [3]


async def test_expire_0_delivers_what_was_raised_before(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    house.evi.subscribe(E_JANUS_EVENT, A, 100)
    house[A].up = False
    house.janus(1, 2)
    await trio.sleep(1)
    house.evi.subscribe(E_JANUS_EVENT, A, 0)
    await trio.sleep(1)
    house.janus(3)
    house[A].up = True
    await trio.sleep(15)
    assert (house[A].bodies(), house[A].closed) == ([1, 2], True)


async def test_renewed_while_it_ends_a_socket_keeps_its_queue(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    house.evi.configure([(E_JANUS_EVENT, A)])
    house[A].up = False
    house.janus(1)
    house.evi.configure([])
    await trio.sleep(1)
    house.evi.configure([(E_JANUS_EVENT, A)])
    house.janus(2)
    house[A].up = True
    await house.settled()
    assert house[A].bodies() == [1, 2]


async def test_configure_touches_the_difference_alone(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    house.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_EVENT, B)])
    house.evi.subscribe(E_JANUS_EVENT, C, 100)
    house.evi.configure([(E_JANUS_EVENT, B), (E_JANUS_STATUS, B)])
    house.janus(1)
    await house.settled()
    assert (house[A].closed, house[B].closed, house[C].closed) == (True, False, False)
    assert (house[A].bodies(), house[B].bodies(), house[C].bodies()) == ([], [1], [1])
    assert house.evi.is_configured(B)
    assert not house.evi.is_configured(C)


async def test_a_dead_subscriber_costs_others_nothing_and_learns_what_it_lost(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    house = await running(nursery, queue_events=10, max_age=3.0)
    house.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_EVENT, B), (E_JANUS_STATUS, B)])
    house[B].up = False
    for number in range(16):  # 10 wait, 6 find it full
        house.janus(number, janus_id="g2" if number == 15 else "g1")
        await trio.testing.wait_all_tasks_blocked()
    await trio.sleep(2)
    assert house[A].bodies() == list(range(16))
    await trio.sleep(2)  # the ten are too old
    house[B].up = True
    house.janus(16)
    await house.settled()
    params = house[B].params()
    lost = [(item["janus_id"], item["reason"], item["detail"]) for item in params if "status" in item]
    assert sorted(lost) == [("g1", "age", '{"lost":10}'), ("g1", "full", '{"lost":5}'), ("g2", "full", '{"lost":1}')]
    assert {item["status"] for item in params[:-1]} == {"events_lost"}
    assert {item["janus_url"] for item in params} == {URL}
    assert house[B].bodies() == [16]
    figures = {item.subscriber: item for item in house.evi.figures()}
    assert figures[str(B)].drops == {"full": 6, "age": 10}
    assert figures[str(A)].drops == {}
    assert house.stats.get("event_drops") == 16


async def test_who_does_not_listen_to_status_is_told_nothing(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery, queue_events=1)
    house.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_STATUS, B)])
    house.janus(1, 2, 3)
    await house.settled()
    assert house[A].bodies() == [1]
    assert (len(house[A].payloads), house[B].payloads) == (1, [])


async def test_subscribers_are_listed_with_what_is_left(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    house.evi.configure([(E_JANUS_EVENT, A)])
    house.evi.subscribe(E_JANUS_EVENT, B, 20)
    await trio.sleep(1)
    listed = [(item.socket, item.expire, ttl) for item, ttl in house.evi.subscribers(E_JANUS_EVENT)]
    assert listed == [(B, 20, 19), (A, None, None)]


async def test_statistics_count_what_was_raised(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    house = await running(nursery)
    house.janus(1, 2)
    house.evi.gateway_status("g1", URL, "connected", "", "{}")
    assert (house.stats.get("events"), house.stats.get("status_events")) == (2, 1)


async def test_drain_ends_at_its_deadline_and_the_rest_is_counted(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        house = await running(nursery)
        house.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_EVENT, B)])
        house[B].up = False
        house.janus(1, 2, 3)
        before = trio.current_time()
        await house.evi.drain(before + 2)
        assert trio.current_time() == before + 2
        nursery.cancel_scope.cancel()
    figures = {item.subscriber: (item.sent, item.drops) for item in house.evi.figures()}
    assert figures == {str(A): (3, {}), str(B): (0, {"stopped": 3})}
    assert (house[A].closed, house[B].closed) == (True, True)


async def test_a_fault_of_a_sender_is_its_own(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    house = await running(nursery)
    house.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_EVENT, B)])
    broken: Any = house[B]
    whole, broken.try_send = broken.try_send, None
    house.janus(1, 2)
    await trio.testing.wait_all_tasks_blocked()
    assert house[A].bodies() == [1, 2]
    assert "sender of udp:h:2 failed" in caplog.text
    broken.try_send = whole
    await house.settled()
    assert house[B].bodies() == [1, 2]


async def test_drops_are_logged_without_another_drop(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    house = await running(nursery, queue_events=1)
    house.evi.configure([(E_JANUS_EVENT, A)])
    house.janus(*range(100))
    await trio.sleep(75)
    dropped = [line.split(" event(s)")[0] for line in caplog.messages if "dropped (full)" in line]
    assert dropped == ["udp:h:1: 1", "udp:h:1: 98"]
