"""What is configured for single gateways, in the hands of the links."""

from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.config import Config, load
from bridge.daemon import gateways as module
from bridge.daemon.gateways import Gateways
from bridge.protocol.gateway import TableRow, read_rows
from bridge.transport.batch import Batch


async def test_attempts_begin_one_a_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch, batch: Batch) -> None:
    turn, begun = 0, []

    async def attempt(url: Any, *_: Any, **__: Any) -> str:
        await trio.lowlevel.checkpoint()
        begun.append((turn, url.port))
        return "ended"

    monkeypatch.setattr(module, "open_and_run", attempt)
    connect: Any = Gateways(load(None, [], {"HOME": "/nowhere"}), batch).connect
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
                attempts.start_soon(connect, gateway, None, None, 0)
        nursery.cancel_scope.cancel()
    assert sorted(port for _, port in begun) == list(range(1, 21))
    assert max(sum(at == one for at, _ in begun) for one, _ in begun) <= 2


async def test_what_the_upgrade_request_says_is_news_in_a_reload(tmp_path: Path, batch: Batch) -> None:
    (tmp_path / "ca.pem").write_text("one")

    def config(**values: str) -> Config:
        return load(None, [f"janus.gateways.gw.{key}={value}" for key, value in values.items()], {"HOME": "/nowhere"})

    gateways = Gateways(config(), batch)
    for values in (
        {"origin": '"https://a.example"'},
        {"origin": '"https://b.example"'},
        {"headers": '{Cookie = "a=b"}'},
        {"tls_server_name": '"a.example"'},
        {"tls_ca": f'"{tmp_path}/ca.pem"'},
    ):
        assert gateways.changed(config(**values)) == {"gw"}
        assert gateways.changed(config(**values)) == set()
    (tmp_path / "ca.pem").write_text("two")
    assert gateways.changed(config(**values)) == {"gw"}
