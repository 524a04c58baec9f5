"""What is there when the bridge connects, and takes for ever.

Each of them has its own deadline of seconds; so they are met side by side, which shows too that they do not add up.
"""

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
import trio

from tests.faults.links import normal, unsent
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.fake_janus import Greeting, open_fake_janus
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running
from tests.support.ports import free_port

Server = Callable[[int], AbstractAsyncContextManager[None]]
SLOW_BYTE = 0.2


@asynccontextmanager
async def greeting(what: Greeting, port: int) -> AsyncIterator[None]:
    async with open_fake_janus(port=port) as fake:
        fake.greeting = what
        yield


@asynccontextmanager
async def unanswered(port: int) -> AsyncIterator[None]:
    """Its queue of connects is full: the kernel drops the next one's SYN, as a filter in the network does."""
    with socket.socket() as listener, socket.socket() as filler:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        filler.connect(("127.0.0.1", port))
        yield


@asynccontextmanager
async def slow_loris(port: int) -> AsyncIterator[None]:
    """An upgrade that never ends, a byte now and then."""

    async def drip(stream: trio.SocketStream) -> None:
        with trio.move_on_after(HANG_SECONDS):
            for byte in b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: " + b"y" * 1000:
                try:
                    await stream.send_all(bytes([byte]))
                except trio.BrokenResourceError:
                    return
                await trio.sleep(SLOW_BYTE)

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_tcp, drip, port, host="127.0.0.1"))
        yield
        nursery.cancel_scope.cancel()


SERVERS: Mapping[str, Server] = {
    "connect": unanswered,
    "silence": partial(greeting, Greeting.SILENCE),
    "half": partial(greeting, Greeting.HALF),
    "loris": slow_loris,
}


@dataclass(frozen=True, slots=True)
class Met:
    """``reason``: what callers were told; ``seconds``: from the end of the fault until a command was answered."""

    reason: str
    seconds: float


async def meet(server: Server, url_of_healthy: str) -> Met:
    port, bed = free_port(), LinkBed()
    async with running(bed, {}):
        async with server(port):
            bed.reconcile({"gw": f"janusws://127.0.0.1:{port}/janus", "healthy": url_of_healthy})
            await normal(bed, 1, "healthy")
            link = bed.registry.find("gw")
            await bed.until(lambda: link.last_error is not None)
            reason = await unsent(bed)
        async with open_fake_janus(port=port):
            with in_time(HANG_SECONDS) as clock:
                await normal(bed, HANG_SECONDS)
            return Met(reason, clock.passed)


@pytest.fixture(scope="module")
def met(janus: Janus) -> dict[str, Met]:
    """All of them, met at the same time."""
    found: dict[str, Met] = {}

    async def one(name: str, server: Server) -> None:
        found[name] = await meet(server, janus.url)

    async def all_of_them() -> None:
        with trio.fail_after(HANG_SECONDS):
            async with trio.open_nursery() as nursery:
                for name, server in SERVERS.items():
                    nursery.start_soon(one, name, server)

    trio.run(all_of_them)
    return found


def test_connect_unanswered(met: dict[str, Met], within: float) -> None:
    assert "no answer to the tcp connect within 3 s" in met["connect"].reason.lower()
    assert met["connect"].seconds < within


def test_accepted_and_silent(met: dict[str, Met], within: float) -> None:
    assert "the WebSocket upgrade was not answered within 5 s" in met["silence"].reason
    assert met["silence"].seconds < within


def test_half_an_upgrade(met: dict[str, Met], within: float) -> None:
    assert "the WebSocket upgrade was not answered within 5 s" in met["half"].reason
    assert met["half"].seconds < within


def test_slow_loris(met: dict[str, Met], within: float) -> None:
    assert "the WebSocket upgrade was not answered within 5 s" in met["loris"].reason
    assert met["loris"].seconds < within
