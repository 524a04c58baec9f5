"""The fake speaks like Janus until it is told otherwise, and then does exactly that."""

import json

import pytest
import trio
from trio_websocket import HandshakeError

from tests.support.certs import Certificates
from tests.support.fake_janus import SILENCE, FakeJanus, Greeting, Message, Reply, open_fake_janus, reply
from tests.support.frames import TEXT, fragments, frame
from tests.support.janus import GEN
from tests.support.janus_client import JanusClient, JanusError


async def test_it_answers_as_janus_does() -> None:
    async with open_fake_janus() as fake, JanusClient.open(fake.url) as client:
        assert (await client.info())["janus"] == "server_info"
        session = await client.create()
        await client.claim(session)
        await client.keepalive(session)
        handle = await client.attach(session, GEN)
        assert (await client.message(session, handle, {"a": 1}))["plugindata"]["data"] == {"echo": {"a": 1}}
        await client.destroy(session)
        with pytest.raises(JanusError) as gone:
            await client.keepalive(session)
        assert gone.value.code == 458
        assert (await fake.wait_request("keepalive", 2))["session_id"] == session


async def test_a_script_replaces_one_answer() -> None:
    def twice(request: Message) -> list[Reply]:
        return [reply(request, "pong", n=1), {"janus": "detached", "session_id": 1, "sender": 2}]

    async with open_fake_janus() as fake, JanusClient.open(fake.url) as client:
        fake.script["ping"] = twice
        assert (await client.request({"janus": "ping"}))["n"] == 1
        assert (await client.next_event())["sender"] == 2
        fake.script["info"] = lambda _: SILENCE
        with trio.move_on_after(0.05) as silence:
            await client.info()
        assert silence.cancelled_caught


async def test_it_pushes_fragments_and_whole_frames_and_ends_without_a_close_frame() -> None:
    event: Message = {"janus": "event", "session_id": 1, "pad": "ä" * 5000}
    async with open_fake_janus() as fake, JanusClient.open(fake.url) as client:
        await fake.push(fragments(json.dumps(event, ensure_ascii=False).encode()))
        assert await client.next_event() == event
        await fake.push(frame(TEXT, json.dumps({"janus": "timeout"}).encode()))
        assert await client.next_event() == {"janus": "timeout"}
        await fake.peer.drop()
        await client.closed.wait()


async def test_tls(certificates: Certificates) -> None:
    async with (
        open_fake_janus(tls=certificates.server_context()) as fake,
        JanusClient.open(fake.url, tls=certificates.context()) as client,
    ):
        await client.create()


@pytest.mark.parametrize("greeting", [Greeting.SILENCE, Greeting.HALF])
async def test_greetings_that_never_end(greeting: Greeting) -> None:
    async with open_fake_janus() as fake:
        fake.greeting = greeting
        with trio.move_on_after(0.05) as silence:
            await connect(fake)
        assert silence.cancelled_caught


@pytest.mark.parametrize("greeting", [Greeting.HTTP_ERROR, Greeting.REDIRECT])
async def test_greetings_that_are_refusals(greeting: Greeting) -> None:
    async with open_fake_janus() as fake:
        fake.greeting = greeting
        with pytest.raises(HandshakeError):
            await connect(fake)


async def test_greeting_without_subprotocol() -> None:
    async with open_fake_janus() as fake:
        fake.greeting = Greeting.NO_SUBPROTOCOL
        with pytest.raises(AssertionError):
            await connect(fake)


@pytest.mark.parametrize(
    ("greeting", "begins"),
    [
        (Greeting.CLOSE_AFTER_REQUEST, b""),
        (Greeting.GARBAGE, b"\x00\xff"),
        (Greeting.WRONG_KEY, b"HTTP/1.1 101"),
        (Greeting.WRONG_SUBPROTOCOL, b"HTTP/1.1 101"),
        (Greeting.UPGRADE_THEN_CLOSE, b"HTTP/1.1 101"),
    ],
)
async def test_greetings_on_the_wire(greeting: Greeting, begins: bytes) -> None:
    async with open_fake_janus() as fake:
        fake.greeting = greeting
        async with await trio.open_tcp_stream("127.0.0.1", fake.port) as stream:
            await stream.send_all(b"GET /janus HTTP/1.1\r\nSec-WebSocket-Key: AA==\r\n\r\n")
            first = await stream.receive_some()
        assert first[: len(begins) or 1] == begins


async def test_greeting_close() -> None:
    async with open_fake_janus() as fake:
        fake.greeting = Greeting.CLOSE
        async with await trio.open_tcp_stream("127.0.0.1", fake.port) as stream:
            assert await stream.receive_some() == b""


async def connect(fake: FakeJanus) -> None:
    async with JanusClient.open(fake.url):
        pass
