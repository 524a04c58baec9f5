"""``janus-bridge import``: its output is a configuration, and says what it left out."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from bridge.__main__ import main
from bridge.config import Config, load

Import: TypeAlias = Callable[..., tuple[int, str, Config]]
URL = 'modparam("janus", "janus_db_url", "mysql://u:p@h/d")\n'


@pytest.fixture
def cfg(tmp_path: Path) -> Path:
    return tmp_path / "opensips.cfg"


@pytest.fixture
def imported(cfg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Import:
    """Import this text: exit code, output, and what it is as a configuration."""

    def run(text: str | bytes, name: str = str(cfg)) -> tuple[int, str, Config]:
        cfg.write_bytes(text.encode() if isinstance(text, str) else text)
        code = main(["import", name])
        output = capsys.readouterr().out
        made = tmp_path / "bridge.toml"
        made.write_text(output)
        return code, output, load(made, (), {"HOME": str(tmp_path)})

    return run


def test_output_is_a_configuration_with_the_modules_values(imported: Import, cfg: Path) -> None:
    code, output, config = imported(
        'loadmodule "janus.so"\n'
        'modparam("janus", "janus_db_url", "mysql://opensips:p%40ss@db/opensips")\n'
        'modparam("janus", "janus_cmd_timeout", 3000)\n'
        'modparam("janus", "janus_max_msg_chunks", 8)\n'
        'modparam("janus", "janus_cmd_polling_itv", 100)\n'
        'route { janus_send_request("a", "b", $var(r)); }\n'
    )
    assert code == 0
    assert config.janus.janus_cmd_timeout == 3000
    assert config.janus.janus_max_msg_chunks is None
    assert "2,800 bytes" in output
    assert f"{cfg}:6: a call of janus_send_request becomes\n" in output
    assert '#     route(JANUS_SEND_REQUEST, "a", "b", "r"); $var(r) = $avp(r);\n' in output
    assert f'{cfg}:1: remove loadmodule "janus.so"' in output


@pytest.mark.parametrize(
    ("loaded", "expected"),
    [
        ("", 'Add: loadmodule "json.so", loadmodule "rest_client.so", include_file "janus-bridge.inc"'),
        ('loadmodule "/usr/lib/opensips/modules/json.so"\n', 'Add: loadmodule "rest_client.so", include_file'),
        ('loadmodule "json"\nloadmodule "rest_client.so"\n', 'Add: include_file "janus-bridge.inc"'),
        ('loadmodule "jsonrpc.so"\n# loadmodule "json.so"\n', 'Add: loadmodule "json.so", loadmodule "rest_client'),
    ],
)
def test_only_modules_that_the_script_lacks_are_to_be_loaded(loaded: str, expected: str, imported: Import) -> None:
    _, output, _ = imported(f'{loaded}{URL}route {{ janus_send_request("a", "b", $var(r)); }}\n')
    assert f"# {expected}" in output


def test_what_cannot_be_carried_over_is_named_with_its_line(imported: Import, cfg: Path) -> None:
    code, output, _ = imported(
        'modparam("janus", "janus_db_url", "postgres://h/d")\n'
        'modparam("janus", "janus_magic", 1)\n'
        'modparam("janus", "janus_cmd_timeout", TIMEOUT)\n'
        'modparam("janus", "janus_send_timeout", "3000")\n'
        "route { subscribe_event($var(e), $var(s)); }\n"
    )
    assert code == 1
    assert f"\n# {cfg}:1: [janus] janus_db_url" in output
    assert f"\n# {cfg}:2: janus_magic is not carried over\n" in output
    assert f"\n# {cfg}:3: janus_cmd_timeout cannot be read; it is not carried over\n" in output
    assert f"\n# {cfg}:4: [janus] janus_send_timeout" in output
    assert f"\n# {cfg}:5: a subscribe_event whose event cannot be read" in output


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            b'route { subscribe_event("E_JANUS_EVENT", "unix:/tmp/\xff"); }',
            "the socket of subscribe_event() cannot be read",
        ),
        (
            b'modparam("mi_datagram", "socket_name", "/tmp/\xff")\nevent_route[E_JANUS_EVENT] { exit; }',
            "socket_name is not UTF-8 text; udp:127.0.0.1:8080 is assumed",
        ),
        (
            b'modparam("mi_datagram", "socket_name", 8080)\nevent_route[E_JANUS_EVENT] { exit; }',
            "socket_name has the wrong type; udp:127.0.0.1:8080 is assumed",
        ),
        (b'modparam("event_stream", "reliable_mode", X)', "reliable_mode cannot be read; 0 is assumed"),
    ],
)
def test_no_socket_is_guessed(text: bytes, problem: str, imported: Import, cfg: Path) -> None:
    code, output, config = imported(URL.encode() + text)
    assert code == 1
    assert f"\n# {cfg}:2: {problem}\n" in output
    assert all(str(one.socket) == "mi:udp:127.0.0.1:8080" for one in config.events.subscribers)


def test_what_is_written_is_utf_8_whatever_the_locale(
    imported: Import, cfg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "made.toml", "w", encoding="latin-1") as file:
        monkeypatch.setattr("sys.stdout", file)
        cfg.write_text('modparam("janus", "janus_db_url", "mysql://é@h/d")\n')
        assert main(["import", str(cfg)]) == 0
    assert str(load(tmp_path / "made.toml", (), {"HOME": str(tmp_path)}).janus.janus_db_url) == "mysql://é@h/d"


def test_a_retired_database_stays_retired(imported: Import) -> None:
    code, _, config = imported(
        'modparam("janus", "janus_db_url", "mysql://o:new@10.0.0.5/opensips")\n'
        '/* retired /* lab */ modparam("janus","janus_db_url","mysql://o:old@192.0.2.9/lab") */\n'
    )
    assert (code, str(config.janus.janus_db_url)) == (0, "mysql://o:***@10.0.0.5/opensips")


def test_a_value_that_cannot_be_read_is_not_that_of_before(imported: Import) -> None:
    code, _, config = imported(
        f'{URL}modparam("janus", "janus_cmd_timeout", 9)\nmodparam("janus", "janus_cmd_timeout", T)\n'
    )
    assert (code, config.janus.janus_cmd_timeout) == (1, 5000)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(tmp_path / "none.cfg")]) == 2
    assert capsys.readouterr().err == f"janus-bridge: {tmp_path}/none.cfg: No such file or directory\n"


def test_the_default_url_of_the_script_is_that_of_the_table(imported: Import) -> None:
    text = (
        'db_default_url = "mysql://opensips:secret@db/opensips"\ndb_version_table = "versions"\n'
        'modparam("janus", "janus_cmd_timeout", 1)\n'
    )
    code, _, config = imported(text)
    assert code == 0
    assert str(config.janus.janus_db_url).endswith("@db/opensips")
    assert config.janus.db_version_table == "versions"
    # What stands nearer to the module wins.
    code, output, _ = imported(text + 'modparam("janus", "janus_db_url", "mysql://u:p@own/janus")\n')
    assert code == 0
    assert "@own/janus" in output
    assert "@db/" not in output


def test_a_default_url_that_the_bridge_does_not_take_is_named(imported: Import, cfg: Path) -> None:
    code, output, _ = imported('log_level = 3\ndb_default_url = "postgres://opensips:secret@db/opensips"\n')
    assert code == 1
    assert f'# {cfg}:2: [janus] janus_db_url = "postgres://***": postgres:// is not supported' in output
    assert '\n# janus_db_url = "postgres://' in output  # what could not be carried over stands in a comment


def test_a_script_without_any_url_is_told_of_the_default_table(imported: Import, cfg: Path) -> None:
    code, output, _ = imported("log_level=3\n")
    assert code == 1
    assert f"# {cfg} has neither janus_db_url nor db_default_url: the default table is used" in output


@pytest.mark.parametrize(
    ("text", "sockets"),
    [
        ("event_route[E_JANUS_EVENT] { exit; }", ["mi:udp:127.0.0.1:8080"]),
        ('event_route["E_JANUS_EVENT"] { exit; }', ["mi:udp:127.0.0.1:8080"]),
        (
            'modparam("mi_datagram", "socket_name", "udp:0.0.0.0:9090")\nevent_route[E_JANUS_EVENT] { exit; }',
            ["mi:udp:127.0.0.1:9090"],
        ),
        (
            'modparam("mi_datagram", "socket_name", "/run/mi")\nevent_route[E_JANUS_EVENT] { exit; }',
            ["mi:unix:/run/mi"],
        ),
        (
            'startup_route { subscribe_event("E_JANUS_EVENT", "tcp:127.0.0.1:9000/x");\n'
            'subscribe_event("E_JANUS_EVENT", "udp:127.0.0.1:9001", 60); }',
            ["tcp:127.0.0.1:9000/x", "udp:127.0.0.1:9001"],
        ),
        (
            'route { subscribe_event("E_JANUS_EVENT", "virtual:PARALLEL udp:127.0.0.1:9000  unix:/run/x"); }',
            ["udp:127.0.0.1:9000", "unix:/run/x"],
        ),
    ],
)
def test_uses_of_the_event_become_subscribers(imported: Import, text: str, sockets: list[str]) -> None:
    code, _, config = imported(f"{URL}{text}\n")
    assert code == 0
    assert [subscriber.event for subscriber in config.events.subscribers] == ["E_JANUS_EVENT"] * len(sockets)
    assert [str(subscriber.socket) for subscriber in config.events.subscribers] == sockets


def test_a_subscriber_is_reliable_where_event_stream_is(imported: Import) -> None:
    _, _, config = imported(
        f'{URL}modparam("event_stream", "reliable_mode", 1)\n'
        'startup_route { subscribe_event("E_JANUS_EVENT", "tcp:127.0.0.1:9000/x"); }\n'
    )
    assert config.events.subscribers[0].socket.reliable


@pytest.mark.parametrize(
    "socket",
    ['"kafka:h:9092/x"', '"virtual:FAILOVER udp:h:1 udp:h:2"', '"udp:127.0.0.1:$var(p)"', "$var(socket)", ""],
)
def test_a_subscriber_that_the_bridge_cannot_serve_is_named(imported: Import, cfg: Path, socket: str) -> None:
    code, output, config = imported(f'{URL}startup_route {{ subscribe_event("E_JANUS_EVENT", {socket}); }}\n')
    assert (code, config.events.subscribers) == (1, ())
    assert f"\n# {cfg}:2: " in output


def test_a_call_whose_text_has_to_be_built_is_marked(imported: Import, cfg: Path) -> None:
    code, output, _ = imported(f'{URL}route {{ janus_send_request("gw1", "{{\\"h\\": $var(h)}}", $var(r)); }}\n')
    assert code == 0
    assert f"# {cfg}:2: a call of janus_send_request, whose text has to be built first" in output
    assert '#     $var(janus_command) = "{\\"h\\": " + $var(h) + "}";\n' in output
    assert '#     route(JANUS_SEND_REQUEST, "gw1", $var(janus_command), "r"); $var(r) = $avp(r);\n' in output


def test_files_that_are_included_are_read(
    imported: Import, cfg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "both.cfg").write_text('modparam("janus", "janus_cmd_timeout", 1)')
    (tmp_path / "both.cfg").write_text('modparam("janus", "janus_cmd_timeout", 2)')
    (tmp_path / "beside.cfg").write_text('# one\nmodparam("janus", "janus_magic", 2)\n')
    monkeypatch.chdir(tmp_path / "cwd")
    code, output, config = imported(f"{URL}include_file \"both.cfg\" dropped(\n\timport_file 'beside.cfg'\n")
    assert (code, config.janus.janus_cmd_timeout) == (1, 1)  # the working directory goes first
    assert f"# {tmp_path}/beside.cfg:2: janus_magic is not carried over\n" in output


@pytest.mark.parametrize("word", ["include_file", "import_file"])
def test_a_file_that_cannot_be_included_is_named(imported: Import, cfg: Path, word: str) -> None:
    code, output, _ = imported(f'{URL}{word} "none.cfg"\n')
    assert code == 1
    assert f"# {cfg}:2: {cfg.parent}/none.cfg is included and cannot be read: No such file or directory\n" in output


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_includes_itself_is_not_read_for_ever(
    cfg: Path, times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg.write_text(f'include_file "{cfg}"\n' * times)
    assert main(["import", str(cfg)]) == 2
    assert "does a file include itself?" in capsys.readouterr().err


def test_much_that_is_included_often_is_not_read_for_ever(cfg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg.with_name("big").write_bytes(b"#" * (1 << 20))
    cfg.write_text('include_file "big"\n' * 9)
    assert main(["import", str(cfg)]) == 2
    assert "more than 4 MiB or 1000 files" in capsys.readouterr().err


def test_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f'{URL}modparam("janus", "x", 1)'.encode())))
    code, output, config = imported("", "-")
    assert (code, str(config.janus.janus_db_url)) == (1, "mysql://u:***@h/d")
    assert "# stdin:2: x is not carried over\n" in output


def test_m4_is_recognised_and_nothing_is_taken_for_granted(cfg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg.write_text(f"{URL}define(`DB', `x')\n")
    assert main(["import", str(cfg)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(
        f"janus-bridge import: {cfg}:2: define( outside of a route, as in m4: OpenSIPS cannot"
    )
    assert captured.err.count("\n") == 1
    assert "\n# janus_db_url = " in captured.out
    assert "\njanus_db_url" not in captured.out


@pytest.mark.parametrize(
    "evil",
    [
        r"a\n[mi]\nhttp = 1",
        "a\n[mi]\nhttp = 1",
        r"a\r\"x",
        r"a\x0b\x0c\x1c\x7f",
        "a\u2028\u2029\x85b",
        '\\"\\"\\"',
        r"\x1b[2J",
    ],
)
def test_no_value_leaves_its_line(imported: Import, cfg: Path, evil: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, config = imported(
        f'{URL}modparam("janus", "janus_cmd_polling_itv", "{evil}")\nmodparam("janus", "{evil}", "{evil}")\n'
        f'modparam("janus", "janus_db_table", "{evil}")\n'
        f'route {{ subscribe_event("E_JANUS_EVENT", "unix:/{evil}"); janus_send_request("{evil}", "{evil}"); }}\n'
        f'event_route[E_JANUS_EVENT] {{ }}\nmodparam("mi_datagram", "socket_name", "/{evil}")\n'
    )
    assert code == 1
    assert config.mi.http == ("127.0.0.1:8889",)
    for line in output.splitlines():
        assert line.isprintable()
        assert line.startswith(("# ", "[janus]", "janus_", "[[events", "event =", "socket =")) or not line


def test_no_name_of_a_file_leaves_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a\n[mi]\nhttp = 1"
    file.write_text('modparam("janus", "x", 1)')
    assert main(["import", os.fspath(file)]) == 1
    assert all(line.startswith(("#", "[janus]")) or not line for line in capsys.readouterr().out.split("\n"))
