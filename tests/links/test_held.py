"""A socket that outlives its process keeps the calls at a Janus that reclaims nothing: held until claimed (10)."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.core import supervise
from bridge.core.connection import Reports, WebSocket
from bridge.errors import ConnectFailed
from bridge.protocol.command import read_command
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway
from bridge.transport.fd_store import NEWEST, FdStore, base_of
from bridge.transport.tls import client_context
from tests.links.conftest import bases, beds, numbers
from tests.support.certs import Certificates
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_systemd import FakeSystemd
from tests.support.janus import Janus
from tests.support.janus_client import AdminClient
from tests.support.linkbed import running
from tests.support.rtpengine import Rtpengine

Factory = Callable[..., Janus]


async def test_a_handle_lives_on_in_the_next_process(janus: Janus, systemd: FakeSystemd, store: FdStore) -> None:
    first, second, third = beds(store, "one", "two", "three")
    async with running(first, {"gw": janus.url}):
        await first.ready()
        handle = await first.attach()
        client_session = (await first.ask({"janus": "create"}))["data"]["id"]
        other = await first.attach(session_id=client_session)
        await first.registry.stop(hand_over=True)
        assert first.names() == ["connected", "disconnected"]
    for bed in (second, third):  # the second one ends without a farewell
        [name] = systemd.names
        async with running(bed, {"gw": janus.url}):
            await bed.ready()
            await bed.echo(handle)
            await bed.echo(other, session_id=client_session)
            assert "session_lost" not in bed.names()
            assert systemd.names == [name]  # the same stream goes on


async def test_a_server_that_hands_over_no_sessions_keeps_them(rtpengine: Rtpengine, store: FdStore) -> None:
    """The stream goes on, so that nothing has to be claimed."""
    first, second = beds(store, "one", "two")
    for bed in (first, second):
        bed.credentials["gw"] = Credentials(api_secret="x")
    async with running(first, {"gw": rtpengine.url}):
        await first.ready()
        handle = await first.attach("janus.plugin.videoroom")
    async with running(second, {"gw": rtpengine.url}):
        await second.ready()
        answer = await second.message(handle, {"request": "create", "publishers": 2})
        assert answer["janus"] == "success"
        assert second.names() == ["connected"]


async def test_over_tls_too(
    janus_factory: Factory, certificates: Certificates, systemd: FakeSystemd, store: FdStore
) -> None:
    server = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)
    first, second = beds(store, "one", "two")
    for bed in (first, second):
        bed.set_options(tls=client_context(str(certificates.ca), None, None))
    async with running(first, {"gw": server.url}):
        await first.ready()
        handle = await first.attach()
    async with running(second, {"gw": server.url}):
        await second.ready()
        await second.echo(handle)
        assert len(systemd.names) == 1


async def test_what_is_held_stays_until_its_gateway_is_ready(janus: Janus, store: FdStore) -> None:
    """However often connecting fails; a URL that leads to the same Janus by another name is ready as well."""
    first, second = beds(store, "one", "two")
    base = base_of("gw", janus.url)
    async with running(first, {"gw": janus.url}):
        await first.ready()
        handle = await first.attach()

    async def fails(_gateway: Gateway, _reports: Reports, _opened: Callable[[WebSocket], None], _socket: int) -> str:
        raise ConnectFailed("not yet", refused=True)

    second.connector = fails
    async with running(second, {"gw": janus.url}):
        await second.until(lambda: len(second.connects) > 1)
        second.reconcile({"gw": janus.url, "other": "no url"})
        assert bases(store) == {base}
        second.connector = None
        second.reconcile({"gw": janus.url.replace("127.0.0.1", "localhost")})
        assert bases(store) == {base}
        await second.ready()
        await second.echo(handle)
        assert bases(store) == set()


async def test_without_a_row_nothing_is_held(
    janus_factory: Factory, systemd: FakeSystemd, store: FdStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Gone, or with another URL: its sessions end at once, as they do where a row goes while the bridge runs."""
    server = janus_factory()
    first, second = beds(store, "one", "two")
    async with AdminClient.open(server) as admin:
        async with running(first, {"gone": server.url, "moved": server.url}):
            await first.ready("gone")
            await first.ready("moved")
            assert len(await admin.list_sessions()) == 2
            gone, moved = await first.attach(janus_id="gone"), await first.attach(janus_id="moved")
        assert len(systemd.names) == 2
        async with running(second, {"moved": "ws://127.0.0.1:1"}):
            assert systemd.names == []
            [(janus_id, what, reason, detail)] = second.statuses
            assert (janus_id, what, reason) == ("moved", "session_lost", "the row points to another Janus")
            assert [handle["handle_id"] for handle in detail["handles"]] == [moved]
            assert (
                "gone: its row is gone (removed), and with it 1 handle in 1 session: 1 janus.plugin.gen" in caplog.text
            )
            assert gone != moved
            assert all(
                one.ended for one in (first.saved["gone", server.url] | first.saved["moved", server.url]).values()
            )
            while await admin.list_sessions():  # noqa: ASYNC110 - it is asked over the network
                await trio.sleep(0.01)


