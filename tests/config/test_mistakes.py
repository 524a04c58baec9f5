"""Every mistake gets one line that names source, section, key and value, and shows no secret."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import load
from bridge.errors import ConfigError
from tests.config.test_sources import ENVIRON, SECRET, read


def fault(tmp_path: Path, text: str, *overrides: str, **environ: str) -> str:
    """The error's one line, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, *overrides, **environ)
    line = str(caught.value)
    assert line.isprintable()
    assert SECRET not in line
    return line.removeprefix(f"{tmp_path}/janus-bridge.toml: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[janus]\njanus_cmd_timeout = '5s'", '[janus] janus_cmd_timeout = "5s": must be an integer (ms)'),
        ("[janus]\njanus_cmd_timeout = 0", "[janus] janus_cmd_timeout = 0: must be from 1 to 600000 ms"),
        ("[janus]\nreconnect_max = 1e9", "[janus] reconnect_max = 1000000000.0: must be from 1 to 3600 s"),
        ("[janus]\ndb_poll_interval = nan", "[janus] db_poll_interval = NaN: must be a finite number"),
        ("[janus]\ndb_poll_interval = inf", "[janus] db_poll_interval = Infinity: must be from 0 to 86400 s"),
        ("[log]\nlevel = true", "[log] level = true: must be an integer"),
        ("[log]\nlevel = 2026-11-22", '[log] level = "2026-11-22": must be an integer'),
        ("[log]\nlevel = 5", "[log] level = 5: must be from -3 to 4"),
        ("[log]\nformat = 'xml'", '[log] format = "xml": must be one of "text", "json"'),
        ("[janus]\njanus_db_table = 'a b'", "must be an SQL identifier in quotes (letters, digits and _, at most 64)"),
        ("[janus]\njanus_db_url = 'postgres://u:hunter2@h/d'", '"postgres://***": postgres:// is not supported'),
        ("[janus]\njanus_db_url = 'mysql://u:hunter2@h'", '"mysql://***": is not of the form'),
        ("[janus]\njanus_db_url = 5", "[janus] janus_db_url = 5: must be text in quotes"),
        ("[janus.gateways.g]\ntoken = 5", "[janus.gateways.g] token = ***: must be text in quotes"),
        ("[janus.gateways.g]\napi_secret = ''", "api_secret = ***: must have at least one character, and no control"),
        ("[janus.gateways.g]\ntoken_ttl = 1", "[janus.gateways.g] token_ttl = 1: must be from 10 to 31536000 s"),
        ("[mi]\ntoken = 'hunter2 '", "[mi] token = ***: must be printable ASCII without blanks"),
        ("[mi]\nhttp = 'x'", '[mi] http = "x": must be a list like ["127.0.0.1:8889", "[::1]:8889"]'),
        ("[mi]\nhttp = [8889]", "[mi] http[0] = 8889: must be text in quotes; http is a list like"),
        ("[mi]\nhttp = ['*:8889']", "'*:8889': host '*' is empty or not a host name (0.0.0.0"),
        ("[mi]\nhttp = ['127.0.0.1:65536']", "port '65536' is not a number up to 65535"),
        ("[mi]\nhttp = ['[::1:1']", "host '[::1' is not an IPv6 address in brackets"),
        ("[mi]\nhttp = ['[1]:1']", "'[1]:1': host '[1]' is not an IPv6 address in brackets"),
        ("[mi]\nhttp_root = '/mi'", "must be letters, digits and _ in quotes"),
        ("[mi]\nallow = ['10.0.0.1/8']", "'10.0.0.1/8' is not a network such as"),
        ("[mi]\nunix_mode = '0999'", 'unix_mode = "0999": must be octal permissions in quotes like "0660"'),
        ("[mi]\nunix_mode = \"0660\\n\"", "must be octal permissions in quotes"),
        ("[mi]\nunix_mode = 0o660", "unix_mode = 432: must be octal permissions in quotes"),
        ("[mi]\ndatagram = ['tcp:x:1']", "'tcp:x:1' is neither udp:HOST:PORT nor unix:PATH"),
        ("[mi]\ndatagram = ['udp:10.0.0.1:1']", "'udp:10.0.0.1:1' is not a loopback address"),
        ("[mi]\ndatagram = ['udp:0.0.0.0:1']", "is not a loopback address"),
        ("[mi]\nroles = [{role = 'admin', token = 'hunter2'}]", "roles[0].role = ***: must be one of"),
        ("[mi]\nroles = [{role = 'commands', tokn = 'hunter2'}]", "'tokn' was unexpected"),
        ("[mi]\nroles = [{role = 'commands', token = 'hunter2 '}]", "the token of role commands must be printable"),
        ("[mi]\nroles = [{role = 'commands', users = 'x'}]", "roles[0].users = ***: must be a list; roles is"),
        ("[mi]\nroles = [{role = 'read-only', groups = ['']}]", "*: the group of role read-only must have"),
        ("[mi]\nroles = [{role = 'commands'}]", "[mi] roles = ***: the role commands has neither token"),
        (
            "[mi]\ntoken = 'hunter2'\nroles = [{role = 'commands', token = 'hunter2'}]",
            "[mi] roles = ***: [mi] token and role commands have the same token",
        ),
        (
            "[mi]\nroles = [{role = 'commands', token = 'a'}, {role = 'read-only', token = 'b'}, "
            "{role = 'everything', token = 'a'}]",
            "[mi] roles = ***: role commands and role everything have the same token",
        ),
        ("[events]\nsubscribers = [{event = 'E_X', socket = 'udp:h:1'}]", '[0].event = "E_X": must be one of'),
        ("[events]\nsubscribers = [{socket = 'udp:h:1'}]", "'event' is a required property; subscribers is a list"),
        ("[events]\nsubscribers = [{event = 'E_JANUS_EVENT', socket = 'udp:h'}]", "'udp:h': there is no port"),
        (
            "[events]\nsubscribers = [{event = 'E_JANUS_EVENT', socket = 'udp:h:1', reliable = true}]",
            "only a tcp: socket can be reliable",
        ),
        ("[janus]\nstring_ids = ['videoroom']", "'videoroom' has no string_ids; janus.plugin.audiobridge, "),
        ("[janus.gateways.g]\nstring_ids = ['janus.plugin.sip']", "'janus.plugin.sip' has no string_ids; "),
        ("[janus.gateways.g]\nheaders = 'hunter2'", "headers = ***: must be a table like {Authorization"),
        ("[janus.gateways.g]\nheaders = {Cookie = 5}", "headers.Cookie = ***: must be text in quotes; headers is"),
        ("[janus.gateways.g.headers]\nUpgrade = 'hunter2'", "headers = ***: has Upgrade, which the WebSocket"),
        ("[janus.gateways.g.headers]\nCookie = \"hunter2\\r\\n\"", "headers = ***: has a Cookie that is empty or not"),
        ("[janus.gateways.g]\norigin = 'https://\u00e9.example'", 'é.example": must be printable ASCII in quotes'),
        ("[janus.gateways.g]\norigin = ' x'", 'origin = " x": must be printable ASCII in quotes'),
        ("[janus.gateways.g]\ntls_server_name = 'a b'", 'tls_server_name = "a b": must be a host name or an IP'),
        # Unknown names: what may be meant, and no value, which may be a secret.
        ("[janus]\njanus_cmd_timout = 1", "[janus] janus_cmd_timout: unknown key, did you mean janus_cmd_timeout?"),
        ("[mi]\ntokn = 'hunter2'", "[mi] tokn: unknown key, did you mean token?"),
        ("[janus]\napi_secret = 'hunter2'", "unknown key, it belongs in [janus.gateways.ID]"),
        ("[janus]\nxyzzy = 'hunter2'", "[janus] xyzzy: unknown key"),
        ("[mi]\n\"a\\nb\" = 2", '[mi] "a\\nb": unknown key'),
        ("[jansu]\nx = 1", "unknown section [jansu], did you mean [janus]?"),
        ("token = 'hunter2'", "unknown section [token], token belongs in [mi]"),
        ("[xyzzy]", "unknown section [xyzzy]"),
        ("mi = 5", "[mi] must be a table of settings"),
        ("[janus]\ngateways = 5", "[janus.gateways] must be a table of settings"),
        ("[janus.gateways]\n\"a b\" = 'hunter2'", '[janus.gateways."a b"] must be a table of settings'),
        # Rules that bind two settings.
        ("[janus]\nreconnect_min = 20", "reconnect_min = 20: must not be above reconnect_max (15 s)"),
        ("[janus]\ndb_tls_key = '/k'", 'db_tls_key = "/k": needs db_tls_cert to be set, too'),
        ("[mi]\nhttp_tls_key = '/k'", "needs http_tls_cert to be set, too"),
        ("[janus.gateways.g]\ntls_key = '/k'", '[janus.gateways.g] tls_key = "/k": needs tls_cert to be set, too'),
        ("[janus.gateways.g]\ntoken = 'hunter2'\ntoken_secret = 'hunter2'", "token_secret = ***: cannot be set beside"),
        ("[mi]\nhttp = ['127.0.0.1:1', '0.0.0.0:2']", "'0.0.0.0:2' can be reached from other machines: set [mi] token"),
        ("[mi]\nhttp = ['[::]:2']", "'[::]:2' can be reached"),
        ("[mi]\nhttp = ['sip.example.org:2']", "can be reached"),
        # No TOML at all.
        ("[mi", "not valid TOML"),
        ("x = " + "[" * 5000, "brackets are nested too deep"),
        ("[log]\nlevel = " + "9" * 5000, "not valid TOML"),
        ("[log]\nlevel = 0x" + "f" * 5000, "a number has thousands of digits"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_line(tmp_path: Path, text: str, line: str) -> None:
    assert line in fault(tmp_path, text)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"x\.toml: line 1 is not UTF-8 text; save the file in that encoding$"):
        load(tmp_path / "x.toml", environ=ENVIRON)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("log.level=9", "option -o log.level: [log] level = 9: must be from -3 to 4"),
        ("log.level=much", 'option -o log.level: [log] level = "much": must be an integer'),
        ("mi.http=[127.0.0.1:1]", 'option -o mi.http: [mi] http = "[127.0.0.1:1]": must be a list like'),
        ("mi.tokn=hunter2", "option -o mi.tokn: [mi] tokn: unknown key, did you mean token?"),
        ("token=hunter2", "option -o token: unknown section [token], token belongs in [mi]"),
        ("mi=hunter2", "option -o mi: [mi] must be a table of settings"),
        ("mi.token", "option -o mi.token: is not of the form section.key=VALUE"),
        ("=hunter2", "option -o : is not of the form section.key=VALUE"),
        ("a b=hunter2", "option -o a b: is not of the form section.key=VALUE"),
        ("\n=hunter2", "option -o '\\n': is not of the form section.key=VALUE"),
        ("mi.http.0=x", "option -o mi.http.0: [mi] http = {\"0\": \"x\"}: must be a list like"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_option_names_it(tmp_path: Path, override: str, line: str) -> None:
    assert fault(tmp_path, "", override).startswith(line)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("JANUS_BRIDGE_LOG__LEVEL", "[log] level = ***"),
        ("JANUS_BRIDGE_LOG__LEVL", "[log] levl: unknown key, did you mean level?"),
        ("JANUS_BRIDGE_LOGS__LEVEL", "unknown section [logs], did you mean [log]?"),
        ("JANUS_BRIDGE_JANUS__GATEWAYS__G__TOKN", "[janus.gateways.G] tokn: unknown key, did you mean token?"),
        ("JANUS_BRIDGE_JANUS__GATEWAYS", "[janus.gateways] must be a table of settings"),
        ("JANUS_BRIDGE_JANUS__GATEWAYS__G", "[janus] gateways__g: unknown key, did you mean gateways?"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path, name: str, line: str) -> None:
    value = "99" if "***" in line else SECRET
    assert fault(tmp_path, "", **{name: value}).startswith(f"environment {name}: {line.replace('***', '99')}")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LOG_LEVEL", "LOG__LEVEL"),
        ("MI_TOKEN", "MI__TOKEN"),
        ("mi_token", "MI__TOKEN"),
        ("MI_TOKN", "MI__TOKEN"),
        ("TOKEN", "MI__TOKEN or JANUS_BRIDGE_CLUSTER__TOKEN"),
        ("JANUS_DB_URL", "JANUS__JANUS_DB_URL"),
        ("JANUS_JANUS_DB_URL", "JANUS__JANUS_DB_URL"),
        ("ALLOW", "MI__ALLOW or JANUS_BRIDGE_EVENTS__ALLOW"),
        ("JANUS_GATEWAYS_gw1_API_SECRET", "JANUS__GATEWAYS__<ID>__<KEY>"),
        ("GATEWAYS_gw1_API_SECRET", "JANUS__GATEWAYS__<ID>__<KEY>"),
    ],
)
def test_a_variable_that_nearly_is_a_setting_is_not_ignored(tmp_path: Path, name: str, meant: str) -> None:
    line = f"environment JANUS_BRIDGE_{name}: unknown setting, did you mean JANUS_BRIDGE_{meant}?"
    assert fault(tmp_path, "", **{f"JANUS_BRIDGE_{name}": SECRET}) == line


