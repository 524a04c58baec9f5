"""``janus-bridge run``: what it says where it cannot start, on whatever stderr it has."""

import io
import os
import socket
import sys
from pathlib import Path

import pytest

from bridge.__main__ import main


def test_a_stderr_without_a_descriptor_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    monkeypatch.setattr(sys, "stderr", stderr := io.StringIO())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["run", "-o", f"state.dir={tmp_path}/state", "-o", f'mi.http=["{address}"]']) == 2
    [line] = stderr.getvalue().splitlines()
    assert f"CRITICAL:bridge: [mi] http {address}: Address already in use by " in line
    assert line.endswith(f" (process {os.getpid()}); the bridge does not start")
    assert not line.startswith("<")
