"""What happens to the process of the bridge itself."""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.conftest import BridgeFactory
from tests.faults.programs import attach, message, normal, saved, statistic, until_logged
from tests.support import mi_client
from tests.support.bridge import Bridge
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.http_peer import post, split_answers
from tests.support.janus import GEN, Janus
from tests.support.janus_client import JanusClient
from tests.support.mi_client import MiError
from tests.support.receivers import Receiver
from tests.support.tables import sqlite_table

Factory = Callable[..., Janus]
DAYS = 400 * 86_400.0


async def in_flight(bridge: Bridge, number: int) -> None:
    while await statistic(bridge, "in_flight") != number:  # noqa: ASYNC110 - it is asked over MI
        await trio.sleep(0.01)


async def test_bridge_killed(
    bridge_factory: BridgeFactory, janus_factory: Factory, events: Receiver, within: float
) -> None:
    """Its callers lose their connections; the next process claims, and what Janus still answers becomes an event."""
    janus = janus_factory(reclaim_session_timeout=30)
    bridge = bridge_factory({"gw1": janus.url})
    await normal(bridge)
    handle = await attach(bridge)
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises((OSError, trio.BrokenResourceError, IndexError)):
                await bridge.send("gw1", message(handle, {"do": "hold"}, transaction="call 7"))

        nursery.start_soon(ask)
        await in_flight(bridge, 1)
        await bridge.send("gw1", message(handle, {"n": 1}))  # behind it: Janus has it
        await saved(bridge)
        bridge.kill()
    bridge.start()
    await normal(bridge, within)
    assert (await bridge.send("gw1", message(handle, {"do": "release"})))["janus"] == "success"
    assert b"call 7" in await events.receive()


async def test_bridge_stopped(bridge_factory: BridgeFactory, janus: Janus, events: Receiver, within: float) -> None:
    """SIGSTOP, a debugger, a suspended virtual machine: longer than what counts as silence."""
    bridge = bridge_factory({"gw1": janus.url}, **{"janus.janus_ping_interval": 1})
    await normal(bridge)
    handle = await attach(bridge)
    answers: list[Any] = []
    async with JanusClient.open(janus) as client, trio.open_nursery() as nursery:
        session = await client.create()
        other = await client.attach(session, GEN)

        async def ask() -> None:
            answers.append(await bridge.send("gw1", message(handle, {"do": "hold"}), 600_000))

        nursery.start_soon(ask)
        await in_flight(bridge, 1)
        await bridge.send("gw1", message(handle, {"n": 1}))  # behind it: Janus has it
        bridge.process.freeze()
        await client.message(session, other, {"do": "release"})
        await trio.sleep(2.5)  # the fault itself
        bridge.process.thaw()
        await normal(bridge, within)
    assert [answer["janus"] for answer in answers] == ["event"]
    assert await statistic(bridge, "reconnects") == 0


