"""Bridges of a cluster on a real Galera of three nodes, which die and hang: callers notice nothing, and nobody decides
anything without a database.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.bridge_cluster import (
    BusyCaller,
    ClusterBed,
    Listener,
    answered,
    attach,
    caught_up,
    handle_at_the_first,
    lives,
    ready,
    released,
    says,
    written,
)
from tests.support.galera import Galera
from tests.support.janus import Janus
from tests.support.mi_client import MiError
from tests.support.receivers import Receiver
from tests.support.tables import mariadb_table

TIMEOUT = 4.0  # s; longer than the commits of this Galera stand still when a node is lost
QUICK: dict[str, Any] = {"cluster.ping_interval": 0.5, "cluster.node_timeout": TIMEOUT}
JanusFactory = Callable[..., Janus]


@pytest.fixture
def bed(
    tmp_path: Path, galera: Galera, janus_factory: JanusFactory, events: Receiver, bridges: int
) -> Iterator[ClusterBed]:
    """Bridges, each beside a node of its own."""
    url = mariadb_table(galera, {"gw1": janus_factory(reclaim_session_timeout=20).url})
    each = [{"janus.janus_db_url": galera.beginning_with(number, url)} for number in range(bridges)]
    with ClusterBed(tmp_path, url, bridges, events, QUICK, each=each) as made:
        yield made


@pytest.fixture
def bridges() -> int:
    return 2


@asynccontextmanager
async def nobody_notices(bed: ClusterBed, listener: Listener) -> AsyncIterator[None]:
    """Show that within the block every command is answered and every event comes, at each bridge; and that everybody
    still has what it had.
    """
    for bridge in bed.bridges:
        await ready(bridge)
    handles = [await attach(bridge) for bridge in bed.bridges]
    callers = [BusyCaller([bridge], handle) for bridge, handle in zip(bed.bridges, handles, strict=True)]
    for bridge, handle in zip(bed.bridges, handles, strict=True):
        await answered(bridge, says(handle, do="tick", ms=20, k=1, n=1_000_000))
    async with trio.open_nursery() as nursery:
        for caller in callers:
            nursery.start_soon(caller.run, 0.02)
        yield
        for caller in callers:
            caller.over = True
    for caller, handle in zip(callers, handles, strict=True):
        assert set(caller.outcomes) == {"answered"}, caller.outcomes
        numbers = listener.numbers(handle)
        assert numbers == list(range(len(numbers)))
    assert not listener.told("taken_over")
    assert not listener.told("session_lost")


async def test_without_quorum(bed: ClusterBed, galera: Galera, listener: Listener) -> None:
    async with nobody_notices(bed, listener):
        for node in galera.nodes[1:]:
            node.freeze()
        await trio.sleep(3 * TIMEOUT)
        await trio.to_thread.run_sync(galera.heal)
        await trio.sleep(TIMEOUT)


async def test_own_database_host_dies(bed: ClusterBed, galera: Galera, listener: Listener) -> None:
    async with nobody_notices(bed, listener):
        galera.nodes[0].kill()
        await trio.sleep(3 * TIMEOUT)


async def test_own_database_host_dies_and_no_quorum_is_left(
    bed: ClusterBed, galera: Galera, listener: Listener
) -> None:
    async with nobody_notices(bed, listener):
        galera.nodes[0].kill()
        galera.nodes[1].freeze()
        await trio.sleep(3 * TIMEOUT)
        await trio.to_thread.run_sync(galera.heal)
        await trio.sleep(TIMEOUT)


async def test_a_machine_dies_with_its_bridge_and_its_database(
    bed: ClusterBed, galera: Galera, listener: Listener, within: float
) -> None:
    first, second, handle = await handle_at_the_first(bed)
    await written(first, galera)
    galera.nodes[0].kill()
    first.kill()
    await caught_up(second, handle, within)
    assert len(listener.told("taken_over")) == 1


async def test_a_bridge_dies_while_the_database_is_away(
    bed: ClusterBed, galera: Galera, listener: Listener, within: float
) -> None:
    """Nothing is decided without it: the handle waits for the database, and then is taken over."""
    first, second, handle = await handle_at_the_first(bed)
    await written(first, galera)
    for node in galera.nodes[1:]:
        node.freeze()
    await trio.sleep(2 * TIMEOUT)
    first.kill()
    await trio.sleep(2 * TIMEOUT)
    with pytest.raises(MiError) as pending:
        await second.send("gw1", says(handle, n=1))
    assert pending.value.code == 503
    assert not listener.told("taken_over")
    await trio.to_thread.run_sync(galera.heal)
    await caught_up(second, handle, within)


@pytest.mark.parametrize("bridges", [3])
async def test_one_of_many_wins_whatever_node_they_write_to(
    bed: ClusterBed, galera: Galera, listener: Listener, within: float
) -> None:
    """Again and again: who was beaten last is the next to die."""
    for bridge in bed.bridges:
        await ready(bridge)
    for round_ in range(6):
        victim = bed.bridges[round_ % 3]
        others = [bridge for bridge in bed.bridges if bridge is not victim]
        handle = await attach(victim)
        await written(victim, galera)
        victim.kill()
        await released(victim)
        for other in others:
            await caught_up(other, handle, within)
        assert len(listener.told("taken_over")) == round_ + 1
        victim.start()
        await ready(victim)
        assert await lives(victim, handle)
