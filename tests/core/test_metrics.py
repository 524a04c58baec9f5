"""The figures of the table, the subscribers and the budgets, gathered from parts that work."""

import pytest
import trio

from bridge.errors import TableUnavailable
from bridge.protocol.budget import Holding
from bridge.protocol.reply_socket import ReplySocket
from bridge.protocol.snapshot import TableSnapshot
from tests.support.linkbed import LinkBed, running
from tests.support.metrics_bed import MetricsBed


async def test_a_bad_url_shows_no_password() -> None:
    async with running(LinkBed(), {"gw": "janusws://user:secret@host:x/janus?token=secret"}) as bed:
        found = MetricsBed(bed).gateway()
        assert found.state == "disabled"
        assert found.janus_url == "janusws://***@host:x/janus?***"
        assert found.last_error is not None
        assert "secret" not in found.last_error


async def test_the_table() -> None:
    async with running(LinkBed(), {}) as bed:
        collector = MetricsBed(bed)
        assert collector.metrics.figures().table == TableSnapshot("none", None, None, attempted=False)
        assert bed.stats.get("table_age") == -1
        collector.rows = TableUnavailable("no route")
        await collector.table.first(lambda: ([], 4000.0))
        assert collector.metrics.figures().table == TableSnapshot("stale", 1000.0, "no route", attempted=True)
        collector.rows = []
        await collector.table.reload()
        collector.now += 30
        assert collector.metrics.figures().table == TableSnapshot("fresh", 30.0, None, attempted=True)
        assert (bed.stats.get("table_fresh"), bed.stats.get("table_age")) == (1, 30)
        collector.rows = TableUnavailable("gone")
        with pytest.raises(TableUnavailable):
            await collector.table.reload()
        assert (collector.metrics.figures().table.error, bed.stats.get("table_fresh")) == ("gone", 0)


async def test_subscribers() -> None:
    async with running(LinkBed(), {}) as bed, trio.open_nursery() as nursery:
        collector = MetricsBed(bed)
        await nursery.start(collector.evi.run)
        first, reliable, plain = (
            ReplySocket.parse("udp:h:1"),
            ReplySocket.parse("tcp:h:2", reliable=True),
            ReplySocket.parse("tcp:h:2"),
        )
        collector.evi.configure([("E_JANUS_EVENT", first), ("E_JANUS_STATUS", first), ("E_JANUS_EVENT", reliable)])
        collector.evi.subscribe("E_JANUS_EVENT", plain, 100)
        for _ in range(3):
            collector.evi.gateway_event("gw", "janusws://h/", "{}")
        found = {item.subscriber: item for item in collector.metrics.figures().subscribers}
        assert sorted(found) == ["tcp:h:2", "udp:h:1"]
        assert found["udp:h:1"].events == ["E_JANUS_EVENT", "E_JANUS_STATUS"]
        assert (found["udp:h:1"].queued, found["udp:h:1"].drops, found["udp:h:1"].ttl) == (2, {"full": 1}, None)
        assert (found["tcp:h:2"].queued, found["tcp:h:2"].drops, found["tcp:h:2"].ttl) == (4, {"full": 2}, None)
        assert (bed.stats.get("queue_events"), bed.stats.get("event_drops")) == (6, 3)
        nursery.cancel_scope.cancel()


async def test_a_budget_that_had_no_room_is_logged_once_a_look(caplog: pytest.LogCaptureFixture) -> None:
    async with running(LinkBed(), {}) as bed:
        collector = MetricsBed(bed)
        held = Holding(collector.budget, "a")
        assert held.resize(1000)
        for _ in range(3):
            assert not Holding(collector.budget, "a").resize(2**20)
        await collector.metrics._sample(0.0, 0.0)
        await collector.metrics._sample(1.0, 0.0)
    assert caplog.messages[-1:] == ["[mi] pending_bytes: no room 3 times; held: 1,000 bytes"]
    assert sum("no room" in message for message in caplog.messages) == 1


async def test_a_sample_is_of_all_gateways_together() -> None:
    async with running(LinkBed(), {}) as bed:
        collector = MetricsBed(bed)
        await collector.metrics._sample(5.0, 0.0)
        bed.stats.add("event_drops", 10)
        await collector.metrics._sample(10.0, 0.25)
    recent = collector.metrics.figures().recent
    assert (list(recent.commands), list(recent.drops), list(recent.lag)) == ([0, 0], [0, 2], [0, 0.25])
