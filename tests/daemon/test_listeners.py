"""The MI's ways in: bound, served, stopped and closed by one table."""

import logging
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from bridge.config import Config, load
from bridge.config.settings import TABLE
from bridge.daemon.doors import DOORS
from bridge.daemon.held_doors import HeldDoors
from bridge.daemon.listeners import Listeners, look
from bridge.errors import ConfigError
from bridge.protocol.budget import Budget
from bridge.protocol.caller import Caller
from bridge.protocol.jsonrpc import TakeAnswer
from bridge.transport.batch import Batch
from bridge.transport.fd_store import FdStore
from bridge.transport.systemd import Notifier
from tests.support.batches import running_batch
from tests.support.http_peer import post


def echo(body: bytes, _caller: Caller, answer: TakeAnswer) -> None:
    answer(body)


def listeners(batch: Batch, store: FdStore | None = None) -> Listeners:
    held = HeldDoors(store or FdStore(Notifier({}), {}))
    return Listeners(echo, batch, {}, Budget(2**26), lambda: None, lambda who, reason: None, lambda: None, held)


def config(folder: Path, **mi: object) -> Config:
    options = [f'state.dir="{folder}"', *(f"mi.{key}={value!r}" for key, value in mi.items())]
    return load(None, options, {})


def everything(folder: Path) -> Mapping[str, object]:
    return {
        "http": ["127.0.0.1:0", "127.0.0.1:0"],
        "datagram": ["udp:127.0.0.1:0", f"unix:{folder}/mi.sock"],
        "fifo": f"{folder}/fifo",
    }


def test_every_row_is_asked_for_by_a_key_of_its_name() -> None:
    assert set(DOORS) <= set(TABLE["mi"])


async def test_all_are_served_and_end_when_stopped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bridge.mi")
    async with running_batch() as batch:
        made = listeners(batch)
        await made.bind(config(tmp_path, **everything(tmp_path)))
        async with trio.open_nursery() as nursery:
            await made.serve(nursery)
            said = [message.removeprefix("listening on ") for message in caplog.messages]
            assert [name.partition(":")[0] for name in said] == ["http", "http", "udp", "unix", f"fifo {tmp_path}/fifo"]
            http = await trio.open_tcp_stream("127.0.0.1", int(said[0].split(":")[2].partition("/")[0]))
            await http.aclose()
            await made.stop(nursery)
            made.end()
        made.close()
        made.close()


async def test_who_waits_for_a_start_that_does_not_come_is_answered(tmp_path: Path) -> None:
    """It may stop while it looks for its table; who is in the backlog of a listener that is closed is reset."""
    async with running_batch() as batch:
        made = listeners(batch)
        await made.bind(config(tmp_path, http=["127.0.0.1:0"]))
        [name] = made._doors[0].names()
        with socket.create_connection(("127.0.0.1", int(name.split(":")[2].partition("/")[0]))) as caller:
            caller.sendall(post(b"asked"))
            caller.setblocking(False)
            async with trio.open_nursery() as nursery:
                await made.stop(nursery)
                made.end()
                await trio.lowlevel.wait_readable(caller)
                assert b"\r\n\r\nasked" in caller.recv(4096)
                caller.close()
        made.close()


async def test_what_cannot_be_bound_is_blamed_on_its_key(tmp_path: Path, batch: Batch) -> None:
    (tmp_path / "fifo").write_text("a file")
    made = listeners(batch)
    with pytest.raises(ConfigError, match=r"^\[mi\] fifo "):
        await made.bind(config(tmp_path, **everything(tmp_path)))
    made.close()
    assert not (tmp_path / "mi.sock").exists()


async def test_what_is_given_twice_is_said_alike_by_a_start_and_by_the_check_before_it(
    tmp_path: Path, batch: Batch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        tcp, udp = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in (one, other))
    (tmp_path / "link").symlink_to(tmp_path)
    path = f"{tmp_path}/a"
    for settings, words in (
        ({"http": [tcp, tcp]}, f"http {tcp}: tcp:{tcp} is"),
        ({"datagram": [f"udp:{udp}", f"udp:{udp}"]}, f"datagram udp:{udp}: udp:{udp} is"),
        ({"datagram": [f"unix:{path}", f"unix:{path}"]}, f"datagram {path} is"),
        ({"datagram": [f"unix:{path}", f"unix:{tmp_path}/link/a"]}, f"datagram {tmp_path}/link/a is"),
        ({"datagram": [f"unix:{path}"], "fifo": path}, f"fifo {path} is"),
    ):
        made, wanted = listeners(batch), config(tmp_path, **{"http": [], **settings})
        for step in (look, made.bind):
            with pytest.raises(ConfigError) as caught:
                await step(wanted)
            assert str(caught.value) == f"[mi] {words} given twice; remove one of them"
        made.close()


async def test_a_listener_that_fails_leaves_no_other_open(tmp_path: Path, batch: Batch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as other:
            free = f"127.0.0.1:{other.getsockname()[1]}"
        made = listeners(batch)
        with pytest.raises(ConfigError, match=rf"^\[mi\] http {busy}: "):
            await made.bind(config(tmp_path, http=[free, busy]))
        made.close()
    for listener in await trio.open_tcp_listeners(int(free.partition(":")[2]), host="127.0.0.1"):
        await listener.aclose()