@pytest.mark.parametrize("service", ["", "GATEWAYS_", "MI_"])
def test_what_kubernetes_sets_for_a_service_of_our_name_stops_nothing(service: str) -> None:
    tails = ("SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_8889_TCP", "PORT_8889_TCP_ADDR")
    load(None, [], {f"JANUS_BRIDGE_{service}{tail}": "tcp://10.0.0.1:8889" for tail in tails})


def test_the_first_source_at_fault_is_named_not_the_last(tmp_path: Path) -> None:
    assert fault(tmp_path, "[log]\nlevel = 9", "log.level=3").startswith("[log] level = 9")


WORDS = st.sampled_from(
    ["[janus]", "[mi]", "[janus.gateways.x]", "\n", " = ", "token", "http", "level", "[", "]", "{", "}", "'", '"', ",",
     "1", "-", "0x", ".", "é", "\t", "#", "true", "nan", "127.0.0.1:1", "mysql://u:p@h/d", "janus_db_url", "\x00"]
)  # fmt: skip


@given(text=st.lists(WORDS, max_size=12).map("".join), override=st.lists(WORDS, max_size=6).map("".join))
def test_anything_is_a_configuration_or_one_line(
    text: str, override: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.toml"
    file.write_text(text, encoding="utf-8")
    for overrides in ([], [override]):
        try:
            load(file, overrides, ENVIRON)
        except ConfigError as exc:
            assert re.fullmatch(r".+: .+", str(exc))  # noqa: PT017  # both outcomes are fine
            assert str(exc).isprintable()  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[log]\nlevel = three", "at line 2, column 9: a value is missing or cannot be read: text stands in quotes"),
        ("[log]\nlevel =\n", "at line 2, column 8: a value is missing or cannot be read"),
        ("[log]\nlevel\n", "at line 2, column 6: there is no = behind the key"),
        ("[log]\nlevel = 3 4", "at line 2, column 11: something stands behind the value"),
        ("[log]\nformat = 'text\n", "a text is not closed by a quotation mark"),
        ('[log]\nformat = "text\n', "a text is not closed by a quotation mark on its line"),
        ('[log]\nformat = "text', "at the end of the file: a text is not closed by a quotation mark"),
        ('[state]\ndir = "C:\\x"', 'a backslash in "..." begins an escape'),
        ("[mi]\nhttp = ['a'", "at the end of the file: a list is not closed by ]"),
        ("[log]\nlevel = 3\nlevel = 4", "this key is there already: keep one of them"),
        ("[log]\n[mi]\n[log]", "this section is there already: put its keys together"),
        ("[log", "the name of a section is not closed by ]"),
        ("?", "this is neither [section] nor key = value"),
        ("= 5", "this is neither [section] nor key = value"),
    ],
)
def test_what_is_not_toml_is_said_with_its_place_and_cure(tmp_path: Path, text: str, words: str) -> None:
    said = fault(tmp_path, text)
    assert said.startswith("not valid TOML at ")
    assert words in said


def test_a_file_of_an_editor_that_marks_its_encoding(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xef\xbb\xbf[log]\nlevel = 4\n")
    assert load(file, (), {}).log.level == 4
