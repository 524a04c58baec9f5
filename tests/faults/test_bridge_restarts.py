"""The bridge ends and starts again under a systemd that keeps its sockets, beside a Janus that reclaims nothing."""

import json
import resource
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.e2e.conftest import BridgeFactory
from tests.faults.programs import PING, attach, limited, message, normal, saved, until_logged
from tests.support import mi_client
from tests.support.bridge import Bridge
from tests.support.fake_systemd import FakeSystemd
from tests.support.janus import GEN, Janus
from tests.support.receivers import Receiver

SIZE = 300  # bytes of an event, and some more around it
READ = 65_536  # bytes: what the bridge may have taken and not handed on when it is killed
BACKLOG = 2 * READ


async def lives(bridge: Bridge, handle: str, janus_id: str = "gw1") -> bool:
    answer = await bridge.send(janus_id, message(handle, {"n": 1}))
    return bool(answer["janus"] == "success")


async def status(events: Receiver) -> dict[str, Any]:
    """The next E_JANUS_STATUS."""
    while True:
        said = json.loads(await events.receive())
        if said["method"] == "E_JANUS_STATUS":
            return {**said["params"], "detail": json.loads(said["params"]["detail"])}


def told(events: Receiver) -> dict[str, Any]:
    return {
        "events.subscribers": [{"event": name, "socket": events.name} for name in ("E_JANUS_STATUS", "E_JANUS_EVENT")]
    }


