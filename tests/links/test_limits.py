"""A Janus that says too much, or what it must not, harms nobody but itself (contract 5.8, 5.9)."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from bridge.core.environment import LinkSettings
from bridge.errors import TransactionLost
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import FakeJanus, Message, Reply, open_fake_janus
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, fragments, frame
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running
from tests.support.relay import open_relay

Factory = Callable[..., Janus]
SMALL = WebSocketOptions(max_message_size=20_000)
MARK = {"janus": "webrtcup", "session_id": 1, "sender": 2}  # an event that shows that the connection lives


async def still_alive(bed: LinkBed, fake: FakeJanus) -> None:
    """What was sent before harmed nothing: the same connection brings events and answers."""
    before = bed.events.count(MARK)
    await fake.push(MARK)
    await bed.until(lambda: bed.events.count(MARK) == before + 1)
    assert (await bed.ask({"janus": "ping"}))["janus"] == "pong"
    assert fake.connects == 1


# Large messages


async def test_large_answers_arrive_whole(janus: Janus) -> None:
    """Janus cuts at 2,800 bytes: 24 fragments and 358."""
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        for size in (2_500, 2_800, 65_536, 1_000_000):
            answer = await bed.message(handle, {"do": "big", "size": size})
            assert answer["plugindata"]["data"]["pad"] == "x" * size


async def test_cut_inside_a_character_is_put_together(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        text = "a" + "€😀" * 3000
        answer = await bed.message(handle, {"text": text})
        assert answer["plugindata"]["data"]["echo"]["text"] == text


async def test_answer_over_the_limit_is_told_to_its_caller_and_ends_nothing(janus: Janus) -> None:
    async with running(LinkBed(options=SMALL), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        with pytest.raises(TransactionLost) as caught:
            await bed.message(handle, {"do": "big", "size": 20_000})
        assert caught.value.data == "Janus answer too large"
        await bed.echo(handle)
        assert bed.stats.get("oversized") == 1
        assert len(bed.connects) == 1


async def test_answer_in_more_frames_than_allowed_is_told_to_its_caller(janus: Janus) -> None:
    """Janus's own ``info`` is near two frames: the gateway must come up whatever is configured."""
    for frames in (1, 2):
        async with running(LinkBed(options=WebSocketOptions(max_frames=frames)), {"gw": janus.url}) as bed:
            await bed.ready()
            handle = await bed.attach()
            assert (await bed.message(handle, {"do": "big", "size": 2_800 * frames - 300}))["janus"] == "success"
            with pytest.raises(TransactionLost, match="Janus answer too large"):
                await bed.message(handle, {"do": "big", "size": 2_800 * frames})
            await bed.echo(handle)