async def test_nothing_is_lost_of_a_stream_that_goes_on(janus: Janus, systemd: FakeSystemd, store: FdStore) -> None:
    """Nor is anything heard twice; whatever mark another process left in the socket."""
    first, second, third = beds(store, "one", "two", "three")
    async with running(first, {"gw": janus.url}):
        await first.ready()
        handle = await first.attach()
        # No more of them than a busy machine reads as they come: ready is who has read what was there.
        await first.message(handle, {"do": "tick", "ms": 2, "k": 1, "n": 100_000, "size": 300})
        await first.until(lambda: first.events)
        await first.registry.stop(hand_over=True)
    for bed in (second, third):
        with socket.socket(fileno=os.dup(store.held[0].fd)) as left:
            left.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 100_000)
        async with running(bed, {"gw": janus.url}):
            await bed.ready()
            await bed.until(lambda bed=bed: len(bed.events) > 100)  # type: ignore[misc]
            await bed.echo(handle)
            await bed.registry.stop(hand_over=True)
            assert bed.names() == ["connected", "disconnected"]
    heard = numbers(first, second, third)
    assert heard == list(range(len(heard)))
    assert len(systemd.names) == 1


async def test_a_stream_out_of_step_is_not_written_to_and_told(
    janus: Janus, systemd: FakeSystemd, store: FdStore
) -> None:
    """It is held until a new connection has the sessions."""
    first, second = beds(store, "one", "two")
    async with running(first, {"gw": janus.url}):
        await first.ready()
        handle = await first.attach()
        await first.message(handle, {"do": "tick", "ms": 1, "n": 100_000, "size": 300})
        await first.registry.stop(hand_over=True)
    [name] = systemd.names
    await trio.lowlevel.wait_readable(store.held[0].fd)
    os.read(store.held[0].fd, 5)  # as if it had been killed in the middle of a frame
    async with running(second, {"gw": janus.url}):
        await second.ready()
        await second.echo(handle)
        [(_, _, reason, detail)] = [status for status in second.statuses if status[1] == "events_lost"]
        assert (reason, detail) == ("restart", {"lost": None})
        await second.until(lambda: len(systemd.names) == 1)
        assert systemd.names != [name]


async def test_what_nobody_read_of_a_socket_that_is_held_is_told_as_lost(
    janus_factory: Factory, certificates: Certificates, store: FdStore
) -> None:
    server = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)
    first, second = beds(store, "one", "two")
    for bed in (first, second):
        bed.set_options(tls=client_context(str(certificates.ca), None, None))
    async with running(first, {"gw": server.url}):
        await first.ready()
        handle = await first.attach()
        await first.message(handle, {"do": "tick", "ms": 1, "n": 100_000})
        await first.registry.stop(hand_over=True)
    await trio.lowlevel.wait_readable(store.held[0].fd)
    async with running(second, {"gw": server.url}):
        await second.ready()
        assert sorted(second.names()) == ["connected", "events_lost"]
        [(_, _, reason, detail)] = [status for status in second.statuses if status[1] == "events_lost"]
        assert reason == "restart"
        assert detail == {"lost": None}  # nobody can say how many


