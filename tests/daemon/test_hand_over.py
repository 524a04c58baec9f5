"""What goes on beside a hand-over: a read of the table that ends while the sockets are left to the next process."""

import socket
from pathlib import Path

import pytest
import trio

from bridge.config import load
from bridge.daemon.parts import Parts, build
from bridge.protocol.gateway import Gateway, TableRow, read_rows
from bridge.protocol.session import SavedSession
from bridge.transport.fd_store import FdStore, base_of
from bridge.transport.systemd import Notifier
from tests.support.fake_systemd import FakeSystemd

URL = "ws://127.0.0.1:9/"


def parts_of(folder: Path, store: FdStore | None = None) -> Parts:
    return build(load(None, [f'state.dir="{folder}"'], {}), store=store)


async def test_a_table_read_meanwhile_lets_no_held_socket_go(systemd: FakeSystemd, tmp_path: Path) -> None:
    store = FdStore(notifier := Notifier(systemd.environ), {})
    parts, gateway = parts_of(tmp_path, store), Gateway(0, "gw", URL, None)
    ours, janus = socket.socketpair()
    janus.setblocking(False)
    store.keep(base_of("gw", URL), ours.fileno()).leave()
    ours.close()
    parts.journal.save(gateway, SavedSession(77, managed=False))
    reading, read = trio.Event(), trio.Event()

    async def rows() -> list[TableRow]:
        reading.set()
        await read.wait()
        return []

    parts.table.rows = rows
    async with trio.open_nursery() as nursery:
        nursery.start_soon(parts.timers.run)
        await nursery.start(parts.links.run)
        async with trio.open_nursery() as reload:
            reload.start_soon(parts.table.reload)
            await reading.wait()
            await parts.links.stop(hand_over=True)
            read.set()
        nursery.cancel_scope.cancel()
    with pytest.raises(BlockingIOError):
        janus.recv(1)
    assert list(parts.journal.saved(gateway)) == [SavedSession(77, managed=False)]
    assert len(systemd.names) == 1
    for held in store.held:
        socket.socket(fileno=held.fd).close()
    janus.close()
    notifier.close()
    parts.batch.close()


async def test_a_row_that_goes_meanwhile_is_not_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(tmp_path)
    parting, parted = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(parts.timers.run)
        nursery.start_soon(parts.batch.run)
        await nursery.start(parts.links.run)
        parts.links.reconcile(read_rows([TableRow(1, "gw", URL)])[0])

        async def part(_: object) -> None:
            parting.set()
            await parted.wait()

        monkeypatch.setattr(parts.links.find("gw"), "part", part)

        async def stop() -> None:
            await parts.links.stop(hand_over=True)

        async with trio.open_nursery() as stopping:
            stopping.start_soon(stop)
            await parting.wait()
            assert parts.links.reconcile({}).removed == []
            parted.set()
        nursery.cancel_scope.cancel()
    parts.batch.close()
