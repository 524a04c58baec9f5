"""Reading from a Janus by either shell: on a socket in the batch, and on a stream."""

from functools import partial
from itertools import pairwise

import pytest
import trio
import trio.testing
from wsproto.events import AcceptConnection, Request

from bridge.transport.janus_connect import upgrade
from bridge.transport.janus_stream import JanusStream
from bridge.transport.janus_ws import BATCH
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.frames import PING, PONG, TEXT, frame
from tests.support.ws_pair import URL, Record, Server, opened, settled, until

KINDS = ["memory", "sockets"]


@pytest.mark.parametrize("kind", KINDS)
async def test_upgrade_says_what_janus_wants_to_hear(kind: str) -> None:
    async with opened(kind) as (_, server, _, _):
        request = server.request
        assert request is not None
        assert request.host == "janus.example:1234"
        assert request.target == "/janus?key=1"
        assert request.subprotocols == ["janus-protocol"]
        assert request.extensions == []
        assert (b"origin", b"janus.example") in [(name.lower(), value) for name, value in request.extra_headers]


async def test_frames_behind_the_upgrade_are_read() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    record, server = Record(), Server(theirs)
    unread = b""

    async def connect() -> None:
        nonlocal unread
        unread = await upgrade(ours, URL, WebSocketOptions())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        while server.request is None:
            server.engine.receive_data(bytes(await theirs.receive_some()))
            for event in server.engine.events():
                if isinstance(event, Request):
                    server.request = event
        answer = server.engine.send(AcceptConnection(subprotocol="janus-protocol"))
        await theirs.send_all(answer + frame(TEXT, b"early") + frame(TEXT, b"half")[:3])
    websocket = JanusStream(ours, unread, WebSocketOptions(), record, "test")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        await theirs.send_all(frame(TEXT, b"half")[3:])
        await settled()
        assert record.texts == ["early", "half"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", KINDS)
async def test_others_run_between_the_frames_of_one_read(kind: str) -> None:
    async with opened(kind) as (_, server, record, _):
        seen: list[int] = []

        async def look() -> None:
            while True:
                seen.append(len(record.texts))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await server.stream.send_all(frame(TEXT, b"") * 1000)
            while len(record.texts) < 1000:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert max(later - earlier for earlier, later in pairwise(seen)) <= 2 * BATCH


@pytest.mark.parametrize("kind", KINDS)
async def test_every_frame_and_part_of_one_is_a_sign_of_life(kind: str) -> None:
    beginning = frame(TEXT, b"x" * 200)[:100]  # no pong can come inside it
    for wire in (frame(PONG, b""), frame(PING, b""), frame(TEXT, b"x"), frame(TEXT, b"x", final=False), beginning):
        async with opened(kind) as (websocket, server, record, _):
            websocket._last_received = -1.0
            await server.stream.send_all(wire)
            await until(partial(getattr, record, "frames"))
            assert websocket.last_received > 0
            assert record.frames == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_pings_are_answered_with_their_payload(kind: str) -> None:
    async with opened(kind) as (_, server, _, _), trio.open_nursery() as nursery:
        nursery.start_soon(server.read)
        await server.stream.send_all(b"".join(frame(PING, payload) for payload in (b"", b"abc", b"x" * 125)))
        await until(lambda: len(server.pongs) == 3)
        assert server.pongs == [b"", b"abc", b"x" * 125]
        nursery.cancel_scope.cancel()
