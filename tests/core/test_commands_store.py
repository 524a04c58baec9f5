"""event_replay and event_store_list, on a real log."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bridge.core.commands_store import FEW, MOST, store_commands
from bridge.core.mi import Registry
from bridge.protocol.event_payload import E_JANUS_EVENT
from bridge.protocol.reply_socket import ReplySocket
from bridge.resources import schema
from tests.support.callers import OPERATOR, ask
from tests.support.event_logs import Life, living, opened, pages, record

MI = ReplySocket.parse("mi:udp:h:1")
DAY = 86_400


async def call(life: Life | None, method: str, *params: Any) -> Any:
    registry = Registry()
    registry.add(*store_commands(None if life is None else life.writer))
    request = {"jsonrpc": "2.0", "id": "1", "method": method, "params": params}
    answer = json.loads(await ask(registry, json.dumps(request).encode(), OPERATOR) or b"")
    if "error" in answer:
        return answer["error"]
    jsonschema.validate(answer["result"], schema(f"result-{method}"), jsonschema.Draft202012Validator)
    return answer["result"]


async def test_a_day_of_one_gateway_in_pages(tmp_path: Path) -> None:
    """One event every 30 s from each of three gateways, over a restart; the first hour is cut."""
    life = opened(tmp_path / "events.db")
    half = DAY // 60
    day = [(n, janus_id) for n in range(2 * half) for janus_id in ("g1", "g2", "g3")]
    await life.writer.store.write(
        pages(
            *(
                record(i, at=n * 30.0, janus_id=janus_id, n=n % half + 1)._replace(epoch=7 + n // half)
                for i, (n, janus_id) in enumerate(day, 1)
            ),
            most=120,
        ),
        (),
        (),
        120 * 3,
    )
    found: list[str] = []
    lost, seq = 0, "7-1"
    while True:
        page = await call(life, "event_replay", "g2", seq, 500)
        lost, seq = lost + page["lost"], page["next"]
        if not page["Events"]:
            break
        found += [event["janus_seq"] for event in page["Events"]]
    assert found == [f"7-{n}" for n in range(121, half + 1)] + [f"8-{n}" for n in range(1, half + 1)]
    assert (lost, seq) == (120, f"8-{half + 1}")
    life.writer.close()


async def test_what_an_event_looks_like_and_how_many_come(tmp_path: Path) -> None:
    async with living(opened(tmp_path / "events.db")) as life:
        life.janus(*range(1, MOST + 50))
        life.evi.gateway_status("g1", "u", "connected", "", "{}")
        await life.stored()
        assert len((await call(life, "event_replay", "g1", "0-0"))["Events"]) == FEW
        assert len((await call(life, "event_replay", "g1", "0-0", MOST))["Events"]) == MOST
        page = await call(life, "event_replay", "g1", f"7-{MOST + 49}")
        (first, second) = page["Events"]
        assert first["name"] == E_JANUS_EVENT
        assert list(first["params"]) == ["janus_id", "janus_url", "janus_body"]
        assert second["params"]["status"] == "connected"
        assert page["next"] == f"7-{MOST + 51}"
        assert (await call(life, "event_replay", "none", "7-5"))["Events"] == []


@pytest.mark.parametrize("seq", ["", "7", "7-", "-7", "7-1-1", "x-1", "7-1.lost", "9" * 20 + "-1"])
async def test_what_is_no_number(tmp_path: Path, seq: str) -> None:
    assert (await call(None, "event_replay", "g1", seq))[
        "data"
    ] == "Bad type for parameter 'from_seq': it is EPOCH-N, as 0-0"


async def test_limits_and_no_log() -> None:
    for limit in (0, -1, MOST + 1):
        assert (await call(None, "event_replay", "g1", "7-1", limit))["code"] == -32602
    for method, params in (("event_replay", ("g1", "7-1")), ("event_store_list", ())):
        error = await call(None, method, *params)
        assert (error["code"], error["message"]) == (503, "Events are not kept")


async def test_what_the_log_has(tmp_path: Path) -> None:
    async with living(opened(tmp_path / "events.db")) as life:
        life.evi.configure([(E_JANUS_EVENT, MI)])
        life.sender(MI).up = False
        life.janus(1, 2, 3)
        life.janus(1, janus_id="g2")
        await life.stored()
        listed = await call(life, "event_store_list")
    assert listed["Store"]["events"] == 4
    assert listed["Gateways"] == [
        {"janus_id": "g1", "first": "7-1", "last": "7-3"},
        {"janus_id": "g2", "first": "7-1", "last": "7-1"},
    ]
    assert listed["Subscribers"] == [{"subscriber": "mi:udp:h:1", "behind": 4, "position": 0}]
