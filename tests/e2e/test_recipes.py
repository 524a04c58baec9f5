"""docs/recipes.md: its commands, run as they stand there."""

import re
import shutil
import sqlite3
import textwrap
from contextlib import closing
from pathlib import Path

import pytest
import trio

from bridge.config import load
from tests.e2e.conftest import BridgeFactory
from tests.e2e.test_main_job import attach, message, ready
from tests.support.bridge import PROGRAM, Bridge
from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import GEN, Janus
from tests.support.relay import open_relay
from tests.support.tables import sqlite_table

RECIPES = Path(__file__).parents[2] / "docs" / "recipes.md"


def command(beginning: str) -> str:
    """The block of the page that begins so; several lines are one command."""
    text = RECIPES.read_text(encoding="utf-8")
    found = re.search(rf"^    {re.escape(beginning)}(?:.*(?<=\|)\n)?.*$", text, re.MULTILINE)
    assert found is not None, beginning
    return found[0]


async def run(shell: str, bridge: Bridge) -> str:
    """What it prints, with this bridge in the place of the default one."""
    words = ["bash", "-ec", shell.replace("janus-bridge mi", f"{PROGRAM} mi --url {bridge.mi_url}")]
    with trio.fail_after(HANG_SECONDS):
        done = await trio.run_process(words, capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
async def test_handles_that_belong_to_no_call(bridge: Bridge) -> None:
    await ready(bridge)
    handle = await attach(bridge)
    assert f"{handle} {GEN}\n" in await run(command("janus-bridge mi janus_list gw1 |"), bridge)
    detach = command('janus-bridge mi janus_send_request gw1 \'{"janus": "detach"')
    await run(detach.replace("5363881119604597", handle), bridge)
    assert handle not in await run(command("janus-bridge mi janus_list gw1 |"), bridge)


async def test_a_janus_moves_and_no_call_ends(bridge_factory: BridgeFactory, janus: Janus, tmp_path: Path) -> None:
    url = sqlite_table(tmp_path / "table.db", {"gw1": janus.url})
    bridge = bridge_factory({}, **{"janus.janus_db_url": url})
    await ready(bridge)
    handle = await attach(bridge)
    text = RECIPES.read_text(encoding="utf-8")
    update = re.search(r"UPDATE janus SET .*'gw1'", text)
    assert update is not None
    async with open_relay(janus.port) as relay:
        with closing(sqlite3.connect(tmp_path / "table.db")) as database, database:
            database.execute(update[0].replace("10.0.0.9:8188", f"127.0.0.1:{relay.port}"))
        await run("janus-bridge mi janus_reload", bridge)
        while True:
            [gateway] = (await bridge.ami("janus_list", ["gw1"]))["Gateways"]
            if gateway["state"] == "ready" and "serving_url" not in gateway:  # there while the old one serves
                break
            await trio.sleep(0.005)
        assert gateway["janus_url"].endswith(f":{relay.port}/janus")
        assert [one["handle_id"] for session in gateway["sessions"] for one in session["handles"]] == [handle]
        answer = await bridge.send("gw1", message(handle, {"still": "there"}))
        assert answer["plugindata"]["data"] == {"echo": {"still": "there"}}
        bridge.stop()


def test_what_a_page_names_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", RECIPES.read_text(encoding="utf-8")):
        assert (RECIPES.parent / link).exists(), link


def test_configurations_are_taken(tmp_path: Path) -> None:
    blocks = re.findall(r"^    \[(?:.+\n)(?:    .*\n)+", RECIPES.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        file.write_text(textwrap.dedent(block), encoding="utf-8")
        assert load(file, environ={}) != load(None, environ={})
