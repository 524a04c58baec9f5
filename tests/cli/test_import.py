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


def test_the_default_url_of_the_script_is_that_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = tmp_path / "opensips.cfg"
    cfg.write_text(
        'db_default_url = "mysql://opensips:secret@db/opensips"\nmodparam("janus", "janus_cmd_timeout", 1)\n'
    )
    assert main(["import", str(cfg)]) == 0
    made = tmp_path / "bridge.toml"
    made.write_text(capsys.readouterr().out)
    url = load(made, (), {"HOME": str(tmp_path)}).janus.janus_db_url
    assert str(url).endswith("@db/opensips")
    # What stands nearer to the module wins.
    cfg.write_text(cfg.read_text() + 'modparam("janus", "janus_db_url", "mysql://u:p@own/janus")\n')
    assert main(["import", str(cfg)]) == 0
    output = capsys.readouterr().out
    assert "@own/janus" in output
    assert "@db/" not in output


def test_a_default_url_that_the_bridge_does_not_take_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "opensips.cfg"
    cfg.write_text('log_level = 3\ndb_default_url = "postgres://opensips:secret@db/opensips"\n')
    assert main(["import", str(cfg)]) == 1
    output = capsys.readouterr().out
    assert f'# {cfg}:2: [janus] janus_db_url = "postgres://***": postgres:// is not supported' in output
    assert '\n# janus_db_url = "postgres://' in output  # what could not be carried over stands in a comment


def test_a_script_without_any_url_is_told_of_the_default_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "opensips.cfg"
    cfg.write_text('include_file "db.cfg"\n')
    assert main(["import", str(cfg)]) == 1
    output = capsys.readouterr().out
    assert f"# {cfg} has neither janus_db_url nor db_default_url: the default table is used" in output
    assert f"# db.cfg is included by {cfg}, but was not read: import it, too" in output


def test_routes_of_events_are_told_where_events_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = tmp_path / "opensips.cfg"
    cfg.write_text('db_default_url = "mysql://u:p@h/d"\nroute { exit; }\nevent_route[E_JANUS_EVENT] { exit; }\n')
    assert main(["import", str(cfg)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"# {cfg}:3: event_route[E_JANUS_EVENT] stays as it is") for line in lines)
    [hint] = [line for line in lines if "subscribers = [" in line]
    made = tmp_path / "bridge.toml"
    made.write_text(hint.removeprefix("#").replace("[events]", "[events]\n"))
    [subscriber] = load(made, (), {"HOME": str(tmp_path)}).events.subscribers
    assert (subscriber.event, str(subscriber.socket)) == ("E_JANUS_EVENT", "mi:udp:127.0.0.1:8080")
