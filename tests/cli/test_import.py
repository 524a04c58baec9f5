"""``janus-bridge import``: its output is a configuration, and says what it left out."""

from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.config import load


def test_output_is_a_configuration_with_the_modules_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = tmp_path / "opensips.cfg"
    cfg.write_text(
        'loadmodule "janus.so"\n'
        'modparam("janus", "janus_db_url", "mysql://opensips:p%40ss@db/opensips")\n'
        'modparam("janus", "janus_cmd_timeout", 3000)\n'
        'modparam("janus", "janus_max_msg_chunks", 8)\n'
        'modparam("janus", "janus_cmd_polling_itv", 100)\n'
        'route { janus_send_request("a", "b", $var(r)); }\n'
    )
    assert main(["import", str(cfg)]) == 0
    output = capsys.readouterr().out
    made = tmp_path / "bridge.toml"
    made.write_text(output)
    config = load(made, (), {"HOME": str(tmp_path)})
    assert config.janus.janus_cmd_timeout == 3000
    assert config.janus.janus_max_msg_chunks is None
    assert "2,800 bytes" in output
    assert f"{cfg}:6: a call of janus_send_request" in output
    assert f'{cfg}:1: remove loadmodule "janus.so"' in output


def test_what_cannot_be_carried_over_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = tmp_path / "opensips.cfg"
    cfg.write_text('modparam("janus", "janus_db_url", "postgres://h/d")\nmodparam("janus", "janus_magic", 1)\n')
    assert main(["import", str(cfg)]) == 1
    output = capsys.readouterr().out
    assert f"{cfg}:1: [janus] janus_db_url" in output
    assert f"{cfg}:2: janus_magic is not carried over" in output


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(tmp_path / "none.cfg")]) == 2
    assert capsys.readouterr().err == f"janus-bridge: {tmp_path}/none.cfg: No such file or directory\n"
