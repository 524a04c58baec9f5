"""The pages of the installed program beside a real Janus (contract 8.2, 8.4)."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from bridge.protocol.snapshot import OUTCOMES
from bridge.transport.pages.metrics import PREFIX, ROWS
from tests.e2e.conftest import BridgeFactory
from tests.support.bridge import Bridge
from tests.support.browser import PROGRAM, browser, open_tab
from tests.support.http_peer import Answer, Client
from tests.support.janus import GEN, Janus
from tests.support.mi_client import MiError
from tests.support.ports import free_port
from tests.support.receivers import Receiver

# What the statistic counts in, where it is not what the metric counts in.
UNITS = {"command_us": 1e6, "loop_lag_us": 1e6}
# These move while they are compared.
MOVING = {"loop_lag_us", "table_age", "mi_requests", "connect_failures", "memory_used", "tasks_used"}

PATHS = ("/", "/metrics", "/readyz", "/healthz")


async def get(bridge: Bridge, path: str, *headers: str) -> Answer:
    where = urlsplit(bridge.mi_url)
    lines = [f"GET {path} HTTP/1.1", f"Host: {where.netloc}", "Connection: close", *headers]
    async with await trio.open_tcp_stream(str(where.hostname), where.port or 80) as stream:
        client = Client(stream)
        await client.send("\r\n".join([*lines, "", ""]).encode())
        return await client.answer("GET")


async def metrics(bridge: Bridge) -> dict[str, list[tuple[dict[str, str], float]]]:
    """name without the prefix -> labels and values."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families((await get(bridge, "/metrics")).body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name.removeprefix(PREFIX), []).append((sample.labels, sample.value))
    return found


async def until_ready(bridge: Bridge, janus_id: str = "gw1") -> None:
    while ({"janus_id": janus_id}, 1) not in (await metrics(bridge))["gateway_up"]:  # noqa: ASYNC110
        await trio.sleep(0.01)


async def fails(bridge: Bridge, code: int, *arguments: Any) -> None:
    with pytest.raises(MiError) as raised:
        await bridge.send(*arguments)
    assert raised.value.code == code


async def test_metrics_and_statistics_are_the_same_figures(
    janus: Janus, bridge_factory: BridgeFactory, events: Receiver
) -> None:
    bridge = bridge_factory({"gw1": janus.url, "dead": f"janusws://127.0.0.1:{free_port()}/janus"})
    await until_ready(bridge)
    handle = (await bridge.send("gw1", {"janus": "attach", "plugin": GEN}))["data"]["id"]
    message = {"janus": "message", "handle_id": handle}
    await bridge.send("gw1", {"janus": "attach", "plugin": "no.such"})
    await bridge.send("gw1", {**message, "body": {"do": "burst", "n": 5, "size": 10}})
    await fails(bridge, 408, "gw1", {**message, "body": {"do": "hold"}}, 50)
    await fails(bridge, 400, "gw1", {"janus": "destroy"})
    await fails(bridge, 503, "dead", {"janus": "info"})
    for _ in range(5):
        await events.receive()

    found, values = await metrics(bridge), await bridge.ami("get_statistics", [["all"]])
    for row in ROWS:
        if not row.statistic:
            continue
        samples = found.get("command_seconds_sum" if row.name == "command_seconds" else row.name, [])
        if not samples:  # there may be no limit for what this process takes
            assert values[f"janus:{row.statistic}"] == -1
        elif row.statistic == "pending_*":  # to ask for the statistics takes some, too
            assert {f"janus:pending_{labels['budget']}" for labels, _ in samples} <= values.keys()
        elif row.statistic.endswith("*"):
            for outcome in OUTCOMES:
                total = sum(value for labels, value in samples if labels["outcome"] == outcome)
                assert total == values[f"janus:{row.statistic[:-1]}{outcome}"]
        else:
            total = sum(value for _, value in samples) * UNITS.get(row.statistic, 1)
            if row.statistic in MOVING:
                assert f"janus:{row.statistic}" in values
            else:
                assert total == pytest.approx(values[f"janus:{row.statistic}"], rel=0.001), row.name
    expected = {"answered": 2, "error": 1, "timeout": 1, "invalid": 1, "unsent": 1}
    assert {one: values[f"janus:commands_{one}"] for one in expected} == expected
    assert (values["janus:events"], values["janus:events_sent"], values["janus:handles"]) == (5, 5, 1)
    assert found["event_drops_total"]
    assert found["process_open_fds"]


