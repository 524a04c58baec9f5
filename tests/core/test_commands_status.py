"""The MI method janus_recent against its schema; janus_status is asked of a real bridge (tests/cli/test_status)."""

import json
from array import array
from typing import Any

import jsonschema
import pytest

from bridge.core.commands_status import status_commands
from bridge.core.mi import Registry
from bridge.core.stats import Stats
from bridge.protocol.snapshot import GatewayRecentSnapshot, RecentSnapshot
from bridge.resources import schema
from tests.support.callers import OPERATOR
from tests.support.callers import ask as ask_mi
from tests.support.snapshots import figures, gateway

NAN = float("nan")
RECENT = RecentSnapshot(
    *(array("f", column) for column in ([1, 2], [NAN, 0.0004], [NAN, 0.003], [0, 1], [0, 0], [0.1, 0]))
)


async def ask(*params: Any) -> Any:
    gateways = [gateway(f"gw{number}") for number in range(120)]
    gateways[7] = gateway(
        "gw7", state="backoff", rtt=None, last_error="refused",
        recent=GatewayRecentSnapshot(*(array("f", column) for column in ([3, 1], [0, 0], [0.001, NAN]))),
    )  # fmt: skip
    registry = Registry(Stats())
    registry.add(*status_commands(lambda: figures(gateways, recent=RECENT)))
    request = {"jsonrpc": "2.0", "id": 1, "method": "janus_recent", "params": list(params)}
    return json.loads(await ask_mi(registry, json.dumps(request).encode(), OPERATOR) or b"")


@pytest.mark.parametrize(("params", "rows"), [((), 120), (("gw7",), 1)])
async def test_the_result_is_as_its_schema_says(params: tuple[str, ...], rows: int) -> None:
    result = (await ask(*params))["result"]
    jsonschema.validate(
        result,
        schema("result-janus_recent"),
        jsonschema.Draft202012Validator,
        format_checker=jsonschema.FormatChecker(),
    )
    assert len(result["Gateways"]) == rows
    assert result["Bridge"]["commands"] == [1.0, 2.0]
    assert result["Bridge"]["p50_ms"] == [None, 0.4]
    [row] = [one for one in result["Gateways"] if one["janus_id"] == "gw7"]
    assert (row["state"], row["p99_ms"], row["rtt_ms"]) == ("backoff", None, None)
    assert ("Recent" in row) == bool(params)
    if params:
        assert row["Recent"] == {"commands": [3.0, 1.0], "events": [0.0, 0.0], "p99_ms": [1.0, None]}


async def test_a_gateway_that_is_not_there() -> None:
    assert (await ask("gw999"))["error"]["code"] == 404