async def test_restarted(
    bridge_factory: BridgeFactory, janus: Janus, events: Receiver, systemd: FakeSystemd, within: float
) -> None:
    """Callers may wait; and a program that knows nothing of it, in between, is no harm: a downgrade."""
    bridge = bridge_factory({"gw1": janus.url}, systemd=systemd, **told(events), **{"mi.hold_listeners": True})
    await normal(bridge)
    handle = await attach(bridge)
    assert (await status(events))["status"] == "connected"
    url = bridge.mi_url
    assert bridge.stop() == 0
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await mi_client.acall(url, "janus_send_request", ["gw1", json.dumps(PING)]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()  # it has connected, and waits
        bridge.start()
    assert answers[0]["janus"] == "pong"
    assert bridge.mi_url == url
    await normal(bridge, within)
    assert await lives(bridge, handle)
    assert [(await status(events))["status"] for _ in range(2)] == ["disconnected", "connected"]
    bridge.kill()
    bridge.without_systemd(**{"mi.hold_listeners": False}).start()
    await normal(bridge)
    assert await lives(bridge, handle)


async def test_killed(
    bridge_factory: BridgeFactory, janus: Janus, events: Receiver, systemd: FakeSystemd, within: float
) -> None:
    """In the middle of a backlog, where every read ends within a message."""
    bridge = bridge_factory({"gw1": janus.url}, systemd=systemd, **told(events))
    await normal(bridge)
    handle = await attach(bridge)
    await saved(bridge)
    await bridge.send("gw1", message(handle, {"do": "tick", "ms": 5, "k": 16, "n": 4000, "size": SIZE}))
    bridge.process.freeze()
    while systemd.unread < BACKLOG:  # noqa: ASYNC110 - the kernel tells nobody
        await trio.sleep(0.01)
    bridge.process.thaw()
    while systemd.unread > BACKLOG // 2:
        await trio.lowlevel.checkpoint()
    bridge.kill()
    bridge.start()
    await normal(bridge, within)
    assert await lives(bridge, handle)
    numbers: list[int] = []
    statuses: list[str] = []
    while not numbers or numbers[-1] < 3999:
        said = json.loads(await events.receive())["params"]
        if "status" in said:
            statuses.append(said["status"])
        else:
            data = json.loads(said["janus_body"])["plugindata"]["data"]
            numbers += [data["i"]] if "i" in data else []
    assert set(statuses) <= {"connected"}
    assert numbers == sorted(set(numbers))  # none twice, none out of order
    assert 4000 - len(numbers) <= READ // SIZE


async def test_stopped_and_started(
    bridge_factory: BridgeFactory, janus: Janus, events: Receiver, systemd: FakeSystemd
) -> None:
    """systemd closes what it kept when the unit is stopped: the sessions end, and the next start says so."""
    bridge = bridge_factory({"gw1": janus.url}, systemd=systemd, **told(events))
    await normal(bridge)
    handle = await attach(bridge)
    assert (await status(events))["status"] == "connected"
    bridge.stop()
    systemd.lose()
    said = await status(events)
    assert (said["status"], said["reason"]) == ("disconnected", "the bridge is stopping")
    bridge.start()
    said = await status(events)
    assert said["status"] == "session_lost"
    assert said["detail"]["handles"] == [{"handle_id": handle, "plugin": GEN}]


async def test_store_too_small(bridge_factory: BridgeFactory, janus: Janus, events: Receiver, tmp_path: Path) -> None:
    with FakeSystemd(tmp_path, room=1) as systemd:
        bridge = bridge_factory({"gw1": janus.url, "gw2": janus.url}, systemd=systemd, **told(events))
        await until_logged(bridge, "systemd keeps 1 of 2 sockets over a restart of the bridge")
        await normal(bridge)
        await normal(bridge, janus_id="gw2")
        kept = systemd.names
        handles = {janus_id: await attach(bridge, janus_id) for janus_id in ("gw1", "gw2")}
        await saved(bridge)
        bridge.kill()
        bridge.start()
        await normal(bridge)
        await normal(bridge, janus_id="gw2")
        assert len(kept) == 1
        assert sorted([await lives(bridge, handle, janus_id) for janus_id, handle in handles.items()]) == [False, True]


async def test_replaced_in_place(bridge_factory: BridgeFactory, janus: Janus, events: Receiver, within: float) -> None:
    """SIGUSR2, without a systemd, as in a container: the process stays, and so do calls. Few descriptors are no reason
    to fail, as long as it may ask for more.
    """
    bridge = bridge_factory({"gw1": janus.url}, **told(events))
    await normal(bridge)
    handle = await attach(bridge)
    pid = bridge.process.pid
    for _ in range(2):
        with limited(bridge, resource.RLIMIT_NOFILE, 3):
            bridge.replace()
        await normal(bridge, within)
        assert await lives(bridge, handle)
        assert bridge.process.pid == pid
        assert bridge.process.exit_code is None
    assert "session_lost" not in [(await status(events))["status"] for _ in range(5)]


async def test_replaced_under_systemd(
    bridge_factory: BridgeFactory, janus: Janus, systemd: FakeSystemd, tmp_path: Path
) -> None:
    """As a reload, not as an end; with a configuration that is no good, or an address that is another's, not at all."""
    config = tmp_path / "bridge.toml"
    refused = "SIGUSR2: the new program would not start, this one goes on: janus-bridge: "
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        port = other.getsockname()[1]
        mine = f'[mi]\ndatagram = ["udp:127.0.0.1:{port}", "unix:{tmp_path}/mi.sock"]\nfifo = "{tmp_path}/fifo"\n'
        config.write_text(mine)
        bridge = bridge_factory({"gw1": janus.url}, systemd=systemd, arguments=["-c", str(config)])
        await normal(bridge)
        handle = await attach(bridge)
        more = mine.replace("datagram = [", f'datagram = ["udp:127.0.0.2:{port}", ')
        config.write_text(more)
        bridge.process.signal(signal.SIGUSR2)
        await until_logged(bridge, f"{refused}[mi] datagram udp:127.0.0.2:{port}: Address already in use by ")
        config.write_text("[mi]\ntoken = 7\n")
        bridge.process.signal(signal.SIGUSR2)
        await until_logged(bridge, f"{refused}{config}: ")
    assert await lives(bridge, handle)
    config.write_text(more)  # what the bridge has itself is no obstacle
    bridge.replace()
    await normal(bridge)
    assert await lives(bridge, handle)
    said: list[str] = []
    while "RELOADING=1" not in said or said[-1] != "READY=1":  # a STATUS may come in between
        said.append(systemd.hears()[0])
    assert "STOPPING=1" not in said
    assert len(systemd.names) == 1


async def test_an_end_while_it_replaces_itself_is_one(bridge_factory: BridgeFactory, janus: Janus) -> None:
    """Whenever it comes: the program that it becomes obeys. As the first process of a container it would go on."""
    bridge = bridge_factory({"gw1": janus.url})
    await normal(bridge)
    bridge.process.signal(signal.SIGUSR2)
    await until_logged(bridge, "SIGUSR2: the program replaces itself")
    assert bridge.process.stop(bridge.stop_seconds) == 0
    assert bridge.logged("SIGTERM: stopping")


OLDER = "1b9a527^"  # knows nothing of sockets that are kept


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The program of then, run by the environment of now."""
    folder = tmp_path / "older"
    folder.mkdir()
    command = ["git", "-C", str(Path(__file__).parents[2]), "archive", OLDER]
    archive = subprocess.run(command, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("this checkout has no history")
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder


async def test_an_older_program_in_between(
    bridge_factory: BridgeFactory, janus: Janus, systemd: FakeSystemd, older: Path
) -> None:
    """A downgrade and an upgrade: it claims the sessions on a connection of its own, and leaves the store as it is."""
    bridge = bridge_factory({"gw1": janus.url}, systemd=systemd)
    await normal(bridge)
    handle = await attach(bridge)
    bridge.stop()
    kept = systemd.names
    bridge.environ = {**systemd.environ, "PYTHONPATH": str(older)}
    bridge.start()
    await normal(bridge)
    assert await lives(bridge, handle)
    assert systemd.names == kept
    bridge.kill()
    bridge.environ = systemd.environ
    bridge.start()
    await normal(bridge)
    assert len(systemd.names) == 1
