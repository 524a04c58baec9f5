"""The Event Interface: who gets what, in which order, numbered how."""

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from bridge.protocol.event_filter import EventFilter
from bridge.protocol.event_payload import E_JANUS_EVENT, E_JANUS_STATUS
from bridge.protocol.reply_socket import ReplySocket
from tests.support.evi_bed import EPOCH, URL, EviBed, running

A, B = (ReplySocket.parse(f"udp:h:{port}") for port in (1, 2))
MI = ReplySocket.parse("mi:udp:h:4")


async def test_each_subscriber_gets_each_event_once_and_in_order(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = await running(nursery)
    bed.evi.configure([(E_JANUS_EVENT, A)])
    bed.evi.subscribe(E_JANUS_EVENT, B, 3600)
    bed.janus(*range(500))
    await bed.settled()
    assert bed[A].bodies() == bed[B].bodies() == list(range(500))
    assert bed[A].payloads[0] is bed[B].payloads[0]  # made once


async def test_the_events_of_one_socket_share_its_queue(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    bed.evi.configure([(E_JANUS_EVENT, A), (E_JANUS_STATUS, A)])
    bed.janus(1)
    bed.evi.gateway_status("g1", URL, "disconnected", "eof", "{}")
    bed.janus(2)
    await bed.settled()
    methods = [json.loads(payload)["method"] for payload in bed[A].payloads]
    assert methods == [E_JANUS_EVENT, E_JANUS_STATUS, E_JANUS_EVENT]
    assert bed[A].params()[1] == {
        "janus_id": "g1",
        "janus_url": URL,
        "status": "disconnected",
        "reason": "eof",
        "detail": "{}",
    }


async def test_nobody_subscribed_nothing_encoded(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    unrenderable: Any = object()
    assert not bed.evi.wanted(E_JANUS_EVENT)
    bed.evi.raise_event(E_JANUS_EVENT, [("janus_body", unrenderable)], "g1")
    bed.evi.configure([(E_JANUS_EVENT, A)])
    assert bed.evi.wanted(E_JANUS_EVENT)
    assert not bed.evi.wanted(E_JANUS_STATUS)
    with pytest.raises(TypeError):
        bed.evi.raise_event(E_JANUS_EVENT, [("janus_body", unrenderable)], "g1")


async def test_raised_before_it_runs_an_event_waits(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = EviBed()
    bed.evi.configure([(E_JANUS_EVENT, A)])
    bed.janus(1)
    assert bed[A].payloads == []
    await nursery.start(bed.evi.run)
    await bed.settled()
    assert bed[A].bodies() == [1]


async def test_unknown_events(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    with pytest.raises(KeyError):
        bed.evi.raise_event("E_NONE", [])
    with pytest.raises(ValueError, match="no event 'E_NONE'"):
        bed.evi.subscribe("E_NONE", A, 10)
    with pytest.raises(ValueError, match="no event 'E_NONE'"):
        bed.evi.configure([("E_NONE", A)])
    bed.evi.register("E_NONE")
    assert bed.evi.events() == [E_JANUS_EVENT, E_JANUS_STATUS, "E_NONE"]
    bed.evi.subscribe("E_NONE", A, 10)
    bed.evi.raise_event("E_NONE", [("n", 1)])
    await bed.settled()
    assert bed[A].params() == [{"n": 1}]


async def test_janus_seq_counts_both_events_of_a_gateway_for_mi_alone(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = await running(nursery)
    bed.janus(1)  # nobody hears it; it counts
    bed.evi.configure([(E_JANUS_EVENT, MI), (E_JANUS_STATUS, MI), (E_JANUS_EVENT, A)])
    bed.janus(2)
    bed.evi.gateway_status("g1", URL, "connected", "", "{}")
    bed.janus(3)
    bed.janus(4, janus_id="g2")
    await bed.settled()
    assert [item["janus_seq"] for item in bed[MI].params()] == [
        f"{EPOCH}-2",
        f"{EPOCH}-3",
        f"{EPOCH}-4",
        f"{EPOCH}-1",
    ]
    assert all("janus_seq" not in item for item in bed[A].params())
    ids = [json.loads(payload)["id"] for payload in bed[MI].payloads]
    assert len(set(ids)) == 4
    assert all(isinstance(id, str) for id in ids)


async def test_numbered_every_kind_of_socket_gets_janus_seq(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery, numbered=True)
    sockets = [ReplySocket.parse(text) for text in ("udp:h:1", "unix:/s", "tcp:h:2", "tcp:h:3/m", "mi:udp:h:4")]
    bed.evi.configure([(E_JANUS_EVENT, socket) for socket in sockets])
    bed.janus(1)
    bed.evi.raise_event(E_JANUS_EVENT, [("janus_body", "{}")])  # of no gateway: no number
    await bed.settled()
    for socket in sockets:
        last = list(bed[socket].params()[0].items())[-1]
        assert last == ("janus_seq", f"{EPOCH}-1")
        assert bed[socket].params()[1:] == ([] if socket.is_mi else [{"janus_body": "{}"}])


async def test_what_one_socket_lost_leaves_no_gap_in_the_numbers_of_another(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bed = await running(nursery, queue_events=2, numbered=True)
    both = [(event, socket) for event in (E_JANUS_EVENT, E_JANUS_STATUS) for socket in (A, MI)]
    bed.evi.configure(both)
    bed[MI].up = False
    for number in (1, 2, 3, 4):
        bed.janus(number)
        await trio.testing.wait_all_tasks_blocked()
    bed[MI].up = True
    await bed.settled()
    bed.janus(5)
    await bed.settled()
    assert [item["janus_seq"] for item in bed[A].params()] == [f"{EPOCH}-{n}" for n in (1, 2, 3, 4, 5)]
    told = [(item["janus_seq"], item.get("detail")) for item in bed[MI].params()]
    assert told == [
        (f"{EPOCH}-1", None),
        (f"{EPOCH}-2", None),
        (f"{EPOCH}-4.lost", '{"lost":2}'),
        (f"{EPOCH}-5", None),
    ]


async def test_two_starts_share_no_id(autojump_clock: MockClock) -> None:
    ids = set()
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            bed = await running(nursery)
            bed.evi.configure([(E_JANUS_EVENT, MI)])
            bed.janus(1)
            await bed.settled()
            ids.add(json.loads(bed[MI].payloads[0])["id"])
            nursery.cancel_scope.cancel()
    assert len(ids) == 2


async def test_what_mi_raised_goes_to_no_mi_socket(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    bed.evi.configure([(E_JANUS_EVENT, MI), (E_JANUS_EVENT, A)])
    bed.evi.raise_event(E_JANUS_EVENT, [("janus_id", "g1")])
    bed.janus(1)
    await bed.settled()
    assert bed[A].params()[0] == {"janus_id": "g1"}
    assert bed[MI].bodies() == [1]
    assert len(bed[MI].payloads) == 1


async def test_statistics_count_what_was_raised(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bed = await running(nursery)
    bed.evi.gateway_status("g1", URL, "connected", "", "{}")
    assert bed.stats.get("status_events") == 1


async def test_a_filter_keeps_events_out_of_the_queue(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Configured or by MI; what it keeps out is no loss, and numbers stay as they are."""
    bed = await running(nursery, queue_events=1)
    hangups, second = EventFilter(kinds=frozenset({"hangup"})), EventFilter(janus_ids=frozenset({"g2"}))
    bed.evi.configure([(E_JANUS_EVENT, MI), (E_JANUS_EVENT, A)], {(E_JANUS_EVENT, MI): hangups})
    bed.evi.subscribe(E_JANUS_EVENT, B, 3600, second)
    bed.evi.subscribe(E_JANUS_EVENT, MI, 3600)  # the configured filter stays
    for janus_id, kind in (("g1", "event"), ("g1", "hangup"), ("g2", "event")):
        bed.evi.gateway_event(janus_id, URL, f'{{"janus":"{kind}","n":0}}')
        await bed.settled()
    assert [item["janus_seq"] for item in bed[MI].params()] == [f"{EPOCH}-2"]
    assert [item["janus_id"] for item in bed[B].params()] == ["g2"]
    assert len(bed[A].payloads) == 3
    assert all(not one.drops for one in bed.evi.figures())
    bed.evi.configure([(E_JANUS_EVENT, MI), (E_JANUS_EVENT, A)])
    bed.janus(4)
    await bed.settled()
    assert len(bed[MI].payloads) == 2
