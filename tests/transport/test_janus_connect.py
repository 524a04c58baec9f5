"""Peers that leave while a connection to Janus is opened or closed: each has its words, none its own time."""

import pytest
import trio
import trio.testing

from bridge.errors import ConnectFailed
from bridge.protocol.janus_url import JanusUrl
from bridge.transport.janus_connect import Opened, open_and_run, upgrade
from bridge.transport.janus_socket import JanusSocket
from bridge.transport.janus_stream import JanusStream
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.batches import running_batch
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import Greeting, open_fake_janus
from tests.support.ws_pair import URL, Record, Server


def nobody(_websocket: JanusSocket | JanusStream) -> None:
    raise AssertionError("it was not to be opened")


async def failure(url: str, opened: Opened = nobody) -> str:
    async with running_batch() as batch:
        with pytest.raises(ConnectFailed) as caught:
            await open_and_run(JanusUrl.parse(url), WebSocketOptions(), Record(), opened, batch)
    return caught.value.reason


async def test_a_port_that_closes_instead_of_speaking_tls() -> None:
    async with open_fake_janus() as fake:
        fake.greeting = Greeting.CLOSE
        assert await failure(fake.url.replace("janusws:", "januswss:")) == (
            "TLS: the connection was closed during the handshake: is this a TLS port?"
        )


async def test_a_peer_that_leaves_before_it_is_asked() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    async with ours:
        with pytest.raises(ConnectFailed, match=r"closed the connection during the upgrade to WebSocket$"):
            await upgrade(ours, URL, WebSocketOptions())


async def test_a_peer_that_does_not_take_leave_is_left_in_time(nursery: trio.Nursery) -> None:
    left = trio.Event()

    async def deaf(stream: trio.SocketStream) -> None:
        await Server(stream).accept()
        while await stream.receive_some():  # the close frame, too
            pass
        left.set()

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, deaf, [listener])
    url = JanusUrl.parse(f"janusws://127.0.0.1:{listener.socket.getsockname()[1]}")
    async with running_batch() as batch:
        with trio.fail_after(HANG_SECONDS):
            options = WebSocketOptions(close_timeout=0.05)
            reason = await open_and_run(url, options, Record(), lambda websocket: websocket.close(), batch)
            await left.wait()
    assert reason == "the bridge closed it"
    nursery.cancel_scope.cancel()
