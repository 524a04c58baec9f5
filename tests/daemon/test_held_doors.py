"""The MI's sockets go on over a restart: whoever calls meanwhile waits, and is answered by the next process."""

import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from bridge.config import Config, load
from bridge.daemon.doors import DOORS, DatagramDoor
from bridge.daemon.listeners import Listeners
from bridge.daemon.service import serve
from bridge.errors import ConfigError
from bridge.protocol.host_port import bracketed
from bridge.transport.fd_store import FdStore
from bridge.transport.systemd import Notifier
from tests.daemon.test_listeners import everything, listeners
from tests.support.batches import running_batch
from tests.support.bridge import toml
from tests.support.fake_systemd import FakeSystemd
from tests.support.ports import free_port

REQUEST = b"POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def store() -> FdStore:
    """One for all processes of a test, which duplicates what the one leaves for the next."""
    return FdStore(Notifier({}), {})


def names(made: Listeners) -> list[str]:
    return [name for door in made._doors for name in door.names()]


def held(folder: Path, **changes: object) -> Mapping[str, object]:
    """A door of each kind."""
    return {
        **everything(folder),
        "http": ["127.0.0.1:0"],
        "hold_listeners": True,
        "fifo_reply_dir": str(folder),
        **changes,
    }


def config(folder: Path, mi: Mapping[str, object]) -> Config:
    return load(None, [f'state.dir="{folder}"', *(f"mi.{key}={toml(value)}" for key, value in mi.items())], {})


async def one_process(store: FdStore, folder: Path, mi: Mapping[str, object], *, leaves: bool = True) -> list[str]:
    """Bind and serve, and end again; what it listened on."""
    async with running_batch() as batch, trio.open_nursery() as nursery:
        made = listeners(batch, store)
        await made.bind(config(folder, mi))
        await made.serve(nursery)
        found = names(made)
        if leaves:
            made.leave()
        await made.stop(nursery)
        made.end()
    made.close()
    return found


