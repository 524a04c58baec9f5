"""The subcommands of the installed program beside a running bridge."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.conftest import BridgeFactory
from tests.e2e.test_main_job import ready
from tests.support.bridge import Bridge
from tests.support.janus import Janus
from tests.support.ports import free_port
from tests.support.tables import sqlite_table

PROGRAM = str(Path(sys.executable).with_name("janus-bridge"))


async def command(*words: str) -> subprocess.CompletedProcess[str]:
    done = await trio.run_process([PROGRAM, *words], capture_stdout=True, capture_stderr=True, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


async def until(bridge: Bridge, method: str, holds: Callable[[Any], Any]) -> None:
    """Ask again until the answer is as it should be."""
    while True:
        if holds(await bridge.ami(method)):
            return
        await trio.sleep(0.005)


async def test_status_shows_every_gateway(bridge: Bridge) -> None:
    await ready(bridge)
    done = await command("status", "--url", bridge.mi_url)
    assert done.returncode == 0, done.stderr
    header, row, freshness, *_ = done.stdout.splitlines()
    assert freshness.startswith("table: fresh, read ")
    assert header.split()[:2] == ["JANUS_ID", "STATE"]
    assert row.split()[:2] == ["gw1", "ready"]
    done = await command("status", "--json", "--url", bridge.mi_url)
    assert json.loads(done.stdout)["Gateways"][0]["janus_id"] == "gw1"


async def test_status_of_a_gateway_that_is_down_says_why(bridge_factory: BridgeFactory) -> None:
    bridge = bridge_factory({"gw1": f"janusws://127.0.0.1:{free_port()}"})
    await until(bridge, "janus_list", lambda answer: answer["Gateways"][0]["last_error"])
    done = await command("status", "--url", bridge.mi_url)
    assert done.returncode == 1
    assert "gw1: connect to 127.0.0.1" in done.stdout
    assert "refused" in done.stdout


async def test_status_without_a_bridge() -> None:
    url = f"http://127.0.0.1:{free_port()}/mi"
    done = await command("status", "--url", url)
    assert done.returncode == 3
    assert done.stderr == f"janus-bridge: {url}: Connection refused\n"


async def test_events_prints_what_comes_and_unsubscribes(bridge: Bridge) -> None:
    async with trio.open_nursery() as nursery:
        results: list[Any] = []

        async def listen() -> None:
            results.append(await command("events", "--json", "--count", "1", "--url", bridge.mi_url, "E_JANUS_STATUS"))

        nursery.start_soon(listen)
        await until(bridge, "subscribers_list", lambda answer: "E_JANUS_STATUS" in str(answer))
        await bridge.ami("raise_event", ["E_JANUS_STATUS", '{"janus_id":"x"}'])
    assert results[0].returncode == 0, results[0].stderr
    assert json.loads(results[0].stdout) == {"jsonrpc": "2.0", "method": "E_JANUS_STATUS", "params": {"janus_id": "x"}}


async def test_check_connect_warns_where_sessions_cannot_be_reclaimed(janus: Janus, tmp_path: Path) -> None:
    url = sqlite_table(tmp_path / "t.db", {"gw1": janus.url, "gone": f"janusws://127.0.0.1:{free_port()}"})
    done = await command("check", "--connect", "--json", "-o", f"janus.janus_db_url={url}")
    assert done.returncode == 1, done.stderr
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    texts = {(finding["level"], finding["where"]): finding["text"] for finding in findings}
    assert "reclaim-session-timeout is 0" in texts["warning", "gw1"]
    assert "refused" in texts["error", "gone"]


async def test_sigterm_ends_with_code_0_and_sighup_reads_the_table_again(
    bridge_factory: BridgeFactory, janus: Janus, tmp_path: Path
) -> None:
    bridge = bridge_factory({"gw1": janus.url})
    await ready(bridge)
    database = bridge.options["janus.janus_db_url"]
    done = await command("db", "add", "gw2", janus.url, "-o", f"janus.janus_db_url={database}")
    assert done.returncode == 0, done.stderr
    bridge.process.signal(signal.SIGHUP)
    await until(bridge, "janus_list", lambda answer: len(answer["Gateways"]) == 2)
    await ready(bridge, "gw2")


@pytest.mark.parametrize(
    ("words", "environ", "where", "text"),
    [
        (["-o", "log.level=9"], {}, "option -o log.level", "[log] level = 9: must be from -3 to 4"),
        (["-c", "/none.toml"], {}, "/none.toml", "no such file"),
        (
            [],
            {"JANUS_BRIDGE_LOG__LEVL": "9"},
            "environment JANUS_BRIDGE_LOG__LEVL",
            "[log] levl: unknown key, did you ",
        ),
        (
            ["-o", "janus.janus_db_url=sqlite:///none/t.db"],
            {},
            "table",
            "sqlite:///none/t.db: there is no folder /none",
        ),
    ],
)
async def test_check_json_says_in_json_why_it_cannot_check(
    words: list[str], environ: dict[str, str], where: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    done = await command("check", *words, "--json")
    finding = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, done.stderr) == (2, "")
    assert (finding["level"], finding["where"]) == ("error", where)
    assert finding["text"].startswith(text)
    plain = await command("check", *words)
    assert (plain.returncode, plain.stderr.count("\n")) == (2, 1)
    assert text in plain.stderr
