"""The MI of another bridge is asked over connections that are kept, and what is not known is not promised."""

import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trio

from bridge.config.kinds import Secret
from bridge.core.mi import Command, MiRequest, Registry
from bridge.errors import PeerNotReached, PeerRefused, PeerSilent
from bridge.protocol.caller import Role
from bridge.protocol.jsonrpc import RpcError
from bridge.protocol.recipe import Parameter
from bridge.transport.http_access import LOOPBACK, Access
from bridge.transport.peer_client import PeerClient
from tests.support.certs import Certificates, issue
from tests.support.deadlines import HANG_SECONDS
from tests.support.http_peer import Served, serve
from tests.support.ports import free_port

TOKEN = "s3cret"
Clients: TypeAlias = Callable[..., PeerClient]


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    """Makes clients, which are closed at the end."""
    made: list[PeerClient] = []

    def make(*arguments: Any) -> PeerClient:
        made.append(PeerClient(*(arguments or (TOKEN,))))
        return made[-1]

    yield make
    for client in made:
        client.close()


class Peer:
    """The MI of another bridge: ``x_echo`` answers, ``x_wait`` does not."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.asked = trio.Event()
        self.left = trio.Event()
        value = Parameter("value", "json")
        self.registry.add(
            Command("x_echo", "x:echo", ((value,),), lambda call: call.arguments["value"], "", "x", Role.EVERYTHING),
            Command("x_wait", "x:wait", ((),), self._wait, "", "x", Role.EVERYTHING),
        )
        self.served: Served
        self.url = ""

    def _wait(self, _call: MiRequest) -> Callable[[], None]:
        self.asked.set()
        return self.left.set


@asynccontextmanager
async def serving(certs: Certificates | None = None) -> AsyncIterator[Peer]:
    peer = Peer()
    async with trio.open_nursery() as nursery:
        tls = None if certs is None else certs.server_context()
        peer.served = await serve(nursery, peer.registry.dispatch, Access(LOOPBACK, TOKEN), tls=tls)
        peer.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{peer.served.port}/mi"
        yield peer
        nursery.cancel_scope.cancel()


async def test_one_connection_serves_many_requests(clients: Clients) -> None:
    async with serving() as peer:
        client = clients()
        values: list[Any] = [1, {"id": "9007199254740993"}, 2**62, [[[]]] * 50, "x" * 500_000]
        for value in values:
            assert await client(peer.url, "x_echo", [{"value": value}], HANG_SECONDS) == {"value": value}
            await trio.testing.wait_all_tasks_blocked()
            assert peer.served.http.connections == 1
        (kept,) = client._idle.values()
        assert len(kept) == 1
        client.close()
        await peer.served.until(0)


async def test_answer_may_be_as_deep_as_one_of_janus(clients: Clients) -> None:
    async with serving() as peer:
        deep: Any = []
        for _ in range(98):
            deep = [deep]
        assert await clients()(peer.url, "x_echo", [{"value": deep}], HANG_SECONDS) == {"value": deep}


async def test_error_of_the_peer_is_told_as_it_is(clients: Clients) -> None:
    async with serving() as peer:
        with pytest.raises(RpcError) as caught:
            await clients()(peer.url, "x_nothing", [], HANG_SECONDS)
        assert (caught.value.code, caught.value.message) == (-32601, "Method not found")
        with pytest.raises(PeerRefused, match="401 Unauthorized"):
            await clients("wrong")(peer.url, "x_echo", [{}], HANG_SECONDS)


async def test_token_is_shown_as_it_is_and_may_change(clients: Clients) -> None:
    async with serving() as peer:
        client = clients(Secret(TOKEN))  # as the configuration has it
        assert await client(peer.url, "x_echo", [{}], HANG_SECONDS) == {}
        client.show("old")
        with pytest.raises(PeerRefused):
            await client(peer.url, "x_echo", [{}], HANG_SECONDS)
        client.show(Secret(TOKEN))
        assert await client(peer.url, "x_echo", [{}], HANG_SECONDS) == {}


async def test_what_was_not_sent_is_told_from_what_has_no_answer(clients: Clients) -> None:
    client = clients()
    with pytest.raises(PeerNotReached, match="refused"):
        await client(f"http://127.0.0.1:{free_port()}/mi", "x_echo", [{}], HANG_SECONDS)
    with pytest.raises(PeerNotReached, match="form"):
        await client("ftp://x", "x_echo", [{}], HANG_SECONDS)
    async with answering(b"") as (url, _closed), serving():
        with pytest.raises(PeerSilent, match="closed the connection"):
            await client(url, "x_echo", [{}], HANG_SECONDS)


async def test_a_peer_that_stops_while_a_request_is_on_its_way_has_done_nothing(clients: Clients) -> None:
    """On a connection that is kept."""
    async with serving() as peer:
        client = clients()
        assert await client(peer.url, "x_echo", [{}], HANG_SECONDS) == {}
        ((connection,),) = client._idle.values()
        peer.served.http.stop()
        await trio.lowlevel.wait_readable(connection._socket)
        client._idle = {address: [Crossing(connection)] for address in client._idle}  # type: ignore[list-item]
        with pytest.raises(PeerRefused, match="503"):
            await client(peer.url, "x_echo", [{}], HANG_SECONDS)


class Crossing:
    """A kept connection, as it looks while what the peer has sent is still on its way."""

    fresh = True

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


async def test_a_name_that_hangs_holds_one_thread_and_none_of_others(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    release = threading.Event()
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        if host != "hangs.example" or named.get("flags"):
            return look_up(host, port, *rest, **named)
        asked.append(host)
        release.wait(HANG_SECONDS)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    client = clients()
    for _ in range(3):
        with pytest.raises(PeerNotReached, match=r"no answer within 0\.01 s"):
            await client("http://hangs.example/mi", "x_echo", [{}], 0.01)
    assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    release.set()
    with pytest.raises(PeerNotReached, match="Temporary failure in name resolution"):
        await client("http://hangs.example/mi", "x_echo", [{}], HANG_SECONDS)
    assert len(asked) <= 2


@pytest.mark.parametrize("first", ["127.0.0.2", "::1"])
async def test_every_address_of_a_name_is_tried(clients: Clients, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        if host != "peer.example" or named.get("flags"):
            return look_up(host, port, *rest, **named)
        return [found for one in (first, "127.0.0.1") for found in look_up(one, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with serving() as peer:
        url = peer.url.replace("127.0.0.1", "peer.example")
        assert await clients()(url, "x_echo", [{}], HANG_SECONDS) == {}


async def test_peer_that_says_nothing(clients: Clients) -> None:
    async with serving() as peer:
        client = clients()
        await client(peer.url, "x_echo", [{}], HANG_SECONDS)  # a connection that is kept is written to at once
        with pytest.raises(PeerSilent, match=r"no answer within 0\.1 s"):
            await client(peer.url, "x_wait", [], 0.1)
        await peer.left.wait()


@pytest.mark.parametrize("patience", [0.0, -1.0])
async def test_who_has_no_time_left_sends_nothing(clients: Clients, patience: float) -> None:
    """As where a process was stopped between the beginning of a command and its sending."""
    async with serving() as peer:
        client = clients()
        with pytest.raises(PeerNotReached, match="no answer within"):
            await client(peer.url, "x_echo", [{}], patience)
        await client(peer.url, "x_echo", [{}], HANG_SECONDS)
        with pytest.raises((PeerNotReached, PeerSilent), match="no answer within"):
            await client(peer.url, "x_wait", [], patience)  # over a connection that is kept
        assert not peer.asked.is_set()


async def test_whoever_is_cancelled_leaves(clients: Clients) -> None:
    async with serving() as peer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients(), peer.url, "x_wait", [], HANG_SECONDS)
            await peer.asked.wait()
            nursery.cancel_scope.cancel()
        await peer.left.wait()


async def test_connection_that_the_peer_has_closed_is_not_used_again(clients: Clients) -> None:
    client = clients()
    async with answering(b'{"jsonrpc":"2.0","result":"OK","id":"1"}') as (url, closed):
        for number in (1, 2):
            assert await client(url, "x_echo", [{}], HANG_SECONDS) == "OK"
            while len(closed) < number:
                await trio.lowlevel.checkpoint()


async def test_tls_is_verified(tmp_path: Path, clients: Clients) -> None:
    certs = issue(tmp_path)
    async with serving(certs) as peer:
        client = clients(TOKEN, certs.context())
        for _ in range(2):
            assert await client(peer.url, "x_echo", [{"a": 1}], HANG_SECONDS) == {"a": 1}
        assert peer.served.http.connections == 1
        with pytest.raises(PeerNotReached, match="certificate"):
            await clients()(peer.url, "x_echo", [{}], HANG_SECONDS)


async def test_what_is_no_mi_is_no_answer(clients: Clients) -> None:
    for body in (
        b"hello",
        b"[]",
        b"{}",
        b'{"error": {"code": "x"}}',
        b'{"error": {}}',
        b'{"error": 1}',
        b"\xff",
        b"[" * 9999,
    ):
        async with answering(body) as (url, _closed):
            with pytest.raises(PeerSilent, match="not that of an MI"):
                await clients()(url, "x_echo", [{}], HANG_SECONDS)


@asynccontextmanager
async def answering(body: bytes) -> AsyncIterator[tuple[str, list[trio.SocketStream]]]:
    """The URL of a server that gives each connection one answer, or nothing, and closes it; those that are closed."""
    closed: list[trio.SocketStream] = []

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if body:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await stream.aclose()
        closed.append(stream)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/mi", closed
        nursery.cancel_scope.cancel()
