"""janus_drain and janus_history, on a real Janus."""

import json
from collections.abc import Collection
from typing import Any

import pytest
from jsonschema import validate

from bridge.core.commands_maintenance import maintenance_commands
from bridge.core.mi import Registry
from bridge.errors import BridgeError, Draining
from bridge.protocol.log_level import NOTICE, to_python
from bridge.resources import schema
from tests.faults.links import error_of
from tests.support.callers import OPERATOR, ask
from tests.support.janus import GEN, Janus
from tests.support.janus_client import AdminClient
from tests.support.linkbed import LinkBed, running

ATTACH = {"janus": "attach", "plugin": GEN}


class Desk:
    """The methods over a bed's links; ``saved`` is what was kept of gateways that drain."""

    def __init__(self, bed: LinkBed) -> None:
        self.saved: list[set[str]] = []
        self._registry = Registry(bed.stats)
        self._registry.add(*maintenance_commands(bed.registry, self._save))

    async def _save(self, janus_ids: Collection[str]) -> None:
        self.saved.append(set(janus_ids))

    async def ask(self, method: str, *params: str) -> Any:
        """The result, or the error, of a method."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = json.loads(await ask(self._registry, json.dumps(request).encode(), OPERATOR) or b"")
        if "result" in answer:
            validate(answer["result"], schema(f"result-{method}"))
        return answer.get("result", answer.get("error"))


async def test_a_gateway_that_drains_takes_nothing_new_and_its_handles_go_on(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        desk = Desk(bed)
        await bed.ready()
        handle = await bed.attach()
        assert (await desk.ask("janus_drain", "gw", "on"))["draining"] is True
        for command in (ATTACH, {"janus": "create"}):
            error = await error_of(bed.ask(command))
            assert isinstance(error, Draining)
            assert (error.code, error.message) == (503, "Janus draining")
        await bed.echo(handle)
        answer = await desk.ask("janus_drain", "gw")
        assert answer == {"janus_id": "gw", "draining": True, "sessions": 0, "handles": 1, "in_flight": 0}
        await bed.ask({"janus": "detach", "handle_id": handle})
        assert (await desk.ask("janus_drain", "gw"))["handles"] == 0
        assert (await desk.ask("janus_drain", "gw", "off"))["draining"] is False
        await bed.attach()
        assert desk.saved == [{"gw"}, set()]


async def test_draining_outlives_a_reload_and_a_row_that_is_away_for_a_while(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        bed.registry.drain("gw", True)
        bed.reconcile({})
        bed.reconcile({"gw": janus.url, "other": janus.url})
        await bed.ready()
        await bed.ready("other")
        assert isinstance(await error_of(bed.ask(ATTACH)), Draining)
        assert (await bed.ask(ATTACH, janus_id="other"))["janus"] == "success"


@pytest.mark.parametrize(
    ("method", "params", "code", "data"),
    [
        ("janus_drain", ["gw", "maybe"], -32602, "Bad type for parameter 'switch': it is on or off"),
        ("janus_drain", ["none", "on"], 404, "no row of the table has janus_id 'none'"),
        ("janus_history", ["none"], 404, "no row of the table has janus_id 'none'"),
        ("janus_history", ["gw", "9" * 5000], -32602, "Bad type for parameter 'handle_id': it is a handle's number"),
        ("janus_history", ["gw", "\u0663"], -32602, "Bad type for parameter 'handle_id': it is a handle's number"),
    ],
)
async def test_what_is_refused(janus: Janus, method: str, params: list[str], code: int, data: str) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        error = await Desk(bed).ask(method, *params)
        assert (error["code"], error["data"]) == (code, data)


async def test_drain_that_cannot_be_kept_is_said(janus: Janus) -> None:
    async def save(janus_ids: Collection[str]) -> None:
        raise BridgeError("drained.json: No space left on device; it holds until the bridge is restarted")

    async with running(LinkBed(), {"gw": janus.url}) as bed:
        registry = Registry(bed.stats)
        registry.add(*maintenance_commands(bed.registry, save))
        request = b'{"jsonrpc":"2.0","id":1,"method":"janus_drain","params":["gw","on"]}'
        error = json.loads(await ask(registry, request, OPERATOR) or b"")["error"]
        assert error["code"] == 500
        assert "No space left" in error["data"]
        assert bed.registry.find("gw").book.draining


async def test_history_says_why_a_handle_died(janus: Janus, caplog: pytest.LogCaptureFixture) -> None:
    """One is detached by its caller, one by Janus, one dies with its session."""
    caplog.set_level(to_python(NOTICE), "bridge.link")
    async with running(LinkBed(), {"gw": janus.url}) as bed, AdminClient.open(janus) as admin:
        link = await bed.ready()
        session = link.book.managed.session_id
        assert session is not None
        mine, janus_s, lost = [str((await bed.ask({**ATTACH, "transaction": f"t{n}"}))["data"]["id"]) for n in range(3)]
        await bed.ask({"janus": "detach", "handle_id": mine, "transaction": "bye"})
        await admin.detach_handle(session, int(janus_s))
        await bed.until(lambda: len(link.book.managed.handles) == 1)
        await admin.destroy_session(session)
        await bed.until(lambda: "session_lost" in bed.names())
        desk = Desk(bed)

        async def of(handle: str) -> list[tuple[str, str | None, str | None]]:
            entries = (await desk.ask("janus_history", "gw", handle))["History"]
            return [(one["what"], one.get("reason"), one.get("transaction")) for one in entries][:2]

        assert await of(mine) == [("handle_attached", None, "t0"), ("handle_detached", "by a caller", "bye")]
        assert await of(janus_s) == [("handle_attached", None, "t1"), ("handle_detached", "Janus detached it", None)]
        assert await of(lost) == [
            ("handle_attached", None, "t2"),
            ("session_lost", "Janus no longer knows it", None),
        ]
        whole = (await desk.ask("janus_history", "gw"))["History"]
        assert [one["what"] for one in whole][:2] == ["session_created", "connected"]
        notices = [record.getMessage() for record in caplog.records if record.levelno == to_python(NOTICE)]
        assert [janus_s in text for text in notices] == [True]
