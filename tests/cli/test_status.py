"""``janus-bridge status`` without a gateway: what to do is said, and nothing is wrong."""

import json
import re
import time
from pathlib import Path

import pytest

from bridge.__main__ import main
from tests.support.bridge import Bridge
from tests.support.deadlines import HANG_SECONDS
from tests.support.mi_client import MiError
from tests.support.tables import sqlite_table

pytestmark = pytest.mark.program


def test_an_empty_table_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Bridge(tmp_path) as bridge:
        assert main(["status", "--url", bridge.mi_url]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("no gateways: the janus table is empty (janus-bridge db add ID URL")
        assert re.fullmatch(r"table: fresh, read \d+ s ago", out.splitlines()[1])
        assert (out.count("\n"), err) == (2, "")
        assert main(["status", "--json", "--url", bridge.mi_url]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["Gateways"], found["Table"]["state"], found["Subscribers"]) == ([], "fresh", [])


def test_a_table_that_cannot_be_read_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = sqlite_table(tmp_path / "t.db", {})
    with Bridge(tmp_path, {"janus.janus_db_url": url}) as bridge:
        (tmp_path / "t.db").unlink()
        with pytest.raises(MiError):
            bridge.mi("janus_reload")
        assert main(["status", "--url", bridge.mi_url]) == 1
        out = capsys.readouterr().out.splitlines()
        assert re.fullmatch(rf"table: stale, read \d+ s ago: {url}: no such file", out[1])


def test_a_subscriber_that_cannot_be_reached_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    socket = f"unix:{tmp_path}/nobody.sock"
    with Bridge(tmp_path, {"events.subscribers": [{"event": "E_JANUS_STATUS", "socket": socket}]}) as bridge:
        assert main(["status", "--url", bridge.mi_url]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[2].split() == ["SUBSCRIBER", "EVENTS", "QUEUED", "SENT", "DROPPED"]
        assert lines[3].split() == [socket, "E_JANUS_STATUS", "0", "0", "0"]
        bridge.mi("raise_event", ["E_JANUS_STATUS", ["a"]])
        deadline = time.monotonic() + HANG_SECONDS
        while not bridge.mi("janus_status")["Subscribers"][0]["trouble"]:
            assert time.monotonic() < deadline
        assert main(["status", "--url", bridge.mi_url]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[4].startswith(f"{socket}: ")
