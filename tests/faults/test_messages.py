"""What a Janus says that it should not, and how its messages may be cut. The connection stays, where it can."""

import json
from collections.abc import Callable, Iterable

import trio

from bridge.errors import TransactionLost
from tests.faults.links import PING, error_of, in_flight, normal
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.fake_janus import SILENCE, FakeJanus, Message, Reply, open_fake_janus, reply
from tests.support.frames import BINARY, CONTINUATION, TEXT, fragments, frame
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running

Factory = Callable[..., Janus]
WAITING = {"janus": "message", "handle_id": 7, "body": {}}


async def answered_in_spite_of(garbage: bytes, counter: str) -> None:
    """A command waits while this arrives: it is counted, and the command's answer comes behind it."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        fake.script["message"] = lambda request: [garbage, *fake.answer(request)]
        assert (await bed.ask(WAITING))["janus"] == "success"
        assert bed.stats.get(counter) == 1
        assert bed.events == []
        assert fake.connects == 1


async def test_bad_json() -> None:
    await answered_in_spite_of(frame(TEXT, b'{"janus": "event", '), "malformed")


async def test_json_too_deep() -> None:
    await answered_in_spite_of(frame(TEXT, b'{"a":' * 5000 + b"1" + b"}" * 5000), "malformed")


async def test_number_out_of_range() -> None:
    await answered_in_spite_of(frame(TEXT, b'{"janus":"event","n":1e999}'), "malformed")


async def test_binary_frame() -> None:
    await answered_in_spite_of(frame(BINARY, b'{"janus":"event"}'), "malformed")


async def test_event_of_ten_megabytes() -> None:
    event = json.dumps({"janus": "event", "session_id": 1, "sender": 2, "pad": "x" * 10_000_000}).encode()
    await answered_in_spite_of(fragments(event), "oversized")


async def test_answer_of_ten_megabytes(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        error = await error_of(bed.message(handle, {"do": "big", "size": 10_000_000}, HANG_SECONDS))
        assert isinstance(error, TransactionLost)
        assert error.data == "Janus answer too large"
        await bed.echo(handle)
        assert len(bed.connects) == 1


async def ended_by(garbage: bytes, within: float) -> str:
    """What cannot be read behind ends the connection: the command in flight is lost; returns why."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        fake.script["message"] = lambda request: SILENCE
        async with in_flight(bed, bed.ask(WAITING)) as errors:
            await fake.push(garbage)
        assert isinstance(errors[0], TransactionLost)
        await normal(bed, within)
        assert fake.connects == 2
        # Neither lost nor made anew: claimed.
        assert "session_lost" not in bed.names()
        return str(errors[0].data)


async def test_invalid_utf_8(within: float) -> None:
    assert "invalid UTF-8" in await ended_by(frame(TEXT, b'{"janus":"\xff"}'), within)


async def test_broken_framing(within: float) -> None:
    assert "broke the WebSocket protocol" in await ended_by(frame(CONTINUATION, b"behind nothing"), within)


async def test_fragments_of_one_byte() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()

        def crumbled(request: Message) -> Iterable[Reply]:
            return [fragments(json.dumps(reply(request, "success", pad="ü" * 3000), ensure_ascii=False).encode(), 1)]

        fake.script["message"] = crumbled
        assert (await bed.ask(WAITING))["pad"] == "ü" * 3000


async def test_fragments_of_2800_bytes(janus: Janus) -> None:
    """Where Janus itself cuts."""
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach()
        for size in (2_700, 2_800, 5_600, 1_000_000):
            answer = await bed.message(handle, {"do": "big", "size": size})
            assert answer["plugindata"]["data"]["pad"] == "x" * size


async def test_flood(janus: Janus) -> None:
    """Of one gateway, beside another: who asks the other one is answered meanwhile."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": janus.url, "flood": fake.url}) as bed:
        await bed.ready()
        await bed.ready("flood")
        noise = frame(TEXT, b'{"janus":"event","session_id":1,"sender":2,"plugindata":{}}') * 1000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_flood, fake, noise)
            await bed.until(lambda: len(bed.events) > 1000)
            with in_time(10):
                for _ in range(100):
                    await bed.ask(PING)
            nursery.cancel_scope.cancel()
        events = len(bed.events)
        assert bed.stats.get("events") == events


async def _flood(fake: FakeJanus, noise: bytes) -> None:
    while True:
        await fake.push(noise)
