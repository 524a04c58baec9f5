"""What is large has a turn of the event loop for each of its pieces, and everybody else has his in between: counted in
turns and in bytes that are parsed or rendered, which no clock and no busy machine changes.
"""

import json
import threading
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import trio

from bridge.core.commands_janus import janus_commands
from bridge.core.mi import Registry
from bridge.protocol import codec
from bridge.protocol.codec import MAX_ELEMENTS
from bridge.protocol.gateway import Gateway
from bridge.protocol.plugin_types import UNKNOWN
from bridge.transport.http_ends import HttpLimits
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_janus import open_fake_janus
from tests.support.frames import TEXT, frame
from tests.support.http_peer import Client, post, serve
from tests.support.linkbed import LinkBed, running

EVENTS, BODIES = 3, 20
SMALL = 1 << 16  # bytes that commands beside the large ones may be in one turn
TURNS = 12  # of a good caller's command, from its bytes to those of its answer, of which it takes half


class LoopWork(trio.abc.Instrument):
    """``turns`` so far, and the ``most`` bytes of JSON that were read or made in one: those of the loop's thread."""

    def __init__(self) -> None:
        self.turns = self.most = self._now = 0
        self._thread = threading.get_ident()

    def before_io_wait(self, timeout: float) -> None:
        self.turns += 1
        self.most, self._now = max(self.most, self._now), 0

    def spend(self, data: Any) -> Any:
        """Count a text; returns it."""
        if threading.get_ident() == self._thread:
            self._now += len(data)
        return data


@pytest.fixture
async def work(monkeypatch: pytest.MonkeyPatch) -> Any:
    if not str(codec.__file__).endswith(".py"):
        pytest.skip("codec is compiled: its library cannot be replaced")
    work, refuse_many = LoopWork(), codec.refuse_many
    counted = SimpleNamespace(
        loads=lambda data: orjson.loads(work.spend(data)), dumps=lambda value: work.spend(orjson.dumps(value))
    )
    monkeypatch.setattr(codec, "orjson", counted)
    monkeypatch.setattr(codec, "refuse_many", lambda text, most: refuse_many(work.spend(text), most))
    trio.lowlevel.add_instrument(work)
    return work


class Deaf(LinkBed):
    """It does not read the events, as a subscriber elsewhere costs this loop nothing."""

    def _on_event(self, gateway: Gateway, body: str, members: dict[str, Any]) -> None:
        self.events.append({"size": len(body)})
        self._tell()


@pytest.mark.slow
async def test_janus_that_sends_four_megabytes_delays_no_other_gateway(work: LoopWork) -> None:
    large = json.dumps(
        {"janus": "event", "session_id": 1, "many": ["x" * 36] * (MAX_ELEMENTS - 9)}, separators=(",", ":")
    )
    assert 3.5 * 2**20 < len(large) < 4 * 2**20
    async with (
        open_fake_janus() as slow,
        open_fake_janus() as good,
        running(Deaf(), {"slow": slow.url, "good": good.url}) as bed,
    ):
        await bed.ready("slow")
        await bed.ready("good")
        work.most = 0
        async with trio.open_nursery() as nursery:
            for _ in range(EVENTS):
                nursery.start_soon(slow.push, frame(TEXT, large.encode()))
            took = []
            while len(bed.events) < EVENTS:
                before = work.turns
                assert (await bed.ask({"janus": "ping"}, janus_id="good"))["janus"] == "pong"
                took.append(work.turns - before)
        assert bed.events == [{"size": len(large)}] * EVENTS
        assert len(took) > 1, "it had its turns while they were read"
        assert max(took) <= TURNS
        assert work.most < len(large) + SMALL  # one is rendered in a turn, and none is parsed on the loop


async def test_bodies_of_small_elements_delay_no_other_client(work: LoopWork) -> None:
    body = b'{"jsonrpc":"2.0","id":"1","method":"janus_list","params":[' + b"0," * 2**18 + b"0]}"
    ping = b'{"jsonrpc":"2.0","id":"1","method":"janus_send_request","params":["good",{"janus":"ping"}]}'
    async with (
        open_fake_janus() as fake,
        running(LinkBed(), {"good": fake.url}) as bed,
        trio.open_nursery() as nursery,
    ):
        await bed.ready("good")
        registry = Registry(bed.stats)
        registry.add(*janus_commands(bed.registry, _no_reload, 5.0, lambda _: UNKNOWN))
        served = await serve(nursery, registry.dispatch, limits=HttpLimits(head=HANG_SECONDS))
        good, refused = await served.connect(), []

        async def end(client: Client) -> None:
            refused.append(await client.ask(post(body)[-1:]))

        clients = [await served.connect() for _ in range(BODIES)]
        for client in clients:
            await client.send(post(body)[:-1])
        await good.ask(post(ping))
        work.most = 0
        async with trio.open_nursery() as senders:
            for client in clients:  # in one turn, so that all of them are whole in the next
                senders.start_soon(end, client)
            took = []
            while len(refused) < BODIES:
                before = work.turns
                assert b'"pong"' in (await good.ask(post(ping))).body
                took.append(work.turns - before)
        assert all(b"has more than 10000 elements" in answer.body for answer in refused)
        assert len(took) > 1
        assert max(took) <= BODIES + TURNS  # it stands in one line with them, and each has a turn
        assert work.most < len(body) + SMALL  # one is looked at in a turn
        nursery.cancel_scope.cancel()


async def _no_reload() -> Any:
    raise AssertionError
