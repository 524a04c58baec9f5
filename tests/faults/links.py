"""What the tests of links have in common: the end of a command, and the return to normal."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest
import trio

from bridge.core.environment import LinkSettings
from bridge.errors import BridgeError, LinkDown
from tests.support.deadlines import in_time
from tests.support.linkbed import LinkBed

PING = {"janus": "ping"}
QUICK = LinkSettings(ping_interval=1.0)  # silence is 2 s then


async def error_of(command: Awaitable[object]) -> BridgeError:
    """The error that a command ends in."""
    with pytest.raises(BridgeError) as caught:
        await command
    return caught.value


async def unsent(bed: LinkBed, janus_id: str = "gw") -> str:
    """Show that a command is refused at once and unsent; returns the reason that its caller gets."""
    with trio.CancelScope() as scope:
        scope.cancel()  # so that a command which waits for anything is cancelled
        error = await error_of(bed.ask(PING, janus_id=janus_id))
    assert isinstance(error, LinkDown)
    assert error.data is not None
    return error.data


async def normal(bed: LinkBed, seconds: float, janus_id: str = "gw") -> None:
    """Show that a command is answered within so many seconds."""
    with in_time(seconds):
        await bed.ready(janus_id)
        assert (await bed.ask(PING, janus_id=janus_id))["janus"] == "pong"


@asynccontextmanager
async def in_flight(
    bed: LinkBed, *commands: Awaitable[object], janus_id: str = "gw"
) -> AsyncIterator[list[BridgeError]]:
    """Commands that are under way when the block is entered, and have failed when it ends: with these errors."""
    traffic = bed.registry.find(janus_id).requests
    errors: list[BridgeError] = []

    async def collect(command: Awaitable[object]) -> None:
        errors.append(await error_of(command))

    async with trio.open_nursery() as nursery:
        for number, command in enumerate(commands, traffic.in_flight + 1):
            nursery.start_soon(collect, command)
            await bed.until(lambda number=number: traffic.in_flight == number)  # type: ignore[misc]
        yield errors
