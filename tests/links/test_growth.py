"""No single turn of the loop grows with what there is to show: counted in calls of our functions, not in seconds."""

import os
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import trio

import bridge
from bridge.core.commands_janus import janus_commands
from bridge.core.mi import Registry
from bridge.daemon.held import HeldSockets
from bridge.protocol.gateway import Gateway
from bridge.protocol.plugin_types import UNKNOWN
from bridge.protocol.reply_socket import ReplySocket
from bridge.protocol.session import SavedSession
from bridge.transport.fd_store import FdStore, base_of
from bridge.transport.pages import pages
from bridge.transport.systemd import Notifier
from tests.support.callers import OPERATOR, ask
from tests.support.linkbed import LinkBed, running
from tests.support.metrics_bed import MetricsBed

OURS = bridge.__path__[0]
LIMIT = 10_000  # calls of functions and generators of ours in one turn: less than 10 ms


class Turns(trio.abc.Instrument):
    """The most calls of our functions in one run of a task between two checkpoints."""

    def __init__(self) -> None:
        self.most = 0
        self._calls = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._calls = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.most = max(self.most, self._calls)

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            self._calls += 1

    @contextmanager
    def counting(self) -> Iterator[None]:
        self.most = 0
        trio.lowlevel.add_instrument(self)
        sys.setprofile(self._count)
        try:
            yield
        finally:
            sys.setprofile(None)
            trio.lowlevel.remove_instrument(self)


async def ask_everything(bed: LinkBed, collector: MetricsBed) -> int:
    """Every page, and janus_list; the most work of one turn."""

    async def no_reload() -> Any:
        raise AssertionError

    registry = Registry(bed.stats)
    registry.add(*janus_commands(bed.registry, no_reload, 5.0, lambda _: UNKNOWN))
    turns = Turns()
    with turns.counting():
        for page in ("/", "/metrics", "/readyz"):
            reply = pages(collector.metrics.figures)[page](b"")
            if not isinstance(reply, tuple):
                await reply
        await ask(registry, b'{"jsonrpc":"2.0","id":1,"method":"janus_list"}', OPERATOR)
    return turns.most


@pytest.mark.slow
async def test_two_hundred_and_fifty_six_subscribers() -> None:
    async with running(LinkBed(), {}) as bed, trio.open_nursery() as nursery:
        collector = MetricsBed(bed)
        await nursery.start(collector.evi.run)
        for number in range(256):
            collector.evi.subscribe("E_JANUS_EVENT", ReplySocket.parse(f"udp:127.0.0.1:{20_000 + number}"), 100)
        assert await ask_everything(bed, collector) < LIMIT
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_ten_thousand_sessions_of_one_gateway() -> None:
    url = "http://h/"  # a row that never connects
    bed = LinkBed(saved={("gw", url): {n: SavedSession(n, managed=False) for n in range(1, 10_001)}})
    async with running(bed, {"gw": url}):
        assert await ask_everything(bed, MetricsBed(bed)) < LIMIT


@pytest.mark.slow
async def test_a_thousand_gateways() -> None:
    async with running(LinkBed(), {f"gw{n}": "http://h/" for n in range(1000)}) as bed:
        assert await ask_everything(bed, MetricsBed(bed)) < LIMIT


@pytest.mark.skipif(sys.gettrace() is not None, reason="coverage and debuggers take memory of their own")
def test_one_gateway_that_is_ready_looks_at_no_other() -> None:
    """Of a thousand that are held: else a restart takes as many looks as their square."""
    store = FdStore(Notifier({}), {})
    gateways = [Gateway(number, f"gw{number}", "ws://a/janus", None) for number in range(300)]
    with open(os.devnull, "rb") as null:
        for gateway in gateways:
            store.hold(f"{base_of(gateway.janus_id, gateway.janus_url)}.1", null.fileno())
    held = HeldSockets(store, lambda *_: None, list, lambda _: (), lambda _: None)
    held.table(gateways)
    held.ready(gateways.pop())  # the first of everything takes more
    tracemalloc.start()
    try:
        held.ready(gateways.pop())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        for gateway in gateways:
            held.ready(gateway)
    assert most < 8192  # bytes; a set of 300 has 16,000
    assert store.held == []