async def test_callers_wait_and_are_answered_by_the_next_process(
    tmp_path: Path, store: FdStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bridge.mi")
    settings = held(tmp_path)
    before = await one_process(store, tmp_path, settings)
    assert len(store.held) == 4
    http, udp = (int(name.rpartition(":")[2].partition("/")[0]) for name in before[:2])
    with (
        socket.create_connection(("127.0.0.1", http)) as caller,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as over_udp,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as over_unix,
    ):
        caller.sendall(REQUEST)
        over_udp.sendto(b"udp", ("127.0.0.1", udp))
        over_unix.bind(str(tmp_path / "client"))
        over_unix.sendto(b"unix", str(tmp_path / "mi.sock"))
        os.mkfifo(tmp_path / "reply")
        reply = os.open(tmp_path / "reply", os.O_RDWR | os.O_NONBLOCK)
        (tmp_path / "fifo").write_text(":reply:fifo\n")
        for one in (caller, over_udp, over_unix):
            one.setblocking(False)
        async with running_batch() as batch, trio.open_nursery() as nursery:
            made = listeners(batch, store)
            await made.bind(config(tmp_path, settings))
            assert names(made) == before
            assert store.held == []
            await made.serve(nursery)
            await trio.lowlevel.wait_readable(caller)
            assert caller.recv(4096).endswith(b"\r\n\r\n{}")
            for one, said in ((over_udp, b"udp"), (over_unix, b"unix")):
                await trio.lowlevel.wait_readable(one)
                assert one.recv(4096) == said
            await trio.lowlevel.wait_readable(reply)
            assert os.read(reply, 4096).startswith(b"fifo")
            await made.stop(nursery)
            made.end()
        made.close()
        os.close(reply)
    assert not (tmp_path / "fifo").exists()  # nobody is to come
    assert not (tmp_path / "mi.sock").exists()


async def test_what_is_not_asked_for_is_closed(tmp_path: Path, store: FdStore) -> None:
    """An address that got another name can be bound at once; who holds nothing leaves nothing."""
    port = free_port()
    await one_process(store, tmp_path, held(tmp_path, http=[f"127.0.0.1:{port}"]))
    await one_process(store, tmp_path, held(tmp_path, http=[f"localhost:{port}"], datagram=[]))
    assert len(store.held) >= 2
    await one_process(store, tmp_path, held(tmp_path, http=[f"localhost:{port}"], hold_listeners=False))
    assert store.held == []
    await one_process(store, tmp_path, held(tmp_path, http=[f"127.0.0.1:{port}"]), leaves=False)
    assert store.held == []


async def test_what_a_new_kind_of_door_holds_is_kept_for_it(
    tmp_path: Path, store: FdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row says it all."""
    monkeypatch.setitem(
        cast("dict[str, object]", DOORS),
        "other",
        lambda mi: [DatagramDoor(f"unix:{tmp_path}/other.sock", mi)],
    )
    settings = {"datagram": [], "http": [], "hold_listeners": True}
    await one_process(store, tmp_path, settings)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        caller.connect(f"{tmp_path}/other.sock")
        caller.bind(f"{tmp_path}/client")
        caller.send(b"{}")
        caller.setblocking(False)
        async with running_batch() as batch, trio.open_nursery() as nursery:
            made = listeners(batch, store)
            await made.bind(config(tmp_path, settings))
            caller.send(b"{}")  # refused, if it was let go
            await made.serve(nursery)
            await trio.lowlevel.wait_readable(caller)
            assert caller.recv(4096) == b"{}"
            await made.stop(nursery)
            made.end()
        made.close()


async def test_what_was_put_in_their_place_is_not_taken(tmp_path: Path, store: FdStore) -> None:
    """Somebody removed the FIFO, and the socket's name; or a program listens there now."""
    settings = held(tmp_path)
    await one_process(store, tmp_path, settings)
    (tmp_path / "fifo").unlink()
    (tmp_path / "mi.sock").unlink()
    (tmp_path / "mi.sock").write_text("somebody else's")
    async with running_batch() as batch:
        made = listeners(batch, store)
        with pytest.raises(ConfigError, match=r"mi\.sock: something else has that name"):
            await made.bind(config(tmp_path, settings))
        made.close()
    (tmp_path / "mi.sock").unlink()
    await one_process(store, tmp_path, settings, leaves=False)


async def test_a_door_that_cannot_be_had_stays_in_the_store_for_the_next_start(tmp_path: Path) -> None:
    with FakeSystemd(tmp_path) as systemd:
        notifier = Notifier(systemd.environ)
        store = FdStore(notifier, {})
        await one_process(store, tmp_path, held(tmp_path))
        before = systemd.names
        (tmp_path / "mi.sock").unlink()
        (tmp_path / "mi.sock").write_text("somebody else's")
        async with running_batch() as batch:
            made = listeners(batch, store)
            with pytest.raises(ConfigError, match="something else has that name"):
                await made.bind(config(tmp_path, held(tmp_path)))
            made.leave()
            made.close()
        assert len(systemd.names) == 4
        assert set(systemd.names) >= set(before[2:])  # the one that failed, and the one behind it
        for one in store.held:
            store.end(one.base)
        notifier.close()


async def test_a_start_that_fails_leaves_all_that_it_has_bound_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In systemd's store, and in the file system."""
    with FakeSystemd(tmp_path) as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.environ["NOTIFY_SOCKET"])
        settings = config(tmp_path, held(tmp_path, http=[], fifo=f"{tmp_path}/none/fifo"))
        with pytest.raises(ConfigError, match="none/fifo"):
            await serve(settings, lambda: settings)
        assert len(systemd.names) == 2
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
            caller.connect(str(tmp_path / "mi.sock"))


async def test_an_address_with_another_text_is_bound_once_systemd_has_let_go_of_it(tmp_path: Path) -> None:
    with FakeSystemd(tmp_path) as systemd:
        notifier = Notifier(systemd.environ)
        store = FdStore(notifier, {})
        settings = {"datagram": ["udp:localhost:0"], "http": [], "hold_listeners": True}
        [name] = await one_process(store, tmp_path, settings)
        assert len(systemd.names) == 1
        *_, (host, *_) = socket.getaddrinfo("localhost", 0, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
        changed = config(tmp_path, {"datagram": [name.replace("localhost", bracketed(str(host)))], "http": []})
        async with running_batch() as batch:
            made = listeners(batch, store)
            async with trio.open_nursery() as nursery:
                with systemd.busy():
                    nursery.start_soon(made.bind, changed)
                    await trio.testing.wait_all_tasks_blocked()
            made.close()
        notifier.close()


async def test_a_path_that_changes_leaves_no_name_behind(tmp_path: Path, store: FdStore) -> None:
    """Unless somebody else has put something there."""
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before = held(tmp_path / "before", http=[])
    after = held(tmp_path / "after", http=[])
    await one_process(store, tmp_path, before)
    names = sorted(path.name for path in (tmp_path / "before").iterdir())
    assert names == ["fifo", "mi.sock"]
    await one_process(store, tmp_path, after)
    assert list((tmp_path / "before").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "after").iterdir()) == names
    for name in names:
        (tmp_path / "after" / name).unlink()
    (tmp_path / "after" / "fifo").write_text("somebody else's")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "after" / "mi.sock"))
        await one_process(store, tmp_path, before, leaves=False)
        assert sorted(path.name for path in (tmp_path / "after").iterdir()) == names
