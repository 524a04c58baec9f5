"""The figures of gateways, their table and their subscribers, gathered from parts that work."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio

from bridge.core.commands_core import Process
from bridge.core.environment import LinkSettings
from bridge.core.event_sender import QueueLimits
from bridge.core.evi import EventInterface
from bridge.core.metrics import NEWEST, Budgets, MetricsCollector
from bridge.core.registry import LinkRegistry
from bridge.core.table import Table
from bridge.errors import BridgeError, TableUnavailable
from bridge.protocol.backoff import Backoff
from bridge.protocol.budget import Budget, Holding
from bridge.protocol.credentials import Credentials
from bridge.protocol.event_delivery import NotSent, Parcel
from bridge.protocol.gateway import TableRow
from bridge.protocol.reply_socket import ReplySocket
from bridge.protocol.session import shorten
from bridge.protocol.snapshot import OUTCOMES, GatewaySnapshot, Room, TableSnapshot
from tests.support.janus import GEN, Janus
from tests.support.linkbed import LinkBed, running
from tests.support.ports import free_port


class Nowhere:
    """A sender that reaches nobody."""

    def try_send(self, parcel: Parcel) -> bool:
        return False

    async def send(self, parcel: Parcel, patience: float) -> None:
        await trio.lowlevel.checkpoint()
        raise NotSent("nobody is there")

    def close(self) -> None:
        pass


class Office:
    """A ledger over the parts of a bed. ``rows`` is what the database answers, or why it does not."""

    def __init__(self, bed: LinkBed) -> None:
        self.bed = bed
        self.now = 5000.0
        self.rows: list[TableRow] | TableUnavailable = []
        self.budget, self.room = Budget(2**20), Room()
        self.evi = EventInterface(lambda socket: Nowhere(), bed.stats, QueueLimits(queue_events=2), clock=time.time)
        backoff = Backoff(1, 1, lambda low, high: low)
        self.table = Table(bed.registry, self.read, self.keep, backoff, lambda: self.now)
        process = Process("1.2.3", [], "/", 1, 4000.0, now=lambda: self.now)
        budgets = Budgets(self.budget, Budget(2**20), self.evi.pools)
        self.metrics = MetricsCollector(
            process, bed.stats, bed.registry, self.evi, self.table, budgets, lambda: self.room
        )

    async def read(self) -> list[TableRow]:
        await trio.lowlevel.checkpoint()
        if isinstance(self.rows, TableUnavailable):
            raise self.rows
        return self.rows

    async def keep(self, rows: list[TableRow]) -> None:
        await trio.lowlevel.checkpoint()

    def gateway(self, janus_id: str = "gw") -> GatewaySnapshot:
        [found] = [item for item in self.metrics.figures().gateways if item.janus_id == janus_id]
        return found


async def test_every_command_has_one_outcome(janus: Janus) -> None:
    dead = f"janusws://127.0.0.1:{free_port()}/janus"
    bed = LinkBed(settings=LinkSettings(max_in_flight=3))
    async with running(bed, {"gw": janus.url, "dead": dead}):
        office = Office(bed)
        await bed.ready()
        handle = await bed.attach()
        hold = {"janus": "message", "handle_id": handle, "body": {"do": "hold"}}

        async def fails(asked: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(BridgeError):
                await asked()

        await bed.ask({"janus": "attach", "plugin": "no.such"})
        await bed.ask_in_vain(hold)
        await fails(lambda: bed.ask({"janus": "destroy"}))
        await fails(lambda: bed.ask({"janus": "info"}, janus_id="dead"))
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(fails, lambda: bed.ask(hold))
            await bed.until(lambda: office.gateway().in_flight == 3)
            await fails(lambda: bed.ask({"janus": "info"}))
            bed.reconcile({"dead": dead})
        outcomes, stats = dict.fromkeys(OUTCOMES, 0), bed.stats.snapshot()
        assert {one: stats[f"commands_{one}"] for one in outcomes} == {
            **outcomes, "answered": 1, "error": 1, "timeout": 1, "invalid": 1, "unsent": 1, "busy": 1, "removed": 3
        }  # fmt: skip


async def test_the_time_of_a_command_begins_with_its_acceptance(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        office = Office(bed)
        await bed.ready()
        handle = await bed.attach()
        before = office.gateway().seconds
        async with trio.open_nursery() as nursery:
            for _ in range(2):  # in one lane: the second waits for the first
                nursery.start_soon(bed.message, handle, {"do": "late", "ms": 60})
        gained = office.gateway().seconds - before
        assert gained > 0.12
        assert sum(office.gateway().buckets) == 3


async def test_a_gateway_as_it_is(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": f"{janus.url}?token=secret"}) as bed:
        office = Office(bed)
        await bed.ready()
        handle = await bed.attach()
        await bed.message(handle, {"do": "burst", "n": 3, "size": 1})
        await bed.until(lambda: len(bed.events) == 3)
        found = office.gateway()
        assert (found.state, found.events, found.reconnects, found.in_flight) == ("ready", 3, 0, 0)
        assert found.janus_url == janus.url
        [session] = found.sessions
        assert session.session.endswith("...")
        assert (session.managed, session.plugins) == (True, {GEN: 1})
        values = bed.stats.snapshot()
        assert (values["gateways"], values["gateways_ready"], values["sessions"], values["handles"]) == (1, 1, 1, 1)


async def test_events_are_counted_where_nobody_is_subscribed(janus: Janus) -> None:
    bed = LinkBed()
    bed.registry = LinkRegistry(replace(bed.environment, wanted=lambda: False), lambda _: Credentials(), lambda _: ())
    async with running(bed, {"gw": janus.url}):
        await bed.ready()
        handle = await bed.attach()
        await bed.message(handle, {"do": "burst", "n": 3, "size": 1})
        await bed.until(lambda: bed.stats.get("events") == 3)
        assert bed.events == []


async def test_a_bad_url_shows_no_password() -> None:
    async with running(LinkBed(), {"gw": "janusws://user:secret@host:x/janus?token=secret"}) as bed:
        found = Office(bed).gateway()
        assert found.state == "disabled"
        assert found.janus_url == "janusws://***@host:x/janus?***"
        assert found.last_error is not None
        assert "secret" not in found.last_error


async def test_the_table() -> None:
    async with running(LinkBed(), {}) as bed:
        office = Office(bed)
        assert office.metrics.figures().table == TableSnapshot("none", None, None, attempted=False)
        assert bed.stats.get("table_age") == -1
        office.rows = TableUnavailable("no route")
        await office.table.first(lambda: ([], 4000.0))
        assert office.metrics.figures().table == TableSnapshot("stale", 1000.0, "no route", attempted=True)
        office.rows = []
        await office.table.reload()
        office.now += 30
        assert office.metrics.figures().table == TableSnapshot("fresh", 30.0, None, attempted=True)
        assert (bed.stats.get("table_fresh"), bed.stats.get("table_age")) == (1, 30)
        office.rows = TableUnavailable("gone")
        with pytest.raises(TableUnavailable):
            await office.table.reload()
        assert (office.metrics.figures().table.error, bed.stats.get("table_fresh")) == ("gone", 0)


async def test_subscribers() -> None:
    async with running(LinkBed(), {}) as bed, trio.open_nursery() as nursery:
        office = Office(bed)
        await nursery.start(office.evi.run)
        first, reliable, plain = (
            ReplySocket.parse("udp:h:1"),
            ReplySocket.parse("tcp:h:2", reliable=True),
            ReplySocket.parse("tcp:h:2"),
        )
        office.evi.configure([("E_JANUS_EVENT", first), ("E_JANUS_STATUS", first), ("E_JANUS_EVENT", reliable)])
        office.evi.subscribe("E_JANUS_EVENT", plain, 100)
        for _ in range(3):
            office.evi.gateway_event("gw", "janusws://h/", "{}")
        found = {item.subscriber: item for item in office.metrics.figures().subscribers}
        assert sorted(found) == ["tcp:h:2", "udp:h:1"]
        assert found["udp:h:1"].events == ["E_JANUS_EVENT", "E_JANUS_STATUS"]
        assert (found["udp:h:1"].queued, found["udp:h:1"].drops, found["udp:h:1"].ttl) == (2, {"full": 1}, None)
        assert (found["tcp:h:2"].queued, found["tcp:h:2"].drops, found["tcp:h:2"].ttl) == (4, {"full": 2}, None)
        assert (bed.stats.get("queue_events"), bed.stats.get("event_drops")) == (6, 3)
        nursery.cancel_scope.cancel()


async def test_a_budget_that_had_no_room_is_logged_once_a_look(caplog: pytest.LogCaptureFixture) -> None:
    async with running(LinkBed(), {}) as bed:
        office = Office(bed)
        held = Holding(office.budget, "a")
        assert held.resize(1000)
        for _ in range(3):
            assert not Holding(office.budget, "a").resize(2**20)
        office.metrics._sample(0.0)
        office.metrics._sample(1.0)
    assert caplog.messages[-1:] == ["[mi] pending_bytes: no room 3 times; 1000 bytes are held"]
    assert sum("no room" in message for message in caplog.messages) == 1


async def test_a_gateway_has_its_newest_history_without_whole_session_ids(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        office = Office(bed)
        link = await bed.ready()
        handles = [await bed.attach(GEN, transaction=f"t{n}") for n in range(NEWEST)]
        history = office.gateway().history
        assert [(one.handle_id, one.transaction) for one in history] == [
            (int(handle), f"t{n}") for n, handle in reversed(list(enumerate(handles)))
        ]
        assert {one.session for one in history} == {shorten(link.book.managed.session_id)}
