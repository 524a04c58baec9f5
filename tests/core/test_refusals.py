"""A refusal has a reason: in its ``data``, in a line of the log, and in the counters, whatever was refused."""

import json
import logging
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from bridge.core.commands_core import Process, core_commands
from bridge.core.commands_janus import janus_commands
from bridge.core.mi import Registry
from bridge.core.stats import Stats
from bridge.errors import BridgeError, MalformedMessage
from bridge.protocol.caller import Caller, Role
from bridge.protocol.command import read_command
from bridge.protocol.plugin_types import UNKNOWN
from tests.support.callers import OPERATOR, ask
from tests.support.linkbed import running
from tests.support.mi_pairs import call, core_registry
from tests.support.ticking_janus import TickingJanus, ticking_bed

VARIABLES = "OpenSIPS does not fill variables into this string"
NAME = "Иван".encode("cp1251")
SEND = b'{"jsonrpc":"2.0","id":1,"method":"janus_send_request","params":{"janus_id":"gw","janus_command":'

REFUSED = [
    (SEND + b'{"janus":"x","display":"' + NAME + b'"}}}', 'not UTF-8 at "display": byte 0xc8 at'),
    (SEND + b'{"janus":"x","handle_id":$var(h)}}}', f'not JSON at "handle_id": >$var(h)<: {VARIABLES}'),
    (SEND + b'{"janus":"x","handle_id": $avp(a.b) }}}', f'not JSON at "handle_id": >$avp(a.b)<: {VARIABLES}'),
    (SEND + b'{"janus":"x","pin":oh,"a":1}}}', 'not JSON at "pin": >***<: Expecting value'),
    (SEND + b'{"janus":"x","a":[1,2,x]}}}', 'not JSON at "a": >x<: Expecting value'),
    (SEND + b'{"janus":"x"', "not JSON at \"janus\": Expecting ',' delimiter (byte"),
    (b"\xff", "not UTF-8: byte 0xff at 0"),
    (b"which", "not JSON: >which<: Expecting value (byte 0)"),
    (b"[" * 1000, "nested deeper than 400"),
    (b'{"id":' + b"9" * 5000 + b"}", "an integer has thousands of digits"),
    (b'{"id":[' + b"0," * 10_000 + b"0]}", "has more than 10000 elements"),
    (call("which", "[" + "[]," * 10_000 + "[]]"), "has more than 10000 elements"),
    (b"[]", "batches are not served"),
    (b"5", "a request is a JSON object"),
    (b'{"id":1,"jsonrpc":"1.0","method":"which","params":[]}', "member 'jsonrpc' is not \"2.0\""),
    (b'{"id":1,"jsonrpc":"2.0","method":5}', "member 'method' is missing, or not a string"),
    (b'{"id":1,"jsonrpc":"2.0","method":"which","params":5}', "member 'params' is neither an array nor an object"),
    (b'{"id":{},"jsonrpc":"2.0","method":"which"}', "member 'id' is neither a string nor a number"),
    (call("nope"), "no such method: see which"),
    (call("log_level", '["x"]'), "Bad type for parameter 'level'"),
    (call("log_level", "[1,2,3]"), "Too few or too many parameters"),
]


async def data_of(registry: Registry, body: bytes, caller: Caller = OPERATOR) -> str:
    try:
        answer = await ask(registry, body, caller)
    except MalformedMessage as exc:
        return exc.data or ""
    assert answer is not None
    return str(json.loads(answer)["error"]["data"])


@pytest.mark.parametrize(("body", "data"), REFUSED)
async def test_data_log_and_counter_have_it(body: bytes, data: str, caplog: pytest.LogCaptureFixture) -> None:
    registry, stats = counted()
    assert (await data_of(registry, body)).startswith(data)
    assert (stats.get("mi_refused"), stats.get("mi_errors")) == (1, 1)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert data in record.getMessage()
    assert OPERATOR.name in record.getMessage()


def counted() -> tuple[Registry, Stats]:
    stats = Stats()
    registry = Registry(stats)
    registry.add(*core_commands(registry, stats, Process("0", (), "/", 1, 0.0)))
    return registry, stats


async def test_a_role_that_is_too_low_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert await data_of(core_registry(), call("which"), Caller(Role.NONE, "uid 7"))
    assert "refused a request from uid 7: method 'which': 403" in caplog.text


async def test_a_notification_that_is_refused_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    assert await ask(core_registry(), b'{"jsonrpc":"2.0","method":"nope","params":[]}', OPERATOR) is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("command", "data"),
    [
        ('{"janus":"message","handle_id":$var(h)}', f'not JSON at "handle_id": >$var(h)<: {VARIABLES}'),
        ('{"janus":"x","display":"ж","handle_id":$var(h)}', f'not JSON at "handle_id": >$var(h)<: {VARIABLES}'),
        ('{"a":[' + "[]," * 9_000 + "0]}", "janus_command cannot be read: has more than 10000 elements"),
        ({"janus": 5}, "member 'janus' is not a string"),
        ({"janus": "destroy"}, "destroy"),
    ],
)
async def test_a_400_of_a_command_is_counted_and_logged(
    command: Any, data: str, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async with running(ticking_bed(TickingJanus()), {"gw": "ws://memory"}) as bed:
        await bed.ready()
        registry = Registry(bed.stats)
        registry.add(*janus_commands(bed.registry, unread, 1.0, lambda _: UNKNOWN))
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "janus_send_request", "params": ["gw", command]})
        assert data in await data_of(registry, body.encode())
        assert bed.stats.get("commands_invalid") == 1
        assert "gw: refused a command from " in caplog.text
        assert data in caplog.text


async def unread() -> Any:
    await trio.lowlevel.checkpoint()
    raise AssertionError


def test_what_stands_in_a_secret_member_is_not_repeated() -> None:
    with pytest.raises(BridgeError, match="apisecret") as caught:
        read_command('{"janus":"x","apisecret":hush}')
    assert "hush" not in str(caught.value)
