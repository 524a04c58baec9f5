"""Events in the log on disk, when the bridge is killed, the disk is full and OpenSIPS is away."""

import functools
import json
import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.conftest import BridgeFactory
from tests.faults.programs import attach, limited, message, normal, statistic, until_logged
from tests.support.bridge import Bridge
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.janus import Janus
from tests.support.opensips_mi import OpenSipsMi
from tests.support.rabbitmq import RabbitMq

Factory = Callable[..., Janus]
LONG = pytest.mark.galera  # whoever has time for one has time for these


def keeping(opensips: OpenSipsMi, **options: Any) -> dict[str, Any]:
    """Options of a bridge that keeps events for this OpenSIPS."""
    subscribers = [{"event": event, "socket": opensips.name} for event in ("E_JANUS_EVENT", "E_JANUS_STATUS")]
    return {"events.store": True, "events.subscribers": subscribers, **options}


def ran(opensips: OpenSipsMi) -> dict[str, int]:
    """By janus_seq in the order of their first copies: the events of bursts that OpenSIPS ran, by their index."""
    found: dict[str, int] = {}
    for item in opensips.raised:
        index = index_of(item.get("janus_body", "{}"))
        if index is not None:
            found.setdefault(item["janus_seq"], index)
    return found


@functools.cache
def index_of(body: str) -> int | None:
    index: int | None = json.loads(body).get("plugindata", {}).get("data", {}).get("i")
    return index


async def until_it_ran(opensips: OpenSipsMi, number: int, seconds: float = HANG_SECONDS) -> None:
    with in_time(seconds):
        while len(ran(opensips)) < number:  # noqa: ASYNC110 - it is looked at, now and then
            await trio.sleep(0.01)


def on_disk(bridge: Bridge) -> list[str]:
    """The janus_seq of the events of bursts in the log, in order."""
    with closing(sqlite3.connect(Path(bridge.options["state.dir"]) / "events.db")) as database:
        rows = database.execute("SELECT epoch, n FROM janus_event WHERE body LIKE '%\"pad\"%' ORDER BY seq")
        return [f"{epoch}-{n}" for epoch, n in rows]


async def test_killed_under_load(bridge_factory: BridgeFactory, janus_factory: Factory, within: float) -> None:
    """With store_sync "full": OpenSIPS gets what is on the disk, all of it in order, and nothing else."""
    janus = janus_factory(reclaim_session_timeout=30)
    opensips = OpenSipsMi()
    async with trio.open_nursery() as nursery:
        await nursery.start(opensips.run)
        bridge = bridge_factory({"gw1": janus.url}, **keeping(opensips, **{"events.store_sync": "full"}))
        await normal(bridge)
        handle = await attach(bridge)
        await bridge.send("gw1", message(handle, {"do": "tick", "ms": 2, "k": 2, "n": 100_000, "size": 100}))
        await until_it_ran(opensips, 100)
        bridge.kill()
        before = len(ran(opensips))
        committed = on_disk(bridge)
        assert committed[:before] == list(ran(opensips))
        bridge.start()
        await normal(bridge, within)
        await until_it_ran(opensips, len(committed) + 100)
        assert list(ran(opensips))[: len(committed)] == committed
        assert list(ran(opensips).values())[: len(committed)] == list(range(len(committed)))
        epochs = {seq.split("-")[0] for seq in ran(opensips)}
        assert len(epochs) == 2  # what Janus said since then has another one
        nursery.cancel_scope.cancel()


async def test_opensips_away_for_longer_than_max_age(
    bridge_factory: BridgeFactory, janus: Janus, within: float
) -> None:
    """And the bridge restarted meanwhile: with a log, nothing of it is lost."""
    opensips = OpenSipsMi()
    async with trio.open_nursery() as nursery:
        await nursery.start(opensips.run)
        bridge = bridge_factory({"gw1": janus.url}, **keeping(opensips, **{"events.max_age": 0.1}))
        await normal(bridge)
        handle = await attach(bridge)
        opensips.close()
        await bridge.send("gw1", message(handle, {"do": "burst", "n": 300, "size": 10}))
        await until_logged(bridge, "events do not arrive")
        bridge.stop()
        bridge.start()
        await normal(bridge)
        nursery.start_soon(opensips.run)
        await until_it_ran(opensips, 300, within)
        assert list(ran(opensips).values()) == list(range(300))
        assert await statistic(bridge, "event_drops") == 0
        nursery.cancel_scope.cancel()


