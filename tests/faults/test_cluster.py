"""Bridges of a cluster die, hang, are stopped and restarted, beside real Janus servers and a real MariaDB."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.bridge import Bridge
from tests.support.bridge_cluster import (
    BusyCaller,
    ClusterBed,
    Listener,
    answered,
    attach,
    caught_up,
    handle_at_the_first,
    heir_of,
    lives,
    ready,
    released,
    says,
    written,
)
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import Message, open_fake_janus
from tests.support.janus import Janus
from tests.support.janus_client import AdminClient
from tests.support.mariadb import MariaDb
from tests.support.mi_client import MiError
from tests.support.receivers import Receiver
from tests.support.tables import mariadb_table, sqlite_table

QUICK: dict[str, Any] = {
    "cluster.ping_interval": 0.5,
    "cluster.node_timeout": 4,
}  # the rest is what node_timeout does not make of it
LONG = pytest.mark.galera  # whoever has time for one has time for these
RATE = {"do": "tick", "ms": 10, "k": 3}  # 300 events a second
MakeBed = Callable[..., ClusterBed]


@pytest.fixture
def reclaiming(janus_factory: Callable[..., Janus]) -> Janus:
    return janus_factory(reclaim_session_timeout=20)


@pytest.fixture
def make_bed(tmp_path: Path, mariadb: MariaDb, events: Receiver) -> MakeBed:
    """Two bridges, or so many, at this Janus, beside MariaDB."""

    def make(janus_url: str, options: dict[str, Any] | None = None, bridges: int = 2) -> ClusterBed:
        return ClusterBed(tmp_path, mariadb_table(mariadb, {"gw1": janus_url}), bridges, events, options)

    return make


@LONG
async def test_killed(
    mariadb: MariaDb, reclaiming: Janus, make_bed: MakeBed, listener: Listener, within: float
) -> None:
    with make_bed(reclaiming.url, QUICK) as bed:
        first, second, handle = await handle_at_the_first(bed)
        assert await lives(second, handle)  # one hop
        await answered(first, says(handle, **RATE, n=10_000))
        await listener.until(lambda: listener.numbers(handle))
        await written(first, mariadb)
        first.kill()
        await caught_up(second, handle, within)
        before = len(listener.numbers(handle))
        await listener.until(lambda: len(listener.numbers(handle)) > before + 10)
        numbers = listener.numbers(handle)
        assert numbers == sorted(set(numbers))
        (taken,) = listener.told("taken_over")
        assert taken["detail"]["node"] == 1
        (lost,) = listener.told("events_lost")
        assert lost["detail"]["seconds"] > 0
        assert not listener.told("session_lost")


async def test_killed_and_released(
    mariadb: MariaDb, reclaiming: Janus, make_bed: MakeBed, listener: Listener, within: float
) -> None:
    """With the default node_timeout."""
    with make_bed(reclaiming.url) as bed:
        first, second, handle = await handle_at_the_first(bed)
        await written(first, mariadb)
        first.kill()
        with pytest.raises(MiError) as pending:
            await second.send("gw1", says(handle, n=1))
        assert pending.value.code == 503
        await released(first)
        await caught_up(second, handle, within)


@LONG
async def test_paused(
    mariadb: MariaDb, reclaiming: Janus, make_bed: MakeBed, listener: Listener, within: float
) -> None:
    """The sessions are the peer's for good; the one that wakes up makes new ones and goes on."""
    with make_bed(reclaiming.url, QUICK) as bed:
        first, second, handle = await handle_at_the_first(bed)
        async with AdminClient.open(reclaiming) as admin:
            sessions = set(await admin.list_sessions())
            await written(first, mariadb)
            first.process.freeze()
            await caught_up(second, handle, within)
            first.process.thaw()
            another = await attach(first)
            assert await lives(first, another)
            assert await lives(second, handle)
            assert await lives(first, handle)  # one hop, the other way now
            assert sessions <= set(await admin.list_sessions())
        assert not listener.told("session_lost") or "taken" in listener.told("session_lost")[0]["reason"]


@LONG
async def test_paused_with_a_command_in_its_hands(
    mariadb: MariaDb, make_bed: MakeBed, listener: Listener, nursery: trio.Nursery
) -> None:
    """What it wakes up with reaches Janus through the peer, or not at all."""
    async with open_fake_janus() as fake:
        with make_bed(fake.url, QUICK) as bed:
            first, second = bed.bridges
            await ready(second)
            await ready(first)
            attached = await answered(first, {"janus": "attach", "plugin": "janus.plugin.fake"})
            handle, owned = attached["data"]["id"], fake.received[-1]
            await written(first, mariadb)
            first.process.freeze()
            nursery.start_soon(_ask_in_vain, first, handle)
            await listener.until(lambda: listener.told("taken_over"))
            seen = len(fake.received)
            first.process.thaw()
            await ready(first)
            assert [message for message in fake.received[seen:] if _of_the_same(message, owned)] == []
        nursery.cancel_scope.cancel()


def _of_the_same(message: Message, other: Message) -> bool:
    """From the same process and for the same session: a transaction begins with what is random in each process."""
    mine, its = (str(one["transaction"])[:8] for one in (message, other))
    return mine == its and message.get("session_id") == other["session_id"]


async def _ask_in_vain(bridge: Bridge, handle: str) -> None:
    with suppress(MiError):
        await bridge.send("gw1", {"janus": "message", "handle_id": handle, "body": {"late": True}})


