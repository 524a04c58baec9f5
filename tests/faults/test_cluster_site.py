"""What operators do to a cluster, and what its machines and Janus servers are like; real servers, real processes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.faults.test_cluster import running
from tests.faults.test_kept_events import index_of, on_disk
from tests.support.bridge import Bridge, BridgeFailed
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
from tests.support.certs import Certificates
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.fake_janus import open_fake_janus
from tests.support.janus import Janus
from tests.support.mariadb import MariaDb
from tests.support.opensips_mi import OpenSipsMi
from tests.support.ports import free_port
from tests.support.receivers import Receiver
from tests.support.tables import mariadb_table

pytestmark = pytest.mark.galera  # whoever has time for one has time for these
QUICK = {"cluster.ping_interval": 0.5, "cluster.node_timeout": 4}
AHEAD = """\
import time

def ahead(clock, by):
    return lambda *clocks: clock(*clocks) + by

time.time, time.time_ns = ahead(time.time, 600), ahead(time.time_ns, 600 * 10**9)
time.clock_gettime = ahead(time.clock_gettime, 600)
"""


async def test_clocks_that_are_ten_minutes_apart(
    tmp_path: Path, mariadb: MariaDb, janus_factory: Callable[..., Janus], events: Receiver, listener: Listener
) -> None:
    """Those of the wall and those since boot: nobody is taken over for it, and whoever dies is, in its time."""
    janus = janus_factory(reclaim_session_timeout=20)
    bed = ClusterBed(tmp_path, mariadb_table(mariadb, {"gw1": janus.url}), 2, events, QUICK)
    (tmp_path / "sitecustomize.py").write_text(AHEAD)
    bed.bridges[0].environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with bed:
        first, second, handle = await handle_at_the_first(bed)
        assert await lives(second, handle)
        await written(first, mariadb)
        epochs = {node["node_id"]: int(node["epoch"]) for node in (await first.ami("janus_cluster_list"))["Nodes"]}
        assert epochs[1] > 1000 * (os.stat(tmp_path).st_mtime + 500)  # its clock is ahead indeed
        assert epochs[2] > epochs[1]  # though its own clock is behind
        first.kill()
        await caught_up(second, handle, HANG_SECONDS)
        first.start()
        await ready(first)
        await second.ami("janus_cluster_drain")
        assert await lives(first, handle)
        await listener.until(lambda: len(listener.told("taken_over")) == 2)
        assert [told["detail"] for told in listener.told("taken_over")] == [
            {"node": 1, "sessions": 1},
            {"node": 2, "sessions": 2},
        ]
        (lost,) = listener.told("events_lost")
        assert 3 < lost["detail"]["seconds"] < 300


async def test_a_second_process_changes_nothing(
    tmp_path: Path, mariadb: MariaDb, janus: Janus, events: Receiver, listener: Listener
) -> None:
    """On the same state folder, under whatever node_id, and under the same node_id elsewhere."""
    with ClusterBed(tmp_path, mariadb_table(mariadb, {"gw1": janus.url}), 2, events) as bed:
        first, second, handle = await handle_at_the_first(bed)
        port, folder = free_port(), tmp_path / "twin"
        folder.mkdir()
        elsewhere = {"mi.http": [f"127.0.0.1:{port}"], "cluster.my_node_url": f"http://127.0.0.1:{port}/mi"}
        for more, said in (
            ({"cluster.my_node_id": 3, **elsewhere}, "another janus-bridge is running with it"),
            ({"state.dir": str(folder), **elsewhere}, "node 1 of cluster 1 is another running bridge"),
        ):
            with pytest.raises(BridgeFailed, match=said):
                Bridge(folder, {**first.options, **more}).start()
        assert await lives(first, handle)
        assert await lives(second, handle)
        assert not listener.told("taken_over")
        assert [node["node_id"] for node in (await first.ami("janus_cluster_list"))["Nodes"]] == [1, 2]


async def test_rows_of_running_bridges_are_deleted(
    tmp_path: Path, mariadb: MariaDb, janus: Janus, events: Receiver, listener: Listener
) -> None:
    patient = {"cluster.ping_interval": 3, "cluster.node_timeout": 30}
    with ClusterBed(tmp_path, mariadb_table(mariadb, {"gw1": janus.url}), 2, events, patient) as bed:
        first, second, handle = await handle_at_the_first(bed)
        database = str(first.options["janus.janus_db_url"]).rpartition("/")[2]
        before = mariadb.execute("SELECT node_id, epoch FROM janus_node ORDER BY node_id", database=database)
        caller = BusyCaller([second], handle)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.run)
            mariadb.execute("DELETE FROM janus_node", database=database)
            for bridge in bed.bridges:
                assert await trio.to_thread.run_sync(bridge.logged, "somebody deleted the row of this bridge")
            caller.over = True
        assert set(caller.outcomes) == {"answered"}
        assert mariadb.execute("SELECT node_id, epoch FROM janus_node ORDER BY node_id", database=database) == before
        assert await lives(first, handle)
        assert not listener.told("taken_over")


@pytest.mark.parametrize("wakes", ["soon", "taken over"])
async def test_a_peer_hangs_with_a_claim_under_way(
    tmp_path: Path, mariadb: MariaDb, events: Receiver, nursery: trio.Nursery, within: float, wakes: str
) -> None:
    """Commands go on soon, and in the end exactly one has the session, whenever the peer goes on."""
    async with open_fake_janus() as fake:
        options = QUICK if wakes == "taken over" else {}
        with ClusterBed(tmp_path, mariadb_table(mariadb, {"gw1": fake.url}), 2, events, options) as bed:
            first, second = bed.bridges
            await ready(second)
            made = await answered(first, {"janus": "attach", "plugin": "janus.plugin.fake"})
            session_id = int(made["session_id"])
            asked = {"janus": "message", "handle_id": made["data"]["id"], "body": {}}
            await written(first, mariadb)
            held = fake.hold("claim")
            nursery.start_soon(first.ami, "janus_cluster_drain")
            await fake.wait_until(lambda: bool(held))
            second.process.freeze()
            del fake.script["claim"]
            with in_time(within):
                assert (await first.send("gw1", asked, 10_000))["janus"] == "success"
            owner = second
            if wakes == "taken over":
                assert await heir_of(second, mariadb) == 1
                owner = first
            for peer in fake.peers:
                await peer.send(*fake.answer(held[0]))
            second.process.thaw()
            for bridge in (first, second):
                assert (await answered(bridge, asked))["janus"] == "success"
            assert {"destroy"}.isdisjoint(message["janus"] for message in fake.received)
            database = str(first.options["janus.janus_db_url"]).rpartition("/")[2]
            rows = mariadb.execute(
                f"SELECT node_id FROM janus_session WHERE session_id = {session_id}", database=database
            )
            assert [node for (node,) in rows] == [owner.options["cluster.my_node_id"]]
        nursery.cancel_scope.cancel()


async def test_a_peer_dies_before_it_wrote_what_it_was_given(
    tmp_path: Path,
    own_mariadb: MariaDb,
    janus_factory: Callable[..., Janus],
    events: Receiver,
    listener: Listener,
) -> None:
    """The database was away meanwhile: the one that gave it has it again, as the table says."""
    janus = janus_factory(reclaim_session_timeout=120)
    url = mariadb_table(own_mariadb, {"gw1": janus.url})
    with ClusterBed(tmp_path, url, 2, events, QUICK) as bed, running(own_mariadb):
        first, second, handle = await handle_at_the_first(bed)
        assert await lives(second, handle)
        for bridge in bed.bridges:
            await written(bridge, own_mariadb)
        own_mariadb.kill()
        assert (await first.ami("janus_cluster_drain"))["kept"] == []
        assert await lives(first, handle)  # one hop
        second.kill()
        await trio.to_thread.run_sync(own_mariadb.start)
        await caught_up(first, handle, HANG_SECONDS)
        assert not listener.told("session_lost")


async def test_gateways_with_tls(
    tmp_path: Path,
    mariadb: MariaDb,
    janus_factory: Callable[..., Janus],
    certificates: Certificates,
    events: Receiver,
    listener: Listener,
) -> None:
    janus = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key, reclaim_session_timeout=20)
    options = {"janus.gateways": {"gw1": {"tls_ca": str(certificates.ca)}}}
    with ClusterBed(tmp_path, mariadb_table(mariadb, {"gw1": janus.url}), 2, events, options) as bed:
        first, second = bed.bridges
        await ready(second)
        handle, ticking = await attach(first), await attach(first)
        caller = BusyCaller([first, second], handle)
        await answered(first, says(ticking, do="tick", ms=10, k=3, n=450))
        async with trio.open_nursery() as callers:
            callers.start_soon(caller.run)
            await listener.until(lambda: len(listener.numbers(ticking)) > 100)
            await first.ami("janus_cluster_drain")
            await listener.until(lambda: len(listener.numbers(ticking)) == 450)
            caller.over = True
        assert listener.numbers(ticking) == list(range(450))
        assert set(caller.outcomes) == {"answered"}
        assert await trio.to_thread.run_sync(first.stop) == 0
        first.start()
        await ready(first)
        await written(second, mariadb)
        second.kill()
        await released(second)
        await caught_up(first, handle, HANG_SECONDS)
        assert not listener.told("session_lost")


@pytest.mark.parametrize("how", ["handed over", "taken over"])
async def test_events_that_are_owed_come_from_the_bridge_that_heard_them(
    tmp_path: Path, mariadb: MariaDb, janus_factory: Callable[..., Janus], events: Receiver, how: str
) -> None:
    """Though their session has moved: once, and none is lost, with a log on disk."""
    janus, opensips = janus_factory(reclaim_session_timeout=20), OpenSipsMi()
    async with trio.open_nursery() as nursery:
        await nursery.start(opensips.run)
        subscribers = [{"event": "E_JANUS_EVENT", "socket": opensips.name}]
        options = {"events.store": True, "events.subscribers": subscribers}
        with ClusterBed(tmp_path, mariadb_table(mariadb, {"gw1": janus.url}), 2, events, options) as bed:
            first, second, handle = await handle_at_the_first(bed)
            opensips.close()
            for bridge, other in ((first, second), (second, first)):
                await answered(bridge, says(handle, do="burst", n=100, size=10))
                await written(bridge, mariadb)
                with trio.fail_after(HANG_SECONDS):
                    while len(on_disk(bridge)) < 100:  # noqa: ASYNC110 - a file has no event
                        await trio.sleep(0.01)
                if bridge is second:
                    break
                if how == "handed over":
                    await bridge.ami("janus_cluster_drain")
                    assert await trio.to_thread.run_sync(bridge.stop) == 0
                else:
                    bridge.kill()
                    await released(bridge)
                await caught_up(other, handle, HANG_SECONDS)
            first.start()
            await ready(first)
            nursery.start_soon(opensips.run)
            numbers: dict[str, int] = {}
            with trio.fail_after(HANG_SECONDS):
                while True:
                    for item in opensips.raised:
                        index = index_of(item.get("janus_body", "{}"))
                        if index is not None:
                            numbers.setdefault(item["janus_seq"], index)
                    if len(numbers) == 200:
                        break
                    await opensips.changed.wait()
            assert sorted(numbers.values()) == sorted([*range(100), *range(100)])
            assert len({seq.partition("-")[0] for seq in numbers}) == 2
            for bridge in bed.bridges:
                assert (await bridge.ami("get_statistics", [["event_drops"]])) == {"janus:event_drops": 0}
        nursery.cancel_scope.cancel()