async def test_clock_jumps(tmp_path: Path, janus: Janus, within: float) -> None:
    """A year forward, then two back: nothing of what is promised in seconds is measured by the calendar."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\nreal = time.time\ntime.time = lambda: real() + float(open({str(tmp_path / 'jump')!r}).read())\n"
    )
    jump = tmp_path / "jump"
    jump.write_text("0")
    options = {"janus.janus_db_url": sqlite_table(tmp_path / "opensips.db", {"gw1": janus.url})}
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    with Bridge(tmp_path, options, environ=environ) as bridge:
        await normal(bridge)
        handle = await attach(bridge)
        await bridge.ami("event_subscribe", ["E_JANUS_EVENT", "udp:127.0.0.1:9", 3600])
        years = {(await bridge.ami("uptime"))["Now"][-4:]}
        for seconds in (DAYS, -DAYS):
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    answer = await bridge.send("gw1", message(handle, {"do": "hold"}), 600_000)
                    assert answer["janus"] == "event"

                nursery.start_soon(ask)
                await in_flight(bridge, 1)
                jump.write_text(str(seconds))
                await bridge.send("gw1", message(handle, {"do": "release"}))
            await normal(bridge, within)
            years.add((await bridge.ami("uptime"))["Now"][-4:])
        assert len(years) == 3  # it did jump
        assert await statistic(bridge, "reconnects") == 0
        assert "udp:127.0.0.1:9" in str(await bridge.ami("subscribers_list"))


async def test_stopped_while_callers_come(bridge_factory: BridgeFactory, tmp_path: Path) -> None:
    """The process stands still until all of them are there."""
    bridge = bridge_factory({}, **{"mi.datagram": [f"unix:{tmp_path}/mi.sock"]})
    host = bridge.mi_url.split("/")[2]
    ip, port = host.split(":")
    ask = post(mi_client.request("version"), host=host)
    with ExitStack() as stack:

        def connected(*sent: bytes) -> socket.socket:
            caller = stack.enter_context(socket.create_connection((ip, int(port)), HANG_SECONDS))
            for part in sent:
                caller.sendall(part)
            return caller

        kept = [connected(ask) for _ in range(3)]
        for caller in kept:
            assert b"200 OK" in caller.recv(65_536)
        bridge.process.freeze()
        whole = [connected(ask, *[ask] * (number % 2)) for number in range(10)]
        half, silent = [connected(ask[:-5]) for _ in range(3)], [connected() for _ in range(3)]
        late, never = connected(), connected(ask[:-5])
        kept[0].sendall(ask)
        over_unix = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        over_unix.bind("")
        over_unix.sendto(mi_client.request("version"), f"{tmp_path}/mi.sock")
        bridge.process.signal(signal.SIGTERM)
        bridge.process.thaw()
        await until_logged(bridge, "SIGTERM: stopping")
        for caller in half:
            caller.sendall(ask[-5:])
        for caller in silent:
            caller.sendall(ask)
        for number, caller in enumerate(whole):
            assert statuses(caller)[: 1 + number % 2] == [200] * (1 + number % 2)
        assert statuses(kept[0])[0] == 200
        for caller in (*half, *silent):
            assert statuses(caller) in ([200], [503])  # the latter on a machine that is busy for a second
        for caller in (*kept[1:], late, never):
            assert statuses(caller) == [503]
        over_unix.settimeout(HANG_SECONDS)
        assert mi_client.result(over_unix.recv(65_536))
        with pytest.raises(ConnectionRefusedError):
            connected()
        with in_time(HANG_SECONDS):
            while bridge.process.exit_code is None:  # noqa: ASYNC110 - a process
                await trio.sleep(0.01)


def statuses(caller: socket.socket) -> list[int]:
    """Of all answers until the other side closes, in order. Raises ConnectionResetError."""
    return [answer.status for answer in split_answers(b"".join(iter(partial(caller.recv, 65_536), b"")))]


async def test_sigterm_under_load(bridge_factory: BridgeFactory, janus_factory: Factory, within: float) -> None:
    """Everybody gets an answer or an error; what Janus answers within 2 s, its answer."""
    janus = janus_factory()
    bridge = bridge_factory({"gw1": janus.url})
    await normal(bridge)
    outcomes: dict[str, list[str]] = {"hold": [], "mute": []}

    async def ask(do: str, handle: str) -> None:
        try:
            answer = await bridge.send("gw1", message(handle, {"do": do}), 600_000)
            outcomes[do].append(answer["janus"])
        except MiError as error:
            outcomes[do].append(str(error.code))

    async with JanusClient.open(janus) as client, trio.open_nursery() as nursery:
        session = await client.create()
        other = await client.attach(session, GEN)
        handles = [(do, await attach(bridge)) for do in ("hold", "mute") for _ in range(10)]
        for do, handle in handles:
            nursery.start_soon(ask, do, handle)
        await in_flight(bridge, 20)
        for _, handle in handles:
            await bridge.send("gw1", message(handle, {"n": 1}))  # behind it: Janus has it
        with in_time(within):
            bridge.process.signal(signal.SIGTERM)
            await until_logged(bridge, "SIGTERM: stopping")
            answered = await client.message(session, other, {"do": "release"})
            assert answered["plugindata"]["data"] == {"released": 10}
            while bridge.process.exit_code is None:  # noqa: ASYNC110 - a process
                await trio.sleep(0.01)
    assert outcomes == {"hold": ["event"] * 10, "mute": ["502"] * 10}
    assert bridge.process.exit_code == 0
