"""What ``log_level 4`` shows: a line a command, at its outcome."""

import re
from typing import Any

import pytest

from bridge.core import command_log
from tests.faults.links import error_of
from tests.support.janus import GEN, Janus
from tests.support.linkbed import LinkBed, running


def message(handle: str, **body: Any) -> dict[str, Any]:
    body["secret"] = "body-secret"
    return {"janus": "message", "handle_id": handle, "token": "the-token", "transaction": "t 2", "body": body}


async def test_each_command_has_one_line_without_its_secrets(janus: Janus, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "bridge.command")
    async with running(LinkBed(), {"gw": janus.url, "disabled": "http://h"}) as bed:
        await bed.ready()
        handle = await bed.attach(GEN)
        await bed.ask(message(handle, n=1))
        await bed.ask({"janus": "attach", "plugin": "no.such", "transaction": "t3"})
        await bed.ask_in_vain(message(handle, do="late", ms=60_000))
        await error_of(bed.ask({"janus": "ping"}, janus_id="disabled"))
    lines = [
        re.sub(r"ms=\d+\.\d{3} |(?<=outcome: 408|outcome: 503) .*", "", line)
        for line in caplog.messages
        if "outcome" in line
    ]
    assert lines == [
        "gw: attach handle=- transaction=- outcome: answered",
        f"gw: message handle={handle} transaction='t 2' outcome: answered",
        "gw: attach handle=- transaction='t3' outcome: error 460",
        f"gw: message handle={handle} transaction='t 2' outcome: 408",
        "disabled: ping handle=- transaction=- outcome: 503",
    ]


async def test_no_line_is_made_without_debug(janus: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_log, "_write", None)  # would raise
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        await bed.ask({"janus": "ping"})