@LONG
async def test_one_of_many_takes_over(
    mariadb: MariaDb, reclaiming: Janus, make_bed: MakeBed, listener: Listener, within: float
) -> None:
    with make_bed(reclaiming.url, bridges=4) as bed:
        first, *others = bed.bridges
        handle = await attach(first)
        for other in others:
            await ready(other)
        await written(first, mariadb)
        first.kill()
        await released(first)
        for other in others:
            await caught_up(other, handle, within)
        assert len(listener.told("taken_over")) == 1


@LONG
async def test_an_heir_dies_right_after_its_take_over(
    mariadb: MariaDb, reclaiming: Janus, make_bed: MakeBed, listener: Listener, within: float
) -> None:
    """As soon as the table has the sessions under it, and whether it has claimed them by then or not."""
    with make_bed(reclaiming.url, bridges=3) as bed:
        handles = [await attach(bridge) for bridge in bed.bridges]
        for bridge in bed.bridges:
            await written(bridge, mariadb)
        first, *others = bed.bridges
        first.kill()
        await released(first)
        heir = others.pop(await heir_of(first, mariadb) - 2)
        heir.kill()
        await released(heir)
        for handle in handles:
            await caught_up(others[0], handle, within)
        assert listener.told("taken_over")[-1]["detail"] == {"node": heir.options["cluster.my_node_id"], "sessions": 2}
        assert not listener.told("session_lost")


@pytest.mark.parametrize("planned", ["drained", pytest.param("stopped", marks=LONG)])
async def test_handed_over(
    make_bed: MakeBed,
    janus: Janus,
    listener: Listener,
    nursery: trio.Nursery,
    planned: str,
) -> None:
    """Beside a Janus that reclaims nothing, under 300 events a second and commands without a pause."""
    with make_bed(janus.url) as bed:
        first, second = bed.bridges
        await ready(second)
        handle, ticking = await attach(first), await attach(first)
        caller = BusyCaller([first, second], handle)
        await answered(first, says(ticking, **RATE, n=450))
        async with trio.open_nursery() as callers:
            callers.start_soon(caller.run)
            await listener.until(lambda: len(listener.numbers(ticking)) > 100)
            if planned == "drained":
                await first.ami("janus_cluster_drain")
            else:
                assert await trio.to_thread.run_sync(first.stop) == 0
            await listener.until(lambda: len(listener.numbers(ticking)) == 450)
            caller.over = True
        assert listener.numbers(ticking) == list(range(450))
        assert set(caller.outcomes) == {"answered"}
        assert await lives(second, handle)
        assert not listener.told("session_lost")
        assert not listener.told("events_lost")


@LONG
@pytest.mark.parametrize("database", ["sqlite", "mariadb"])
async def test_both_restarted_one_after_the_other(
    tmp_path: Path, janus: Janus, mariadb: MariaDb, events: Receiver, listener: Listener, database: str
) -> None:
    """An upgrade of a pair, on one machine with SQLite or not, beside a Janus that reclaims nothing."""
    rows = {"gw1": janus.url}
    url = mariadb_table(mariadb, rows) if database == "mariadb" else sqlite_table(tmp_path / "opensips.db", rows)
    with ClusterBed(tmp_path, url, 2, events) as bed:
        first, second, handle = await handle_at_the_first(bed)
        for bridge, other in ((first, second), (second, first)):
            assert await trio.to_thread.run_sync(bridge.stop) == 0
            assert await lives(other, handle)
            bridge.start()
            await ready(bridge)
            assert await lives(bridge, handle)
        assert not listener.told("session_lost")


@LONG
@pytest.mark.parametrize("back", ["database", "peer"])
async def test_cut_off_from_all_it_stops_where_that_is_wanted(
    tmp_path: Path, own_mariadb: MariaDb, janus: Janus, events: Receiver, back: str
) -> None:
    """``db_outage = "stop"``: commands are held, and go on when the database or the peer is back."""
    url = mariadb_table(own_mariadb, {"gw1": janus.url})
    with ClusterBed(tmp_path, url, 2, events, {**QUICK, "cluster.db_outage": "stop"}) as bed, running(own_mariadb):
        first, second, handle = await handle_at_the_first(bed)
        await until(first, "janus_cluster_list", lambda listed: len(listed["Nodes"]) == 2)  # else it counts as alone
        own_mariadb.kill()
        second.kill()
        await until(first, "janus_cluster_list", lambda listed: not listed["serves"])
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await first.send("gw1", says(handle, n=1), int(HANG_SECONDS * 1000)))

        async with trio.open_nursery() as caller:
            caller.start_soon(ask)
            await until(first, "janus_list", lambda listed: listed["Gateways"][0]["in_flight"])
            assert not (await first.ami("janus_cluster_list"))["serves"]
            assert not answers
            await trio.to_thread.run_sync(own_mariadb.start if back == "database" else second.start)
        assert answers[0]["plugindata"]["data"]["echo"]["n"] == 1
        await until(first, "janus_cluster_list", lambda listed: listed["serves"] and listed["valid_ms"] > 0)


@contextmanager
def running(mariadb: MariaDb) -> Iterator[None]:
    """So it is again behind the block, whatever happened in it."""
    try:
        yield
    finally:
        if not mariadb.running:
            mariadb.start()


async def until(bridge: Bridge, method: str, there: Callable[[dict[str, Any]], object]) -> None:
    """Ask this method until what it says is so."""
    with trio.fail_after(HANG_SECONDS):
        while not there(await bridge.ami(method)):  # noqa: ASYNC110 - a process has no event
            await trio.sleep(0.05)
