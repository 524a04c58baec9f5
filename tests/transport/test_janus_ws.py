"""Reading from a Janus, and what is taken for granted inside trio-websocket and wsproto."""

from itertools import pairwise

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.events import AcceptConnection, Request

from bridge.transport.janus_ws import BATCH, JanusWebSocket
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.examples import examples
from tests.support.frames import CONTINUATION, PING, PONG, TEXT, fragments, frame
from tests.support.ws_pair import URL, Record, Server, opened, settled

# What is taken for granted


async def test_upgrade_says_what_janus_wants_to_hear() -> None:
    async with opened() as (_, server, _, _):
        request = server.request
        assert request is not None
        assert request.host == "janus.example:1234"
        assert request.target == "/janus?key=1"
        assert request.subprotocols == ["janus-protocol"]
        assert request.extensions == []
        assert (b"origin", b"janus.example") in [(name.lower(), value) for name, value in request.extra_headers]


async def test_engine_knows_when_it_stands_between_messages() -> None:
    """If wsproto changed inside, whole frames would be read past a half one."""
    async with opened() as (websocket, server, record, _):
        assert websocket._engine_is_idle()
        await server.stream.send_all(frame(TEXT, b'{"a":', final=False))
        await settled()
        assert not websocket._engine_is_idle()
        await server.stream.send_all(frame(CONTINUATION, b"1}") + b"\x81")
        await settled()
        assert not websocket._engine_is_idle()
        await server.stream.send_all(frame(TEXT, b"whole")[1:])
        await settled()
        assert websocket._engine_is_idle()
        assert record.texts == ['{"a":1}', "whole"]


# Reading

MESSAGES = (
    frame(TEXT, b"one"),
    frame(PING, b"p"),
    fragments("zwei € 😀".encode(), 3),
    frame(TEXT, b"3" * 126),
    frame(TEXT, b"4" * 70_000),
    frame(TEXT, b"fi", final=False) + frame(PONG, b"") + frame(CONTINUATION, b"ve"),
    frame(TEXT, b""),
    fragments(b"seven" * 2000),
)
TEXTS = ["one", "zwei € 😀", "3" * 126, "4" * 70_000, "five", "", "seven" * 2000]


@settings(max_examples=examples(40))
@given(cuts=st.lists(st.integers(1, 90), max_size=60))
def test_any_cut_of_the_bytes_gives_the_same_messages(cuts: list[int]) -> None:
    async def main() -> None:
        async with opened() as (_, server, record, ends):
            wire = b"".join(MESSAGES)
            for cut in cuts:
                await server.stream.send_all(wire[:cut])
                wire = wire[cut:]
                await settled()
            await server.stream.send_all(wire)
            await settled()
            assert record.texts == TEXTS
            assert record.refused == ends == []

    trio.run(main)


async def test_frames_behind_the_upgrade_are_read() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    record, server = Record(), Server(theirs)
    websocket = JanusWebSocket(ours, URL, WebSocketOptions(), record)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.handshake)
        while server.request is None:
            server.engine.receive_data(bytes(await theirs.receive_some()))
            for event in server.engine.events():
                if isinstance(event, Request):
                    server.request = event
        answer = server.engine.send(AcceptConnection(subprotocol="janus-protocol"))
        await theirs.send_all(answer + frame(TEXT, b"early") + frame(TEXT, b"half")[:3])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.read_forever)
        await theirs.send_all(frame(TEXT, b"half")[3:])
        await settled()
        assert record.texts == ["early", "half"]
        nursery.cancel_scope.cancel()


async def test_others_run_between_the_frames_of_one_read() -> None:
    async with opened() as (_, server, record, _):
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


async def test_every_frame_and_part_of_one_is_a_sign_of_life() -> None:
    beginning = frame(TEXT, b"x" * 200)[:100]  # no pong can come inside it
    for wire in (frame(PONG, b""), frame(PING, b""), frame(TEXT, b"x"), frame(TEXT, b"x", final=False), beginning):
        async with opened() as (websocket, server, record, _):
            websocket._last_received = -1.0
            await server.stream.send_all(wire)
            await settled()
            assert websocket.last_received > 0
            assert record.frames == 1


async def test_pings_are_answered_with_their_payload() -> None:
    async with opened() as (_, server, _, _), trio.open_nursery() as nursery:
        nursery.start_soon(server.read)
        await server.stream.send_all(b"".join(frame(PING, payload) for payload in (b"", b"abc", b"x" * 125)))
        await settled()
        assert server.pongs == [b"", b"abc", b"x" * 125]
        nursery.cancel_scope.cancel()
