"""A bridge begins its life in a cluster: with its tables, alone under its number, and without the database."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.core import cluster_sessions, event_log_writer, join, link, registry
from bridge.daemon import cluster, listeners, service
from bridge.transport import session_journal, systemd
from bridge.transport.http_ends import HttpLimits
from tests.support.bridge import Bridge, BridgeFailed
from tests.support.bridge_cluster import ClusterBed, command, ready
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_systemd import FakeSystemd
from tests.support.janus import Janus
from tests.support.janus_client import JanusClient
from tests.support.ports import free_port
from tests.support.receivers import udp_receiver
from tests.support.tables import sqlite_table

pytestmark = pytest.mark.program


def alone(folder: Path, db_url: str, *, store: FakeSystemd | None = None, **options: Any) -> Bridge:
    """A bridge of a cluster, node 1."""
    settings = {"cluster_id": 1, "my_node_id": 1, "my_node_url": "http://127.0.0.1:1/mi", "ping_interval": 0.2}
    made = {f"cluster.{name}": value for name, value in settings.items()}
    return Bridge(folder, {"janus.janus_db_url": db_url, **made, **options}, systemd=store)


def test_without_its_tables_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(BridgeFailed) as failed:
        alone(tmp_path, sqlite_table(tmp_path / "site.db", {})).start()
    assert "ended with code 2" in str(failed.value)
    assert "(janus-bridge db init makes the tables of the cluster)" in str(failed.value)


async def test_rows_that_were_edited_by_hand_are_named_and_harm_nobody_else(tmp_path: Path) -> None:
    """But whose they are: it does not start."""
    url = sqlite_table(tmp_path / "site.db", {})
    with udp_receiver() as events, ClusterBed(tmp_path, url, 1, events) as bed:
        [bridge] = bed.bridges
        faults = ["a row of node 2 has the epoch 'x'", "a row of node 3 has the beat 'z'"]
        with closing(sqlite3.connect(tmp_path / "site.db")) as db:
            db.execute("INSERT INTO janus_node VALUES (1, 2, 'http://h/mi', 1, 'x', 1), (1, 3, '', 'y', 5, 'z')")
            db.commit()
            with trio.fail_after(HANG_SECONDS):
                while not all(fault in bridge.log for fault in faults):  # noqa: ASYNC110 - a process has no event
                    await trio.sleep(0.01)
            assert [node["node_id"] for node in (await bridge.ami("janus_cluster_list"))["Nodes"]] == [1]
            bridge.kill()
            db.execute("UPDATE janus_node SET beat = 'z' WHERE node_id = 1")
            db.commit()
        with pytest.raises(BridgeFailed) as failed:
            bridge.start()
        assert "ended with code 2" in str(failed.value)
        assert "janus_node: a row of node 1 has the beat 'z'" in str(failed.value)
        assert "Traceback" not in str(failed.value)


def test_a_second_process_under_a_number_that_beats_is_refused(tmp_path: Path) -> None:
    url = sqlite_table(tmp_path / "site.db", {})
    with udp_receiver() as events, ClusterBed(tmp_path, url, 1, events, {"cluster.ping_interval": 0.2}):
        (tmp_path / "copy").mkdir()
        with pytest.raises(BridgeFailed) as failed:
            alone(tmp_path / "copy", url).start()
        assert "ended with code 2" in str(failed.value)
        assert "node 1 of cluster 1 is another running bridge" in str(failed.value)


async def test_without_the_database_it_starts_and_serves(tmp_path: Path, janus: Janus) -> None:
    """``db_outage`` is "serve": sessions are made all the same."""
    url = sqlite_table(tmp_path / "site.db", {"gw1": janus.url})
    away = f"mysql://u:p@127.0.0.1:{free_port()}/site"
    with alone(tmp_path, url, store=None, **{"cluster.db_url": away}) as bridge:
        await ready(bridge)
        listed = await bridge.ami("janus_cluster_list")
        assert (listed["valid_ms"], listed["serves"]) == (0, True)
        assert listed["trouble"]


async def test_a_restart_goes_on_with_what_is_its_own(tmp_path: Path, janus_factory: Callable[..., Janus]) -> None:
    """Killed, and back before anybody took it over; its events have the epoch of the node's new life."""
    url = sqlite_table(tmp_path / "site.db", {"gw1": janus_factory(reclaim_session_timeout=20).url})
    with udp_receiver() as events, ClusterBed(tmp_path, url, 1, events) as bed:
        [bridge] = bed.bridges
        await ready(bridge)
        before = (await bridge.ami("janus_cluster_list"))["Nodes"][0]["epoch"]
        bridge.kill()
        bridge.start()
        await ready(bridge)
        [node] = (await bridge.ami("janus_cluster_list"))["Nodes"]
        assert int(node["epoch"]) > int(before)
        assert json.loads(await events.receive())["params"]["status"] == "connected"
        after: dict[str, dict[str, str]] = {}
        while not after.keys() >= {"connected", "events_lost"}:  # Janus may have spoken; whichever is told first
            one = json.loads(await events.receive())["params"]
            after[one["status"]] = one
        assert after.keys() <= {"connected", "events_lost", "taken_over"}  # the last: what its journal had not yet
        assert after["connected"]["janus_seq"].partition("-")[0] == node["epoch"]
        assert await trio.to_thread.run_sync(bridge.logged, "node 1 of cluster 1, epoch ")
        assert bridge.log.count("node 1 of cluster 1, epoch ") == 1  # a life a process


async def test_a_start_that_was_taken_over_leaves_its_sockets_to_the_heir(tmp_path: Path, janus: Janus) -> None:
    """Janus reclaims nothing: until the heir has claimed them, an end of what systemd kept would end the sessions."""
    file = tmp_path / "site.db"
    with FakeSystemd(tmp_path) as store:
        bridge = alone(tmp_path, sqlite_table(file, {"gw1": janus.url}), store=store)
        command(bridge, "db", "init")
        with bridge:
            await ready(bridge)
            bridge.kill()
            with sqlite3.connect(file) as heir:
                [(session,)] = heir.execute("SELECT session_id FROM janus_session").fetchall()
                heir.execute("UPDATE janus_node SET state = 3, epoch = epoch + 1")
                heir.execute("UPDATE janus_session SET node_id = 2")
            bridge.start()
            await ready(bridge)
            async with JanusClient.open(janus) as client:
                await client.claim(session)


def test_a_stop_in_which_everything_hangs_is_shorter_than_the_unit_waits() -> None:
    """Else systemd would kill it, and nothing of its end be told."""
    unit = (Path(__file__).parents[2] / "opensips-examples/systemd/janus-bridge.service").read_text()
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    links = registry.DRAIN + join.RETIRE + link.GOODBYE
    end = cluster.LEAVE + max(session_journal.LAST_WRITE, cluster_sessions.LAST_WRITE, event_log_writer.LAST_WRITE)
    whole = cluster.HAND_OVER + listeners.LAST_CALLS + HttpLimits().last + links + service.DRAIN + end + systemd.HEARD
    assert whole < int(seconds) - 5  # for a machine that is busy
