"""``janus-bridge status`` without a gateway: what to do is said, and nothing is wrong."""

import json
from pathlib import Path

import pytest

from bridge.__main__ import main
from tests.support.bridge import Bridge


def test_an_empty_table_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Bridge(tmp_path) as bridge:
        assert main(["status", "--url", bridge.mi_url]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("no gateways: the janus table is empty (janus-bridge db add ID URL")
        assert (out.count("\n"), err) == (1, "")
        assert main(["status", "--json", "--url", bridge.mi_url]) == 0
        assert json.loads(capsys.readouterr().out) == {"Gateways": []}
