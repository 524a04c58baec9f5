"""The relay makes the faults it says it makes, seen from both of its ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from tests.support.relay import Relay, open_relay


@dataclass
class Server:
    """Echoes in capitals; counts the connections that ended."""

    port: int = 0
    ended: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                async for chunk in stream:
                    await stream.send_all(chunk.upper())
            except trio.BrokenResourceError:
                pass
        self.ended += 1
        self.changed.set()


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[Server, Relay, trio.SocketStream]]:
    server = Server()
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        server.port = listeners[0].socket.getsockname()[1]
        async with open_relay(server.port) as relay:
            client = await trio.open_tcp_stream("127.0.0.1", relay.port)
            async with client:
                await client.send_all(b"a")
                assert await client.receive_some() == b"A"
                yield server, relay, client
        await server.changed.wait()
        nursery.cancel_scope.cancel()


async def test_it_forwards_an_end_and_counts() -> None:
    async with relayed() as (_, relay, client):
        assert relay.open_connections == 1
        await client.send_eof()
        assert await client.receive_some() == b""


async def test_cut_is_an_end_of_file_on_both_sides() -> None:
    async with relayed() as (server, relay, client):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.cut)
            assert await client.receive_some() == b""
            await client.aclose()
        await server.changed.wait()
        assert relay.open_connections == 0


async def test_reset_breaks_the_client() -> None:
    async with relayed() as (server, relay, client):
        await relay.reset()
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        await server.changed.wait()


async def test_the_server_need_not_hear_of_it() -> None:
    async with relayed() as (server, relay, client):
        await relay.reset(keep_server_side=True)
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert server.ended == 0
    assert server.ended == 1


async def test_a_black_hole_holds_back_and_resume_delivers() -> None:
    async with relayed() as (_, relay, client):
        relay.black_hole()
        await client.send_all(b"b")
        with trio.move_on_after(0.05) as silence:
            await client.receive_some()
        assert silence.cancelled_caught
        relay.resume()
        assert await client.receive_some() == b"B"


async def test_refused_and_accepted_again_while_old_connections_live() -> None:
    async with relayed() as (_, relay, client):
        await relay.refuse()
        with pytest.raises(OSError, match="failed"):
            await trio.open_tcp_stream("127.0.0.1", relay.port)
        await client.send_all(b"c")
        assert await client.receive_some() == b"C"
        await relay.accept()
        await (await trio.open_tcp_stream("127.0.0.1", relay.port)).aclose()


async def test_a_server_that_refuses_is_a_reset() -> None:
    async with open_relay(1) as relay:
        client = await trio.open_tcp_stream("127.0.0.1", relay.port)
        async with client:
            with pytest.raises(trio.BrokenResourceError):
                await client.receive_some()


async def test_delay() -> None:
    async with relayed() as (_, relay, client):
        relay.delay = 0.02
        start = trio.current_time()
        await client.send_all(b"d")
        assert await client.receive_some() == b"D"
        assert trio.current_time() - start >= 0.04
