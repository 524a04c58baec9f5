"""What the janus methods refuse before any Janus is asked (contract 6.4)."""

import json
from typing import Any

import pytest

from bridge.core.commands_janus import MAX_TIMEOUT, janus_commands
from bridge.core.mi import Registry
from bridge.core.registry import TableChanges
from bridge.protocol.plugin_types import UNKNOWN
from tests.support.callers import OPERATOR, ask
from tests.support.linkbed import LinkBed, running
from tests.support.memory_janus import MemoryJanus

BAD_TIMEOUT = {"code": -32602, "message": "Invalid params", "data": "Bad type for parameter 'timeout'"}


async def refusal(method: str, params: dict[str, Any]) -> Any:
    """The error that a registry without any gateway answers."""

    async def reload() -> tuple[TableChanges, list[str]]:
        raise AssertionError("nobody asked for a reload")

    bed = LinkBed()
    registry = Registry(bed.stats)
    registry.add(*janus_commands(bed.registry, reload, 5.0, lambda _janus_id: UNKNOWN))
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    error = json.loads(await ask(registry, json.dumps(request).encode(), OPERATOR) or b"")["error"]
    return {member: error[member] for member in ("code", "message", "data") if member in error}


@pytest.mark.parametrize(
    ("timeout", "bad"), [(-1, True), (0, True), (1, False), (MAX_TIMEOUT, False), (MAX_TIMEOUT + 1, True)]
)
async def test_timeout_has_its_limits(timeout: int, bad: bool) -> None:
    params = {"janus_id": "none", "janus_command": {"janus": "ping"}, "timeout": timeout}
    error = await refusal("janus_send_request", params)
    assert error == BAD_TIMEOUT if bad else (error["code"], error["message"]) == (404, "Unknown Janus ID")


@pytest.mark.parametrize("method", ["janus_list", "janus_reconnect"])
async def test_unknown_janus_id_is_named(method: str) -> None:
    error = await refusal(method, {"janus_id": "none"})
    assert (error["code"], error["message"]) == (404, "Unknown Janus ID")


async def test_secrets_of_gateways_that_are_not_there_are_no_reason_to_connect() -> None:
    janus = MemoryJanus(reclaim=False)
    async with running(LinkBed(connector=janus.connect), {"bad": "http://h"}) as bed:
        bed.registry.credentials_changed({"nobody", "bad"})
        assert bed.registry.find("bad").shown_state == "disabled"
        assert janus.connects == 0
