"""OpenSIPS's own command-line clients, unmodified, over HTTP MI against the running bridge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bridge import Bridge
from tests.support.deadlines import HANG_SECONDS

BIN = Path(sys.executable).parent


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """For opensips-cli's history; nothing of the user's own configuration is read."""
    made = tmp_path / "home"
    made.mkdir()
    return made


def run(home: Path, *command: str) -> str:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def opensips_mi(bridge: Bridge, home: Path, *words: str) -> str:
    port = bridge.mi_url.rsplit(":", 1)[1].split("/")[0]
    return run(home, "opensips-mi", "-t", "http", "-i", "127.0.0.1", "-p", port, *words)


def opensips_cli(bridge: Bridge, home: Path, *words: str) -> str:
    settings = ("-o", "communication_type=http", "-o", f"url={bridge.mi_url}", "-o", "output_type=pretty-print")
    return run(home, "opensips-cli", *settings, "-x", "--", *words)


def test_opensips_mi(bridge: Bridge, home: Path) -> None:
    assert json.loads(opensips_mi(bridge, home, "version"))["Server"].startswith("janus-bridge (")
    answer = json.loads(opensips_mi(bridge, home, "janus_send_request", "gw1", '{"janus":"ping"}'))
    assert answer == {"janus": "pong"}
    assert "janus_send_request" in opensips_mi(bridge, home, "-bc")


def test_opensips_cli(bridge: Bridge, home: Path) -> None:
    listed = json.loads(opensips_cli(bridge, home, "mi", "janus_list"))
    assert [gateway["janus_id"] for gateway in listed["Gateways"]] == ["gw1"]
    answer = json.loads(opensips_cli(bridge, home, "mi", "janus_send_request", "gw1", '{"janus":"ping"}'))
    assert answer == {"janus": "pong"}
    assert "Server" in json.loads(opensips_cli(bridge, home, "mi", "core:version"))
