"""``janus-bridge db ... --now``: on a bridge that runs, with a real Janus; and on none."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.__main__ import main
from bridge.cli import db_now
from tests.support.bridge import Bridge
from tests.support.janus import Janus
from tests.support.ports import free_port
from tests.support.tables import sqlite_table

pytestmark = pytest.mark.program
Capture = pytest.CaptureFixture[str]


def options(bridge: Bridge, url: str) -> list[str]:
    """Of a command that means this bridge."""
    address = bridge.mi_url.split("/")[2]
    return ["-o", f'janus.janus_db_url="{url}"', "-o", f'mi.http=["{address}"]']


def test_the_running_bridge_has_it_when_the_command_ends(tmp_path: Path, janus: Janus, capsys: Capture) -> None:
    url = sqlite_table(tmp_path / "t.db", {})
    with Bridge(tmp_path, {"janus.janus_db_url": url}) as bridge:
        own = options(bridge, url)
        assert main(["db", "add", "--now", "gw1", janus.url, *own]) == 0
        assert bridge.mi("janus_send_request", ["gw1", {"janus": "ping"}])["janus"] == "pong"
        assert capsys.readouterr().out == f"added gw1 (id 1): {url} janus\nThe running bridge has it.\n"
        assert main(["db", "set", "gw1", janus.url.replace("127.0.0.1", "localhost"), "--now", "--json", *own]) == 0
        assert bridge.mi("janus_list")["Gateways"][0]["state"] == "ready"
        assert json.loads(capsys.readouterr().out) == {"changed": [1]}
        assert main(["db", "remove", "gw1", "--now", *own]) == 0
        assert bridge.mi("janus_list") == {"Gateways": []}


def test_a_gateway_that_does_not_get_ready_is_said_with_its_reason(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, passed = sqlite_table(tmp_path / "t.db", {"GW1": "janusws://127.0.0.1:1/janus"}), [0.0]
    with Bridge(tmp_path, {"janus.janus_db_url": url}) as bridge:

        def sleep(_: float) -> None:
            """Until the bridge has tried, and for longer than the command waits."""
            while not bridge.mi("janus_list", ["gw2"])["Gateways"][0]["last_error"]:
                pass
            passed[0] += db_now.PATIENCE + 1

        monkeypatch.setattr(db_now, "time", SimpleNamespace(monotonic=lambda: passed[0], sleep=sleep))
        assert main(["db", "add", "--now", "gw2", "janusws://127.0.0.1:1/janus", *options(bridge, url)]) == 1
        out, err = capsys.readouterr()
        assert out == f"added gw2 (id 2): {url} janus\n"
        assert err.startswith("janus-bridge db: the running bridge: gw2 is ")
        assert "refused" in err
        assert err.count("\n") == 1


def test_where_none_runs_the_row_is_there_nevertheless(tmp_path: Path, capsys: Capture) -> None:
    url = sqlite_table(tmp_path / "t.db", {})
    config = tmp_path / "config.toml"
    config.write_text(f'[janus]\njanus_db_url = "{url}"\n[mi]\nhttp = ["127.0.0.1:{free_port()}"]\n')
    assert main(["db", "add", "--now", "gw1", "janusws://127.0.0.1:1/janus", "-c", str(config)]) == 3
    out, err = capsys.readouterr()
    assert out == f"added gw1 (id 1): {url} janus\n"
    assert "refused" in err
