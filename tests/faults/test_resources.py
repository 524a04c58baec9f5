"""What the bridge may run out of."""

import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from tests.e2e.conftest import BridgeFactory
from tests.faults.programs import PING, attach, limited, message, normal, over_udp, statistic, until_logged
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.janus import Janus
from tests.support.mi_client import MiError
from tests.support.ports import free_port
from tests.support.receivers import Receiver, unix_receiver

Factory = Callable[..., Janus]


async def test_descriptors(bridge_factory: BridgeFactory, janus_factory: Factory, within: float) -> None:
    """None at all is left: who has a connection or sends datagrams is served, who wants a connection waits."""
    janus = janus_factory()
    address = ("127.0.0.1", free_port())
    bridge = bridge_factory({"gw1": janus.url}, **{"mi.datagram": [f"udp:{address[0]}:{address[1]}"]})
    await normal(bridge)
    answers: list[str] = []
    async with trio.open_nursery() as nursery:
        with limited(bridge, resource.RLIMIT_NOFILE, 3):

            async def ask() -> None:
                answers.append(await bridge.ami("janus_reconnect", ["gw1"]))

            nursery.start_soon(ask)
            await until_logged(bridge, "Too many open files")
            assert (await over_udp(address, "janus_send_request", ["gw1", PING]))["janus"] == "pong"
            with pytest.raises(MiError, match="Janus table not loaded"):
                await over_udp(address, "janus_reload")
            assert answers == []
            janus.restart()
            with in_time(5):
                while "too many open files" not in str(await over_udp(address, "janus_list")):  # noqa: ASYNC110 - over MI
                    await trio.sleep(0.01)
            with pytest.raises(MiError) as refused:
                await over_udp(address, "janus_send_request", ["gw1", PING])
            assert refused.value.code == 503
        await normal(bridge, within)
        await bridge.ami("janus_reload")
    assert answers == ["OK"]


async def test_disk_full_for_the_table(bridge_factory: BridgeFactory, janus: Janus, tmp_path: Path) -> None:
    """Writing stops in the middle: what the next start would use is still the last whole table."""
    bridge = bridge_factory({"gw1": janus.url})
    await normal(bridge)
    saved = Path(bridge.options["state.dir"]) / "table.json"
    before = saved.read_bytes()
    file = str(bridge.options["janus.janus_db_url"]).removeprefix("sqlite://")
    with closing(sqlite3.connect(file)) as database, database:
        rows = [("gw2", janus.url), *((f"disabled{n}", "x" * 4_000) for n in range(10))]
        database.executemany("INSERT INTO janus (janus_id, janus_url) VALUES (?, ?)", rows)
    with limited(bridge, resource.RLIMIT_FSIZE, 30_000):
        assert "gw2" in (await bridge.ami("janus_reload"))["added"]
        assert bridge.logged("cannot save the table for a start without the database")
        assert saved.read_bytes() == before
        assert (await bridge.send("gw1", PING))["janus"] == "pong"
    await bridge.ami("janus_reload")
    assert b"gw2" in saved.read_bytes()
    assert not list(saved.parent.glob(".table.json.*"))


async def test_disk_full_for_the_sessions(bridge_factory: BridgeFactory, janus_factory: Factory) -> None:
    """What could not be written is written with what comes next, so the next process claims all of it."""
    url = f"{janus_factory(reclaim_session_timeout=30).url}?{'x' * 1000}"  # stands in each line of the journal
    bridge = bridge_factory({"gw1": url})
    await normal(bridge)

    async def create() -> str:
        return str((await bridge.send("gw1", {"janus": "create"}))["data"]["id"])

    with limited(bridge, resource.RLIMIT_FSIZE, 30_000):  # the log has room
        sessions = [await create() for _ in range(40)]
        await until_logged(bridge, "sessions.jsonl cannot be written: File too large")
    sessions.append(await create())
    await until_logged(bridge, "sessions.jsonl can be written again")
    with in_time(HANG_SECONDS):
        while sessions[-1] not in (Path(bridge.options["state.dir"]) / "sessions.jsonl").read_text():  # noqa: ASYNC110
            await trio.sleep(0.01)
    bridge.kill()
    bridge.start()
    await normal(bridge)
    for session in sessions:
        assert (await bridge.send("gw1", {"janus": "keepalive", "session_id": session}))["janus"] == "ack"


async def test_socket_of_a_subscriber_is_full(
    bridge_factory: BridgeFactory, janus: Janus, events: Receiver, tmp_path: Path
) -> None:
    """It does not read: the others get theirs, commands are answered, and once it reads it gets everything."""
    burst = 5000
    with unix_receiver(tmp_path / "full") as full:
        subscribers = [{"event": "E_JANUS_EVENT", "socket": socket.name} for socket in (full, events)]
        bridge = bridge_factory({"gw1": janus.url}, **{"events.subscribers": subscribers})
        await normal(bridge)
        handle = await attach(bridge)
        said = message(handle, {"do": "burst", "n": burst, "size": 10})
        await bridge.send("gw1", said, int(HANG_SECONDS * 1000))  # Janus answers behind all of them
        with trio.fail_after(HANG_SECONDS):
            others = [await events.receive() for _ in range(burst)]
        assert await statistic(bridge, "queue_events") > burst / 2
        assert (await bridge.send("gw1", message(handle, {"n": 1})))["janus"] == "success"
        with trio.fail_after(HANG_SECONDS):
            assert [await full.receive() for _ in range(burst)] == others
        assert await statistic(bridge, "event_drops") == 0
