"""An Event Interface with its real senders, on a clock that moves only when it is told to."""

import ipaddress
import json
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trio
from trio.testing import MockClock

from bridge.core.event_sender import DeliverySnapshot
from bridge.core.evi import EventInterface
from bridge.core.stats import Stats
from bridge.errors import ConnectFailed
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses
from bridge.transport.event_senders import open_sender
from tests.support.deadlines import HANG_SECONDS

URL = "janusws://127.0.0.1:8188/janus"
REAL_SECONDS = HANG_SECONDS


def no_tls(domain: str, host: str) -> tuple[ssl.SSLContext, str]:
    """Nothing is configured of it."""
    raise ConnectFailed(f"no domain {domain}")


class Bridge:
    """An Event Interface as the daemon makes it."""

    def __init__(self, clock: MockClock) -> None:
        self.clock = clock
        self.addresses = Addresses([ipaddress.ip_network("127.0.0.0/8")], lambda socket: self.evi.is_configured(socket))
        self.evi = EventInterface(lambda socket: open_sender(socket, self.addresses, no_tls), Stats())

    async def raise_events(self, first: int, last: int) -> None:
        for number in range(first, last):
            self.evi.gateway_event("g1", URL, f'{{"janus":"event","n":{number},"pad":"{"x" * 150}"}}')
            if number % 100 == 0:
                await trio.lowlevel.checkpoint()

    def figures(self, name: str) -> DeliverySnapshot:
        (found,) = [item for item in self.evi.figures() if item.subscriber == name]
        return found

    def subscribe(self, *wanted: tuple[str, str]) -> None:
        self.evi.configure([(event, ReplySocket.parse(name)) for event, name in wanted])

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for the thing itself; time stands still."""
        limit = time.monotonic() + REAL_SECONDS
        while not condition():
            assert time.monotonic() < limit, self.evi.figures()
            await trio.lowlevel.checkpoint()

    async def while_time_passes_until(self, condition: Callable[[], object]) -> None:
        """Wait for the thing itself; whenever nothing else can happen, 50 ms pass."""
        limit = time.monotonic() + REAL_SECONDS
        while not condition():
            assert time.monotonic() < limit, self.evi.figures()
            await trio.testing.wait_all_tasks_blocked()
            self.clock.jump(0.05)


def numbers(got: Iterable[Mapping[str, Any]]) -> list[int]:
    return [json.loads(item["janus_body"])["n"] for item in got if "janus_body" in item]


def losses(got: Iterable[Mapping[str, Any]]) -> list[tuple[int, str]]:
    return [(json.loads(item["detail"])["lost"], item["reason"]) for item in got if item.get("status") == "events_lost"]
