"""What the janus MI methods answer, through the MI and a real Janus, against their schemas (contract 4.4, 6.3, 6.4)."""

import json
from typing import Any

import jsonschema
import pytest
import trio

from bridge.core.commands_janus import janus_commands
from bridge.core.environment import LinkSettings
from bridge.core.mi import Registry
from bridge.core.registry import TableChanges
from bridge.protocol.gateway import TableRow, read_rows
from bridge.protocol.plugin_types import UNKNOWN
from bridge.resources import schema
from tests.support.callers import OPERATOR, ask
from tests.support.fake_janus import open_fake_janus, reply
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running


class Mi:
    """The methods over a bed. ``rows`` is what a reload reads."""

    def __init__(self, bed: LinkBed) -> None:
        self.bed = bed
        self.rows: list[TableRow] = []
        self.registry = Registry(bed.stats)
        self.registry.add(*janus_commands(bed.registry, self.reload, 5.0, lambda _janus_id: UNKNOWN))

    async def reload(self) -> tuple[TableChanges, list[str]]:
        await trio.lowlevel.checkpoint()
        gateways, faults = read_rows(self.rows)
        return self.bed.registry.reconcile(gateways), faults

    async def ask(self, method: str, *params: Any) -> Any:
        """The result, which has to be as its schema says."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = json.loads(await ask(self.registry, json.dumps(request).encode(), OPERATOR) or b"")
        checker = jsonschema.FormatChecker()
        jsonschema.validate(
            answer["result"], schema(f"result-{method}"), jsonschema.Draft202012Validator, format_checker=checker
        )
        return answer["result"]


async def test_list(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": f"{janus.url}?a=secret", "bad": "http://h/?secret"}) as bed:
        mi = Mi(bed)
        await bed.ready()
        await bed.attach()
        await bed.ask({"janus": "create"})
        listed = await mi.ask("janus_list")
        assert [row["janus_id"] for row in listed["Gateways"]] == ["gw", "bad"]
        assert [row["state"] for row in listed["Gateways"]] == ["ready", "disabled"]
        assert [session["managed"] for session in listed["Gateways"][0]["sessions"]] == [True, False]
        assert len(listed["Gateways"][0]["sessions"][0]["handles"]) == 1
        assert "secret" not in json.dumps(listed)
        assert await mi.ask("janus_list", "bad") == {"Gateways": [listed["Gateways"][1]]}


async def test_reload(janus: Janus) -> None:
    async with running(LinkBed(), {"stays": janus.url, "moves": janus.url, "goes": janus.url}) as bed:
        mi = Mi(bed)
        rows = {"stays": janus.url, "moves": "janusws://127.0.0.2:1/janus", "comes": janus.url, "bad": "http://h/"}
        mi.rows = [TableRow(n, janus_id, url) for n, (janus_id, url) in enumerate(rows.items(), 1)]
        answer = await mi.ask("janus_reload")
        errors = answer.pop("errors")
        assert answer == {
            "added": ["comes", "bad"],
            "changed": ["moves"],
            "removed": ["goes"],
            "unchanged": ["stays"],
        }
        assert len(errors) == 1
        assert "id=4" in errors[0]


async def test_send_request_and_reconnect(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        mi = Mi(bed)
        await bed.ready()
        assert (await mi.ask("janus_send_request", "gw", {"janus": "ping", "transaction": "t"}))["transaction"] == "t"
        assert (await mi.ask("janus_send_request", "gw", {"janus": "attach", "plugin": "no"}))["janus"] == "error"
        assert await mi.ask("janus_reconnect", "gw") == "OK"


HUGE = 10**20  # beyond 64 bits: by many parsers a real
SAID = {"n": HUGE, "list": [-HUGE, 1.5], "headers": {"n": HUGE}, "narrow": 7}
SHOWN = {"n": str(HUGE), "list": [str(-HUGE), 1.5], "headers": {"n": HUGE}, "narrow": 7}


@pytest.mark.parametrize("wide_strings", [True, False])
async def test_integers_beyond_64_bits_are_shown_digit_by_digit(wide_strings: bool) -> None:
    bed = LinkBed(settings=LinkSettings(wide_strings=wide_strings))
    shown = SHOWN if wide_strings else SAID
    script = {"plugin": "janus.plugin.lua", "data": {"n": HUGE}}
    async with open_fake_janus() as fake, running(bed, {"gw": fake.url}):
        await bed.ready()
        fake.script["attach"] = lambda request: [reply(request, "success", data={"id": 5}, x=SAID)]
        answer = await bed.ask({"janus": "attach", "plugin": "p", "transaction": "mine"})
        assert (answer["transaction"], answer["x"]) == ("mine", shown)
        for members in ({"x": SAID}, {"plugindata": script}):
            await fake.push({"janus": "event", "session_id": 1, **members})
        await bed.until(lambda: len(bed.events) == 2)
        assert [bed.events[0]["x"], bed.events[1]["plugindata"]] == [shown, script]