async def test_a_socket_whose_janus_is_gone_is_an_end_like_any_other(
    janus_factory: Factory, systemd: FakeSystemd, store: FdStore
) -> None:
    server = janus_factory()
    first, second = beds(store, "one", "two")
    async with running(first, {"gw": server.url}):
        await first.ready()
        await first.registry.stop(hand_over=True)
    server.restart()
    async with running(second, {"gw": server.url}):
        await second.until(lambda: "session_lost" in second.names())
        await second.ready()
        assert len(systemd.names) == 1


async def test_nothing_unread_is_nothing_lost(janus: Janus, store: FdStore) -> None:
    first, second = beds(store, "one", "two")
    async with running(first, {"gw": janus.url}):
        link = await first.ready()
        await first.until(lambda: link.rtt is not None)  # the keepalive is answered, and nothing else was asked
        await first.registry.stop(hand_over=True)
    async with running(second, {"gw": janus.url}):
        await second.ready()
        assert second.names() == ["connected"]


async def test_every_end_leaves_the_store(janus_factory: Factory, systemd: FakeSystemd, store: FdStore) -> None:
    """Janus killed, left by choice, the row gone: nobody keeps open what is over."""
    server = janus_factory()
    [bed] = beds(store, "one")
    async with running(bed, {"gw": server.url}):
        link = await bed.ready()
        before = systemd.names
        link.reconnect()
        await link.reconnected()
        await bed.until(lambda: len(systemd.names) == 1)
        assert systemd.names != before
        server.kill()
        await bed.until(lambda: systemd.names == [])
        server.start()
        await bed.until(lambda: len(systemd.names) == 1)
        await bed.ready()
        bed.reconcile({})
        await bed.until(lambda: systemd.names == [])


async def test_a_fault_of_ours_ends_no_call(janus: Janus, store: FdStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task of a link fails and starts anew: its connection is held until the next one has the sessions."""
    monkeypatch.setattr(supervise, "PAUSE", 0.0)
    [bed] = beds(store, "one")
    async with running(bed, {"gw": janus.url}):
        link = await bed.ready()
        handle = await bed.attach()

        class Failing(list[Any]):
            def append(self, _event: Any) -> None:
                bed.events = []
                raise RuntimeError("a fault of ours")

        bed.events = Failing()
        link.post(read_command({"janus": "nonsense"}), HANG_SECONDS)
        await bed.until(lambda: len(bed.connects) == 2)
        await bed.ready()
        await bed.echo(handle)
        assert bases(store) == set()


async def test_lives_that_end_soon_leave_no_more_than_a_few_sockets(
    janus_factory: Factory, certificates: Certificates, systemd: FakeSystemd, store: FdStore
) -> None:
    """A crash loop, over TLS: the socket that has the sessions is among them, until another one has."""
    server = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)
    first, *others, last = beds(store, "first", *map(str, range(2 * NEWEST)), "last")
    for bed in (first, *others, last):
        bed.set_options(tls=client_context(str(certificates.ca), None, None))
    async with running(first, {"gw": server.url}):
        await first.ready()
        handle = await first.attach()
    [carries] = systemd.names
    for bed in others:
        bed.look_every = 0.0  # each turn, so that it ends before its claims are answered
        async with running(bed, {"gw": server.url}):
            link = bed.registry.find("gw")
            await bed.until(lambda link=link: 1 in link.connections and link.connections[1].opened)  # type: ignore[misc]
        assert carries in systemd.names
    assert len(systemd.names) == 1 + NEWEST + 1
    async with running(last, {"gw": server.url}):
        await last.ready()
        await last.echo(handle)
        assert len(systemd.names) == 1


async def test_what_is_no_socket_is_let_go(janus: Janus, systemd: FakeSystemd, store: FdStore, tmp_path: Path) -> None:
    """Whoever put it there under such a name."""
    [bed] = beds(store, "one")
    store.hold(f"{base_of('gw', janus.url)}.1", fd := os.open(tmp_path, os.O_RDONLY))
    os.close(fd)
    async with running(bed, {"gw": janus.url}):
        await bed.ready()
        assert bases(store) == set()
