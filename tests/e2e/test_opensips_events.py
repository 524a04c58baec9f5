"""Events in a real OpenSIPS: raised through its mi_datagram; and its event_datagram's bytes beside the bridge's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.conftest import BridgeFactory
from tests.e2e.test_main_job import attach, message, ready
from tests.support.bridge import Bridge
from tests.support.janus import Janus
from tests.support.opensips import NEEDS_OPENSIPS, OpenSips, needs_modules
from tests.support.rabbitmq import Message, RabbitMq
from tests.support.receivers import Receiver, udp_receiver, unix_receiver

pytestmark = NEEDS_OPENSIPS

EVENT_ROUTE = 'loadmodule "event_route.so"'


@pytest.fixture
def opensips(tmp_path: Path) -> Iterator[OpenSips]:
    """event_route.cfg, with an event_datagram of its own to compare."""
    more = {EVENT_ROUTE: f'{EVENT_ROUTE}\nloadmodule "event_datagram.so"'}
    with OpenSips(tmp_path / "opensips", "event_route.cfg", replace=more) as started:
        yield started


@pytest.fixture
def raising(bridge_factory: BridgeFactory, janus: Janus, opensips: OpenSips) -> Bridge:
    """A bridge whose events go into that OpenSIPS, as the head of the example says."""
    socket = f"mi:udp:127.0.0.1:{opensips.mi_port}"
    subscribers = [{"event": event, "socket": socket} for event in ("E_JANUS_EVENT", "E_JANUS_STATUS")]
    return bridge_factory({"gw1": janus.url}, **{"events.subscribers": subscribers})


async def say(bridge: Bridge, handle: Any, words: dict[str, Any]) -> None:
    await bridge.send("gw1", message(handle, {"do": "say", "json": words}))


async def test_an_event_of_janus_runs_the_event_route(raising: Bridge, janus: Janus, opensips: OpenSips) -> None:
    await opensips.until_logged("gw1 is connected")
    handle = await attach(raising)
    await say(raising, handle, {"name": 'Zoë "/" \\', "wide": 1 << 40})
    line = await opensips.until_logged(f"gw1 ({janus.url}) ")
    assert re.search(rf" \d+-\d+: event from handle {handle}$", line)  # janus_seq; the handle with all its digits
    line = await opensips.until_logged(f"handle {handle}: {{")
    words = json.loads(line[line.index("{") :])
    assert words == {"name": 'Zoë "/" \\', "wide": str(1 << 40)}
    await say(raising, handle, {"long": "x" * 20_000})
    await opensips.until_logged(f'handle {handle}: {{"long":"xxx')


async def test_opensips_away_and_back(raising: Bridge, opensips: OpenSips) -> None:
    await ready(raising)
    handle = await attach(raising)
    await say(raising, handle, {"n": 1})
    await opensips.until_logged('{"n":1}')
    opensips.stop()
    for n in range(2, 5):
        await say(raising, handle, {"n": n})  # commands go on meanwhile
    opensips.start()
    for n in range(2, 5):
        await opensips.until_logged(f'{{"n":{n}}}')
    numbers = re.findall(r" (\d+-\d+): event from", opensips.log)
    assert len(set(numbers)) == len(numbers)  # copies, where there were any, were left out


async def test_a_copy_of_an_event_is_left_out(opensips: OpenSips) -> None:
    def event(number: int) -> list[str]:
        body = json.dumps({"janus": "webrtcup", "sender": str(number)})
        values = {"janus_id": "gw1", "janus_url": "u", "janus_body": body, "janus_seq": f"1-{number}"}
        return ["E_JANUS_EVENT", json.dumps(values)]

    await opensips.until_subscribed()
    for number in (1, 1, 1, 2):
        assert await opensips.mi("raise_event", event(number)) == "OK"
    await opensips.until_logged("handle 1: media flows")
    await opensips.until_logged("handle 2: media flows")
    assert opensips.log.count("handle 1: media flows") == 1


TEXTS = [
    "",
    "Zoë € 😀 \u2028\u2029\ufeff\x7f\x80",
    'quote " apostrophe \' backslash \\ slash / <a href="x">&amp;</a>',
    "".join(map(chr, range(1, 32))),
    '{"janus":"event","sdp":"v=0\\r\\n","path":"\\/a\\\\b","n":null}',
    "5363881119604597",
    "x" * 30_000,
]


@pytest.mark.parametrize("kind", ["udp", "unix"])
async def test_a_datagram_is_byte_for_byte_that_of_event_datagram(
    kind: str, bridge_factory: BridgeFactory, janus: Janus, opensips: OpenSips, tmp_path: Path
) -> None:
    bridge = bridge_factory({"gw1": janus.url}, **{"events.allow_unix": [f"{tmp_path}/*"]})
    with receiver(kind, tmp_path / "a") as of_bridge, receiver(kind, tmp_path / "b") as of_opensips:
        await bridge.ami("event_subscribe", ["E_JANUS_EVENT", of_bridge.name])
        await opensips.until_subscribed()
        assert await opensips.mi("event_subscribe", ["E_JANUS_EVENT", of_opensips.name]) == "OK"
        await ready(bridge)
        handle = await attach(bridge)
        await say(bridge, handle, {"said": TEXTS[2] + TEXTS[1], "n": [1, -5, 0.5, 1 << 40, None, True]})
        from_janus = await of_bridge.receive()
        values = json.loads(from_janus)["params"]
        await opensips.mi("raise_event", ["E_JANUS_EVENT", json.dumps(values)])
        assert await of_opensips.receive() == from_janus

        for text in TEXTS:
            for params in ({"janus_id": text, "janus_url": "u", "n": 7, "janus_body": text}, {"é": text}):
                await compare(bridge, opensips, of_bridge, of_opensips, params)
        await compare(bridge, opensips, of_bridge, of_opensips, None)


async def compare(bridge: Bridge, opensips: OpenSips, of_bridge: Receiver, of_opensips: Receiver, params: Any) -> None:
    """Raise the same event by the MI of both."""
    given = [] if params is None else [json.dumps(params)]
    for mi in (bridge.ami, opensips.mi):
        assert await mi("raise_event", ["E_JANUS_EVENT", *given]) == "OK"
    assert await of_bridge.receive() == await of_opensips.receive()


@needs_modules("rabbitmq_consumer")
async def test_out_of_a_rabbitmq_runs_the_event_route(
    bridge_factory: BridgeFactory, janus: Janus, rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    """rabbitmq_consumer.cfg; a copy is left out."""
    queue = rabbitmq.queue()
    subscriber = {"event": "E_JANUS_EVENT", "socket": f"rabbitmq:{rabbitmq.place}/{queue}"}
    options = {"events.store": True, "events.numbered": True, "events.subscribers": [subscriber]}
    bridge = bridge_factory({"gw1": janus.url}, **options)
    await ready(bridge)
    handle = await attach(bridge)
    await say(bridge, handle, {"n": 1})
    messages: list[Message] = []
    while not messages:
        messages = await trio.to_thread.run_sync(rabbitmq.take, queue)
    with rabbitmq.channel() as channel:
        for _ in range(2):
            channel.basic_publish("", queue, json.dumps(messages[0].body))
    here = {"amqp://opensips:secret@127.0.0.1; queue = janus-opensips": f"{rabbitmq.url}; queue = {queue}"}
    with OpenSips(tmp_path / "opensips", "rabbitmq_consumer.cfg", replace=here) as opensips:
        line = await opensips.until_logged(f"event from handle {handle}")
        assert re.search(r"gw1 \d+-2: event", line)
        await say(bridge, handle, {"n": 2})
        await opensips.until_logged(f"-3: event from handle {handle}")
        assert opensips.log.count(f"-2: event from handle {handle}") == 1


def receiver(kind: str, path: Path) -> Any:
    return udp_receiver() if kind == "udp" else unix_receiver(path)