async def test_a_reset_of_statistics_takes_nothing_from_the_metrics(bridge: Bridge) -> None:
    await until_ready(bridge)
    await bridge.send("gw1", {"janus": "info"})
    await bridge.ami("reset_statistics", [["commands_answered", "commands"]])
    found = await metrics(bridge)
    assert ({"janus_id": "gw1", "outcome": "answered"}, 1) in found["commands_total"]
    assert found["commands_accepted_total"] == [({}, 1)]
    assert (await bridge.ami("get_statistics", [["commands"]])) == {"janus:commands": 0}


async def test_readiness_is_never_about_one_gateway(bridge_factory: BridgeFactory) -> None:
    bridge = bridge_factory({"dead": f"janusws://127.0.0.1:{free_port()}/janus"})
    answer = await get(bridge, "/readyz")
    assert answer.status == 200
    assert re.fullmatch(rb"ready\ntable fresh \(read \d+ s ago\)\n", answer.body)
    assert (await get(bridge, "/healthz")).body == b"ok\n"


async def test_readiness_names_a_table_that_cannot_be_read(bridge_factory: BridgeFactory) -> None:
    url = f"mysql://opensips:secret@127.0.0.1:{free_port()}/opensips"
    bridge = bridge_factory({}, **{"janus.janus_db_url": url})
    answer = await get(bridge, "/readyz")
    assert answer.status == 200
    assert answer.body.startswith(b"ready\ntable none: ")
    for path in PATHS:
        assert b"secret" not in (await get(bridge, path)).body
    assert (await metrics(bridge))["table_fresh"] == [({}, 0)]
    assert "table_age_seconds" not in await metrics(bridge)


async def test_the_token_guards_all_but_health(janus: Janus, bridge_factory: BridgeFactory) -> None:
    bridge = bridge_factory({"gw1": janus.url}, **{"mi.token": "open-sesame"})
    statuses = {path: (await get(bridge, path)).status for path in PATHS}
    assert statuses == {"/": 401, "/metrics": 401, "/readyz": 401, "/healthz": 200}
    shown = {path: (await get(bridge, path, "Authorization: Bearer open-sesame")).status for path in PATHS}
    assert set(shown.values()) == {200}


async def test_allow_guards_all_but_health(janus: Janus, bridge_factory: BridgeFactory) -> None:
    bridge = bridge_factory({"gw1": janus.url}, **{"mi.allow": ["10.0.0.0/8"]})
    statuses = {path: (await get(bridge, path)).status for path in PATHS}
    assert statuses == {"/": 403, "/metrics": 403, "/readyz": 403, "/healthz": 200}


async def test_nothing_secret_is_shown(janus: Janus, bridge_factory: BridgeFactory) -> None:
    bridge = bridge_factory({"gw1": f"{janus.url}?token=url-secret"}, **{"janus.gateways.gw1.api_secret": "api-secret"})
    await until_ready(bridge)
    created = await bridge.send("gw1", {"janus": "create"})
    session = str(created["data"]["id"])
    for path in PATHS:
        body = (await get(bridge, path)).body.decode()
        assert not re.search(f"url-secret|api-secret|{session}", body), path
    assert f"{session[:4]}..." in (await get(bridge, "/")).body.decode()


@pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")
async def test_a_gateway_is_seen_to_come_and_go(bridge: Bridge, tmp_path: Path) -> None:
    await until_ready(bridge)
    with browser() as devtools:
        async with open_tab(devtools) as tab:
            await tab.go(bridge.mi_url.removesuffix("mi"))
            assert await tab.evaluate("document.title") == "1/1 ready – janus-bridge"
            await tab.screenshot(tmp_path / "status.png")
            assert (tmp_path / "status.png").stat().st_size > 10_000
            bridge.kill()
            await tab.becomes("document.getElementById('live').textContent.startsWith('No answer since')")
    bridge.start()
