"""What is configured for single gateways, in the hands of the links."""

from typing import Any

import pytest
import trio

from bridge.config import load
from bridge.daemon import gateways as module
from bridge.daemon.gateways import Gateways
from bridge.protocol.gateway import TableRow, read_rows


async def test_attempts_begin_one_a_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, begun = 0, []

    async def attempt(url: Any, *_: Any) -> str:
        await trio.lowlevel.checkpoint()
        begun.append((turn, url.port))
        return "ended"

    monkeypatch.setattr(module, "open_and_run", attempt)
    connect: Any = Gateways(load(None, [], {"HOME": "/nowhere"})).connect
    found, _ = read_rows(TableRow(port, f"gw{port}", f"janusws://h:{port}") for port in range(1, 21))
    async with trio.open_nursery() as nursery:

        async def count() -> None:
            nonlocal turn
            while True:
                await trio.lowlevel.checkpoint()
                turn += 1

        nursery.start_soon(count)
        async with trio.open_nursery() as attempts:
            for gateway in found.values():
                attempts.start_soon(connect, gateway, None, None)
        nursery.cancel_scope.cancel()
    assert sorted(port for _, port in begun) == list(range(1, 21))
    assert max(sum(at == one for at, _ in begun) for one, _ in begun) <= 2
