"""The figures of gateways with a real Janus."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio

from bridge.core.environment import LinkSettings
from bridge.core.metrics import NEWEST
from bridge.core.registry import LinkRegistry
from bridge.errors import BridgeError
from bridge.protocol.credentials import Credentials
from bridge.protocol.session import shorten
from bridge.protocol.snapshot import OUTCOMES
from tests.support.janus import GEN, Janus
from tests.support.linkbed import LinkBed, running
from tests.support.metrics_bed import MetricsBed
from tests.support.ports import free_port


async def test_every_command_has_one_outcome(janus: Janus) -> None:
    dead = f"janusws://127.0.0.1:{free_port()}/janus"
    bed = LinkBed(settings=LinkSettings(max_in_flight=3))
    async with running(bed, {"gw": janus.url, "dead": dead}):
        collector = MetricsBed(bed)
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
            await bed.until(lambda: collector.gateway().in_flight == 3)
            await fails(lambda: bed.ask({"janus": "info"}))
            bed.reconcile({"dead": dead})
        outcomes, stats = dict.fromkeys(OUTCOMES, 0), bed.stats.snapshot()
        assert {one: stats[f"commands_{one}"] for one in outcomes} == {
            **outcomes, "answered": 1, "error": 1, "timeout": 1, "invalid": 1, "unsent": 1, "busy": 1, "removed": 3
        }  # fmt: skip


async def test_the_time_of_a_command_begins_with_its_acceptance(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        collector = MetricsBed(bed)
        await bed.ready()
        handle = await bed.attach()
        before = collector.gateway().seconds
        async with trio.open_nursery() as nursery:
            for _ in range(2):  # in one lane: the second waits for the first
                nursery.start_soon(bed.message, handle, {"do": "late", "ms": 60})
        gained = collector.gateway().seconds - before
        assert gained > 0.12
        assert sum(collector.gateway().buckets) == 3


async def test_a_gateway_as_it_is(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": f"{janus.url}?token=secret"}) as bed:
        collector = MetricsBed(bed)
        await bed.ready()
        handle = await bed.attach()
        await bed.message(handle, {"do": "burst", "n": 3, "size": 1})
        await bed.until(lambda: len(bed.events) == 3)
        found = collector.gateway()
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


async def test_a_gateway_has_its_newest_history_without_whole_session_ids(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        collector = MetricsBed(bed)
        link = await bed.ready()
        handles = [await bed.attach(GEN, transaction=f"t{n}") for n in range(NEWEST)]
        history = collector.gateway().history
        assert [(one.handle_id, one.transaction) for one in history] == [
            (int(handle), f"t{n}") for n, handle in reversed(list(enumerate(handles)))
        ]
        assert {one.session for one in history} == {shorten(link.book.managed.session_id)}
