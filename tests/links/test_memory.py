"""What waits costs about its bytes: requests are kept as they are sent, not as values of twenty times the size."""

import gc
import json
from typing import Any

import pytest
import trio

from bridge.core.commands_janus import janus_commands
from bridge.core.mi import MiRequest, Registry
from bridge.core.pending import PendingRequest
from bridge.errors import LinkDown
from bridge.protocol.budget import Budget
from bridge.protocol.command import JanusCommand
from bridge.protocol.plugin_types import UNKNOWN
from bridge.transport.mi_ask import ask
from tests.support.callers import OPERATOR
from tests.support.fake_janus import SILENCE, open_fake_janus
from tests.support.linkbed import LinkBed, running

COMMANDS, ELEMENTS = 4, 2_000  # "[],": 6,000 bytes a command, 140,000 as values; more elements are refused


@pytest.mark.slow
async def test_a_command_that_waits_holds_its_bytes_and_not_its_values() -> None:
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed, trio.open_nursery() as nursery:
        await bed.ready()
        fake.script["message"] = lambda _: SILENCE
        registry = Registry(bed.stats)

        async def no_reload() -> Any:
            raise AssertionError

        registry.add(*janus_commands(bed.registry, no_reload, 60.0, lambda _: UNKNOWN))
        link = await bed.ready()

        async def send(elements: int) -> None:
            in_flight = link.requests.in_flight
            command = {"janus": "message", "handle_id": 7, "body": {"x": [[]] * elements}}
            request = {"jsonrpc": "2.0", "id": 1, "method": "janus_send_request", "params": ["gw", command]}
            nursery.start_soon(ask, registry.dispatch, json.dumps(request, separators=(",", ":")).encode(), OPERATOR)
            del command, request
            await bed.until(lambda: link.requests.in_flight > in_flight)

        await send(1)  # it is sent and never answered: the others wait behind it
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(COMMANDS):
            await send(ELEMENTS)
        gc.collect()
        assert len(gc.get_objects()) - before < COMMANDS * ELEMENTS / 10
        nursery.cancel_scope.cancel()


async def test_nothing_is_left_of_a_command_that_is_over() -> None:
    """Not until the garbage collector comes, nor until its time limit: its bytes are in no budget any more."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        registry = Registry(bed.stats)

        async def no_reload() -> Any:
            raise AssertionError

        registry.add(*janus_commands(bed.registry, no_reload, 60.0, lambda _: UNKNOWN))
        link = await bed.ready()
        command = {"janus": "message", "handle_id": 7, "body": {}}
        request = {"jsonrpc": "2.0", "id": 1, "method": "janus_send_request", "params": ["gw", command]}
        body = json.dumps(request).encode()
        gc.collect()
        gc.disable()
        try:
            assert await ask(registry.dispatch, body, OPERATOR)
            fake.script["message"] = lambda _: SILENCE
            with trio.move_on_after(0) as caller:  # one that is sent, and one behind it; both callers leave
                async with trio.open_nursery() as nursery:
                    for _ in range(2):
                        nursery.start_soon(ask, registry.dispatch, body, OPERATOR)
                    await bed.until(lambda: link.requests.in_flight == 2)
                    caller.cancel()
            await bed.until(lambda: link.requests.in_flight == 1)
            link.requests.close(LinkDown("over"))
            await trio.lowlevel.checkpoint()
            left = [item for item in gc.get_objects() if type(item) in (MiRequest, PendingRequest, JanusCommand)]
            assert left == []
        finally:
            gc.enable()


async def test_a_notification_is_counted_until_it_is_over() -> None:
    """Nobody waits for it: its bytes would else be held beyond any budget, a thousand a gateway."""
    async with open_fake_janus() as fake, running(LinkBed(), {"gw": fake.url}) as bed:
        await bed.ready()
        fake.script["message"] = lambda _: SILENCE
        budget = Budget(2**20)
        registry = Registry(bed.stats, budget)

        async def no_reload() -> Any:
            raise AssertionError

        registry.add(*janus_commands(bed.registry, no_reload, 60.0, lambda _: UNKNOWN))
        command = {"janus": "message", "handle_id": 7, "body": {"x": "x" * 10_000}}
        request = {"jsonrpc": "2.0", "method": "janus_send_request", "params": ["gw", command]}
        body = json.dumps(request).encode()
        for number in range(1, 4):
            assert await ask(registry.dispatch, body, OPERATOR) is None
            assert number * len(body) < budget.used < number * (len(body) + 4096)
        bed.reconcile({})
        assert await ask(registry.dispatch, body, OPERATOR) is None  # refused: there is no such gateway any more
        await bed.until(lambda: budget.used == 0)
