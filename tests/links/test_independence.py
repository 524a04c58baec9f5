"""Two hundred gateways of which half are refused, black-holed, flooding or no Janus at all (contract 5.2)."""

from collections import Counter
from contextlib import AsyncExitStack

import trio

from bridge.core.environment import LinkSettings
from tests.support.deadlines import crowding
from tests.support.fake_janus import FakeJanus, Greeting, open_fake_janus
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running
from tests.support.ports import free_port

GOOD = 100
COMMANDS = 20  # of each good gateway
BAD_GREETINGS = (Greeting.SILENCE, Greeting.CLOSE, Greeting.HALF, Greeting.GARBAGE, Greeting.UPGRADE_THEN_CLOSE)
# 192.0.2.0/24 is reserved for documentation: nobody answers there, and nobody refuses (RFC 5737).
NOWHERE = "ws://192.0.2.1"
EVENT = {"janus": "event", "session_id": 1, "sender": 2, "pad": "x" * 100}


async def flood(fake: FakeJanus) -> None:
    """As much as the bridge reads, on every connection."""
    while True:
        await fake.wait_until(lambda: bool(fake.peers))
        await fake.push(*[EVENT] * 100)
        await trio.lowlevel.checkpoint()


async def test_half_of_two_hundred_are_bad_and_the_others_do_not_notice(janus: Janus) -> None:
    bed = LinkBed(settings=LinkSettings(ping_interval=2 * crowding()))
    good = [f"good {n}" for n in range(GOOD)]
    rows = dict.fromkeys(good, janus.url)
    async with AsyncExitStack() as stack:
        for n in range(60):
            fake = await stack.enter_async_context(open_fake_janus())
            fake.greeting = BAD_GREETINGS[n % len(BAD_GREETINGS)]
            rows[f"bad {n}"] = fake.url
        rows |= {f"refused {n}": f"ws://127.0.0.1:{free_port()}" for n in range(30)}
        rows |= {f"nowhere {n}": NOWHERE for n in range(6)}
        floods = [await stack.enter_async_context(open_fake_janus()) for _ in range(4)]
        rows |= {f"flooding {n}": fake.url for n, fake in enumerate(floods)}
        async with trio.open_nursery() as nursery, running(bed, rows):
            for fake in floods:
                nursery.start_soon(flood, fake)
            for name in good:
                await bed.ready(name)
            answered: Counter[str] = Counter()

            async def use(name: str) -> None:
                for _ in range(COMMANDS):
                    assert (await bed.ask({"janus": "ping"}, janus_id=name))["janus"] == "pong"
                    answered[name] += 1

            async with trio.open_nursery() as users:
                for name in good:
                    users.start_soon(use, name)
            assert answered == dict.fromkeys(good, COMMANDS)
            assert len(bed.events) > 1000  # meanwhile
            # None of them was left, lost or even late for Janus.
            assert Counter(name for name, *_ in bed.statuses if name in answered) == dict.fromkeys(good, 1)
            assert [name for name in good if bed.registry.find(name).last_error] == []
            nursery.cancel_scope.cancel()