async def test_disk_full_for_the_events(bridge_factory: BridgeFactory, janus: Janus) -> None:
    """Callers, Janus and subscribers do not notice; what waited is written when there is room."""
    opensips = OpenSipsMi()
    async with trio.open_nursery() as nursery:
        await nursery.start(opensips.run)
        bridge = bridge_factory({"gw1": janus.url}, **keeping(opensips, **{"events.store_sync": "full"}))
        await normal(bridge)
        handle = await attach(bridge)
        burst = message(handle, {"do": "burst", "n": 200, "size": 200})
        with limited(bridge, resource.RLIMIT_FSIZE, 60_000):  # the log of the program has room
            await bridge.send("gw1", burst)
            await until_logged(bridge, "events are not kept on disk")
            await until_it_ran(opensips, 200)
        await bridge.send("gw1", burst)
        await until_logged(bridge, "events are kept on disk again")
        await until_it_ran(opensips, 400)
        with in_time(HANG_SECONDS):
            while len(on_disk(bridge)) < 400:  # noqa: ASYNC110 - a file; what waited was delivered from memory
                await trio.sleep(0.01)
        assert on_disk(bridge) == list(ran(opensips))
        assert await statistic(bridge, "store_full") == 0
        nursery.cancel_scope.cancel()


@LONG
async def test_broker_killed_twice_under_load(
    bridge_factory: BridgeFactory, janus_factory: Factory, rabbitmq: RabbitMq
) -> None:
    """A classic and a quorum queue have all that Janus said, and of what they have twice the last is in order."""
    queues = [rabbitmq.queue(arguments={"x-queue-type": kind}) for kind in ("classic", "quorum")]
    rabbitmq.restart()
    subscribers = [{"event": "E_JANUS_EVENT", "socket": f"rabbitmq:{rabbitmq.place}/{queue}"} for queue in queues]
    bridge = bridge_factory({"gw1": janus_factory().url}, **{"events.store": True, "events.subscribers": subscribers})
    await normal(bridge)
    handle = await attach(bridge)
    await bridge.send("gw1", message(handle, {"do": "tick", "ms": 10, "k": 3, "n": 10**9, "size": 100}))
    for _ in range(2):
        await until_they_go_on(bridge)
        rabbitmq.kill()
        await until_all(bridge, "janus_status", lambda one: one["trouble"] is not None)
        await trio.to_thread.run_sync(rabbitmq.start)
    await until_they_go_on(bridge)
    await bridge.send("gw1", {"janus": "detach", "handle_id": handle})
    await until_all(bridge, "event_store_list", lambda one: one["behind"] == 0)
    kept = [f"gw1/{seq}" for seq in on_disk(bridge)]
    for queue in queues:
        last: dict[str | None, int | None] = {}
        for one in await trio.to_thread.run_sync(rabbitmq.take, queue):
            last.pop(one.id, None)
            last[one.id] = index_of(one.body["params"]["janus_body"])
        ids = [id for id, index in last.items() if index is not None]
        assert ids == kept
        assert [last[id] for id in ids] == list(range(len(kept)))
    assert await statistic(bridge, "event_drops") == 0


async def until_they_go_on(bridge: Bridge) -> None:
    """All of them get events."""
    rows = (await bridge.ami("event_store_list"))["Subscribers"]
    before = {one["subscriber"]: one["position"] for one in rows}
    await until_all(bridge, "event_store_list", lambda one: one["position"] > before[one["subscriber"]] + 100)


async def until_all(bridge: Bridge, method: str, settled: Callable[[dict[str, Any]], bool]) -> None:
    """Until this MI method says so of each subscriber."""
    with in_time(HANG_SECONDS):
        while not all(map(settled, (await bridge.ami(method))["Subscribers"])):  # noqa: ASYNC110 - asked now and then
            await trio.sleep(0.01)