async def test_event_over_the_limit_is_counted_and_dropped(janus: Janus) -> None:
    async with running(LinkBed(options=SMALL), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        for size in (10, 30_000, 20):
            await bed.message(handle, {"do": "burst", "n": 1, "size": size})
        await bed.until(lambda: len(bed.events) == 2)
        assert [len(event["plugindata"]["data"]["pad"]) for event in bed.events] == [10, 20]
        assert bed.stats.get("oversized") == 1


async def test_gateway_whose_info_is_over_the_limit_is_used_without(janus: Janus) -> None:
    async with running(LinkBed(options=WebSocketOptions(max_message_size=500)), {"gw": janus.url}) as bed:
        await bed.ready()
        assert bed.stats.get("oversized") == 1


@pytest.mark.parametrize("first", [True, False], ids=["in its first fragment", "behind it"])
async def test_only_the_first_fragment_is_searched_for_a_caller(first: bool) -> None:
    async with open_fake_janus() as fake, running(LinkBed(options=SMALL), {"gw": fake.url}) as bed:
        await bed.ready()

        def large(request: Message) -> list[Reply]:
            name = f'"transaction":"{request["transaction"]}"'
            pad = f'"pad":"{"x" * 40_000}"'
            return [fragments(f'{{"janus":"success",{name + "," + pad if first else pad + "," + name}}}'.encode())]

        fake.script["message"] = large
        with pytest.raises(Exception, match="too large" if first else "no answer"):
            await bed.ask({"janus": "message", "handle_id": 7, "body": {}}, HANG_SECONDS if first else 0.3)
        await still_alive(bed, fake)


# What is no message

DEEP = b'{"janus":"event","x":' + b"[" * 101 + b"]" * 101 + b"}"
DROPPED = {
    "no JSON": frame(TEXT, b'{"janus":"event"'),
    "empty": frame(TEXT, b""),
    "a scalar": frame(TEXT, b"42"),
    "an array": frame(TEXT, b"[1]"),
    "no verb": frame(TEXT, b"{}"),
    "a verb that is a number": frame(TEXT, b'{"janus":1}'),
    "NaN": frame(TEXT, b'{"janus":"event","x":NaN}'),
    "a number too large": frame(TEXT, b'{"janus":"event","x":1e999}'),
    "thousands of digits": frame(TEXT, b'{"janus":"event","x":' + b"9" * 10_000 + b"}"),
    "a lone surrogate": frame(TEXT, rb'{"janus":"event","x":"\ud83d"}'),
    "nested too deep": frame(TEXT, DEEP),
    "nested a hundred thousand deep": frame(TEXT, b"[" * 100_000),
    "binary": frame(BINARY, b'{"janus":"event"}'),
    "binary in fragments": frame(BINARY, b"\xff", final=False) + frame(CONTINUATION, b"\xfe"),
    "empty fragments": frame(TEXT, b"", final=False) + frame(CONTINUATION, b"", final=False) + frame(CONTINUATION, b""),
}


@pytest.mark.parametrize("wire", DROPPED.values(), ids=DROPPED)
async def test_what_is_no_message_is_counted_and_dropped(wire: bytes) -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        await fake.push(wire)
        await still_alive(bed, fake)
        assert bed.events == [MARK]
        assert bed.stats.get("malformed") == 1


HARMLESS = {
    "ping": frame(PING, b"x" * 125),
    "pong that nobody asked for": frame(PONG, b""),
    "ping inside a message": frame(TEXT, b'{"janus":"x",', final=False)
    + frame(PING, b"")
    + frame(CONTINUATION, b'"a":1}'),
    "nested deep enough": frame(TEXT, b'{"janus":"event","x":' + b"[" * 99 + b"]" * 99 + b"}"),
    "escaped surrogates in pairs": frame(TEXT, rb'{"janus":"event","x":"\ud83d\ude00"}'),
}


@pytest.mark.parametrize("wire", HARMLESS.values(), ids=HARMLESS)
async def test_what_is_unusual_but_right_is_taken(wire: bytes) -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        await fake.push(wire)
        await still_alive(bed, fake)
        assert bed.stats.get("malformed") == 0


ENDING = {
    "invalid UTF-8": (frame(TEXT, b'{"janus":"\xff"}'), "invalid UTF-8"),
    "invalid UTF-8 in fragments": (
        frame(TEXT, b'{"janus":"\xe2', final=False) + frame(CONTINUATION, b'x"}'),
        "invalid UTF-8",
    ),
    "invalid UTF-8 in a message over the limit": (
        frame(TEXT, b"x" * 30_000, final=False) + frame(CONTINUATION, b"\xff"),
        "invalid UTF-8",
    ),
    "reserved bits": (frame(TEXT, b"{}", reserved=4), "broke the WebSocket protocol"),
    "unknown opcode": (frame(0x3, b""), "broke the WebSocket protocol"),
    "long ping": (frame(PING, b"x" * 126), "broke the WebSocket protocol"),
    "continuation of nothing": (frame(CONTINUATION, b"{}"), "broke the WebSocket protocol"),
    "message inside a message": (frame(TEXT, b"{", final=False) + frame(TEXT, b"}"), "broke the WebSocket protocol"),
    "close": (frame(CLOSE, b"\x03\xe8bye"), "closed the WebSocket with code 1000"),
}


@pytest.mark.parametrize(("wire", "text"), ENDING.values(), ids=ENDING)
async def test_what_breaks_the_framing_ends_the_connection_with_a_clear_text(wire: bytes, text: str) -> None:
    bed = LinkBed(settings=LinkSettings(reconnect_min=0.05), options=SMALL)
    async with open_fake_janus() as fake, running(bed, {"gw": fake.url}):
        link = await bed.ready()
        await fake.push(wire)
        await bed.until(lambda: "disconnected" in bed.names())
        assert link.last_error is not None
        assert text in link.last_error
        await bed.ready()


# Floods


async def test_flood_reaches_its_reader_whole_and_delays_no_other_gateway(janus_factory: Factory, janus: Janus) -> None:
    flooding = janus_factory()
    async with running(LinkBed(), {"gw": flooding.url, "other": janus.url}) as bed:
        await bed.ready()
        await bed.ready("other")
        handles = [await bed.attach() for _ in range(3)]
        answered_meanwhile = 0
        async with trio.open_nursery() as nursery:
            for handle in handles:
                nursery.start_soon(bed.message, handle, {"do": "burst", "n": 20_000, "size": 100})
            while len(bed.events) < 60_000:
                await bed.ask({"janus": "ping"}, janus_id="other")
                answered_meanwhile += 1
        # In the order of each handle, without loss; and the other gateway was served all the time.
        seen: dict[Any, list[int]] = {}
        for event in bed.events:
            seen.setdefault(event["sender"], []).append(event["plugindata"]["data"]["i"])
        assert seen == {handle: list(range(20_000)) for handle in handles}
        assert answered_meanwhile > 20  # some hundred, if Janus has its share of a busy machine


@pytest.mark.parametrize(
    "wire",
    [frame(PING, b""), frame(TEXT, b""), fragments(b'{"janus":"x","pad":"' + b"x" * 1000 + b'"}', 1)],
    ids=["pings", "empty messages", "fragments of one byte"],
)
async def test_flood_of_tiny_frames_starves_nobody(wire: bytes, janus: Janus) -> None:
    """A read of 64 KiB holds twenty thousand of them."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": janus.url, "evil": fake.url}) as bed:
        await bed.ready()
        await bed.ready("evil")
        async with trio.open_nursery() as nursery:

            async def flood() -> None:
                while True:
                    await fake.push(wire * (65_536 // len(wire)))

            nursery.start_soon(flood)
            with trio.fail_after(HANG_SECONDS):
                for _ in range(30):
                    await bed.ask({"janus": "ping"})
            nursery.cancel_scope.cancel()


async def test_message_of_endless_fragments_is_never_kept() -> None:
    """Ten times the limit, and nothing of it stays."""
    part = frame(CONTINUATION, b"x" * 10_000, final=False) + frame(CONTINUATION, b"", final=False)
    first, last = frame(TEXT, b'{"janus":"event","pad":"', final=False), frame(CONTINUATION, b'"}')
    async with open_fake_janus() as fake, running(LinkBed(options=SMALL), {"gw": fake.url}) as bed:
        await bed.ready()
        await fake.push(first, part * 20, last)  # at once: the answer to a keepalive may not stand between them
        await still_alive(bed, fake)
        assert bed.stats.get("oversized") == 1


# Writes that stall


async def test_stalled_write_is_left_and_the_sessions_move(janus_factory: Factory) -> None:
    server = janus_factory()
    options = WebSocketOptions(send_timeout=0.3)
    bed = LinkBed(settings=LinkSettings(ping_interval=30), options=options)
    async with open_relay(server.port, receive_buffer=4096) as relay, running(bed, {"gw": relay.url}):
        link = await bed.ready()
        handle = await bed.attach()
        relay.forget()
        with pytest.raises(TransactionLost, match="could not complete in janus_send_timeout"):
            await bed.message(handle, {"pad": "x" * 8_000_000}, HANG_SECONDS)
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle)
        assert bed.names() == ["connected", "disconnected", "connected"]
