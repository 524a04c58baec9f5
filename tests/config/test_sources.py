"""Sources of settings: their precedence, what is read from them, and what they may show."""

import json
import os
from pathlib import Path

import pytest

from bridge.config import Config, Subscriber, load
from bridge.config.secrets import secrets_of
from bridge.errors import ConfigError
from bridge.protocol.db_url import MysqlUrl, SqliteUrl
from bridge.protocol.reply_socket import ReplySocket
from tests.support.other_database import OtherUrl, with_database

SECRET = "hunter2"
ENVIRON = {"HOME": "/home/u"}


def read(tmp_path: Path, text: str, *overrides: str, **environ: str) -> Config:
    file = tmp_path / "janus-bridge.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return load(file, overrides, ENVIRON | environ)


def test_option_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = "[janus]\njanus_cmd_timeout = 1\njanus_send_timeout = 1\njanus_ping_interval = 1\n"
    config = read(
        tmp_path,
        file,
        "janus.janus_cmd_timeout=2",
        "janus.janus_cmd_timeout=3",
        JANUS_BRIDGE_JANUS__JANUS_CMD_TIMEOUT="9",
        JANUS_BRIDGE_JANUS__JANUS_SEND_TIMEOUT="9",
    )
    janus = config.janus
    assert (janus.janus_cmd_timeout, janus.janus_send_timeout, janus.janus_ping_interval) == (3, 9, 1)
    assert janus.janus_cmd_polling_itv == 1000


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("mi.token", '"x"\nlog.level = 4', "[mi] token = ***: must be printable ASCII"),
        ("mi.http", '["127.0.0.1:1"]\n[mi]\ntoken = "x"', "must be a list like"),
        ("log.level", '1\n[mi]\ntoken = "x"', "must be an integer"),
        ("log.level", "1\nlevel = 2", "must be an integer"),
    ],
)
def test_a_value_is_one_value(key: str, value: str, words: str) -> None:
    """From an option or a variable; what stands behind it is neither taken nor left out silently."""
    section, _, name = key.partition(".")
    variable = f"JANUS_BRIDGE_{section}__{name}".upper()
    for overrides, environ in (([f"{key}={value}"], {}), ([], {variable: value})):
        with pytest.raises(ConfigError) as caught:
            load(None, overrides, environ)
        assert words in str(caught.value)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("janus_id", ["a=b", "a.b", "a]b", "[x]", "a'b", 'a"b', "a b", "a#b", "é", "a\nb"])
def test_any_janus_id_can_be_named_by_an_option(janus_id: str) -> None:
    key = json.dumps(janus_id)
    assert set(load(overrides=[f"janus.gateways.{key}.token=x=y"], environ=ENVIRON).janus.gateways) == {janus_id}


@pytest.mark.parametrize(
    "option", ["[mi]\ntoken=x", "# comment\nmi.token=x", '"mi\n".token=x', '"mi.token=x', "mi.'token=x"]
)
def test_what_is_no_key_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=r"is not of the form section\.key=VALUE$"):
        load(overrides=[option], environ=ENVIRON)


def test_every_kind_of_value(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [janus]
        janus_db_url = "mysql://u:p%40ss@db1/opensips"
        janus_max_msg_chunks = 400
        db_poll_interval = 2.5
        reconnect_max = 20
        integer_members = ["id"]
        [janus.gateways."gw.1"]
        api_secret = "s"
        integer_members = []
        [janus.gateways.gw2]
        [mi]
        http = ["127.0.0.1:0", "[::1]:8889", "localhost:1"]
        allow = ["10.0.0.0/8"]
        datagram = ["udp:[::1]:8080", "unix:/run/x"]
        unix_mode = "640"
        [events]
        subscribers = [
            {event = "E_JANUS_EVENT", socket = "tcp:127.0.0.1:1/m", reliable = true},
            {event = "E_JANUS_STATUS", socket = "unix:/s"},
        ]
        [state]
        dir = "/var/lib/x"
        """,
    )
    assert config.janus.janus_db_url == MysqlUrl("db1", None, "opensips", "u", "p@ss")
    assert config.janus.janus_max_msg_chunks == 400
    assert config.janus.db_poll_interval == 2.5
    assert type(config.janus.reconnect_max) is float
    assert config.janus.integer_members == {"id"}
    assert list(config.janus.gateways) == ["gw.1", "gw2"]
    assert config.janus.gateways["gw.1"].api_secret == "s"
    assert config.janus.gateways["gw.1"].integer_members == frozenset()
    assert config.janus.gateways["gw2"].integer_members is None
    assert config.mi.http == ("127.0.0.1:0", "[::1]:8889", "localhost:1")
    assert [str(network) for network in config.mi.allow] == ["10.0.0.0/8"]
    assert config.mi.datagram == ("udp:[::1]:8080", "unix:/run/x")
    assert config.mi.unix_mode == 0o640
    assert config.events.subscribers == (
        Subscriber("E_JANUS_EVENT", ReplySocket.parse("tcp:127.0.0.1:1/m", reliable=True)),
        Subscriber("E_JANUS_STATUS", ReplySocket.parse("unix:/s")),
    )
    assert config.state.dir == Path("/var/lib/x")
    assert not config.uses_default_table
    assert config.source == tmp_path / "janus-bridge.toml"


def test_text_outside_a_file_needs_no_quotes(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "",
        "mi.token=12=34",
        "janus.janus_db_url=sqlite:///x.db",
        "janus.gateways.gw1.api_secret='quoted'",
        'janus.gateways."gw.2".token=true',
        'janus.gateways."gw.2".headers={Cookie = "a=b"}',
        'janus.gateways."gw.2".headers.Authorization=Bearer x',
        "janus.gateways={gw3 = {token = 'x'}}",
        "mi.unix_mode=0600",
        'mi.http=["127.0.0.1:0"]',
        JANUS_BRIDGE_JANUS__GATEWAYS__Gw__4__API_SECRET="a b",
        JANUS_BRIDGE_EVENTS__SUBSCRIBERS='[{event="E_JANUS_EVENT", socket="udp:127.0.0.1:1"}]',
    )
    assert config.mi.token == "12=34"
    assert config.janus.janus_db_url == SqliteUrl("/x.db")
    gateways = config.janus.gateways
    assert (gateways["gw1"].api_secret, gateways["gw.2"].token) == ("quoted", "true")
    assert gateways["gw.2"].headers == (("Cookie", "a=b"), ("Authorization", "Bearer x"))
    assert repr(gateways["gw.2"].headers) == "(('Cookie', '***'), ('Authorization', '***'))"
    assert (gateways["gw3"].token, gateways["Gw__4"].api_secret) == ("x", "a b")
    assert config.mi.unix_mode == 0o600
    assert config.mi.http == ("127.0.0.1:0",)
    assert len(config.events.subscribers) == 1


def test_where_data_is_kept() -> None:
    assert load(environ={"HOME": "/h"}).state.dir == Path("/h/.local/state/janus-bridge")
    assert load(environ={"HOME": "/h", "STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}).state.dir == Path("/var/lib/a")
    chosen = load(overrides=["state.dir=/d"], environ={"STATE_DIRECTORY": "/var/lib/a"})
    assert chosen.state.dir == Path("/d")
    assert chosen.janus.janus_db_url == SqliteUrl("/d/janus.db")
    assert chosen.uses_default_table
    assert load(overrides=["state.dir=here"]).state.dir == Path.cwd() / "here"
    assert load(environ={}).state.dir.is_absolute()


def test_the_default_file_may_be_missing_but_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.config.sources.DEFAULT_PATH", tmp_path / "default.toml")
    assert load(environ=ENVIRON).source is None
    (tmp_path / "default.toml").write_text("[log]\nlevel = 4\n")
    assert load(environ=ENVIRON).log.level == 4
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml", environ=ENVIRON)
    assert str(caught.value) == f"{tmp_path}/none.toml: no such file"
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path, environ=ENVIRON)


def test_other_variables_are_none_of_ours(tmp_path: Path) -> None:
    assert read(tmp_path, "", JANUS__LOG__LEVEL="9", XJANUS_BRIDGE_LOG__LEVEL="9", JANUS_BRIDGE="9").warnings == ()


def test_variables_with_our_prefix_that_resemble_no_setting_are_warned_of(tmp_path: Path) -> None:
    kubernetes = ["SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_8889_TCP", "PORT_8889_TCP_PROTO", "PORT_8889_TCP_ADDR"]
    names = sorted(f"JANUS_BRIDGE_{name}" for name in [*kubernetes, "HOME", ""])
    (warning,) = read(tmp_path, "", **dict.fromkeys(names, SECRET)).warnings
    assert warning == (
        f"environment: {', '.join(names)}: ignored, as settings have the form JANUS_BRIDGE_<SECTION>__<KEY>"
    )


def test_both_kinds_of_warnings_are_given(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[mi]\ntoken = 'x'")
    (tmp_path / "x.toml").chmod(0o644)
    assert len(load(tmp_path / "x.toml", environ={**ENVIRON, "JANUS_BRIDGE_HOME": "x"}).warnings) == 2


def test_a_token_opens_the_listener(tmp_path: Path) -> None:
    config = read(tmp_path, "[mi]\nhttp = ['0.0.0.0:1']", JANUS_BRIDGE_MI__TOKEN="12345")
    assert config.mi.token == "12345"


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        f"[janus]\njanus_db_url = 'mysql://u:{SECRET}@h/d'\n[mi]\ntoken = '{SECRET}'\n"
        f"[janus.gateways.a]\napi_secret = '{SECRET}'\ntoken = '{SECRET}'\n"
        f"[janus.gateways.b]\ntoken_secret = '{SECRET}'\n",
    )
    token = config.mi.token
    assert token is not None
    assert token == SECRET
    assert token.encode() == SECRET.encode()
    shown = [
        repr(config),
        str(config),
        str(token),
        f"{token}",
        f"{token:>3}",
        repr([token]),
        str(config.janus.janus_db_url),
    ]
    assert not [text for text in shown if SECRET in text]
    assert "***" in shown[0]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("[mi]\ntoken = 'x'", "mi.token"),
        ("[janus]\njanus_db_url = 'mysql://u:p@h/d'", "janus.janus_db_url"),
        ("[janus.gateways.g]\napi_secret = 'x'\ntoken = 'x'", "janus.gateways.g.api_secret, janus.gateways.g.token"),
        ("[janus]\njanus_db_url = 'mysql://u@h/d'", None),
        ("[mi]\nroles = [{role = 'commands', token = 'x'}]", "mi.roles"),
        (
            "[events]\nsubscribers = [{event = 'E_JANUS_EVENT', socket = 'rabbitmq:u:x@h/k'}]",
            "events.subscribers",
        ),
        ("[mi]\nroles = [{role = 'commands', users = ['x']}]", None),
        ("[log]\nlevel = 3", None),
    ],
)
def test_secrets_that_others_can_read_are_warned_of(tmp_path: Path, text: str, keys: str | None) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text)
    expected = f"{file}: every user of this machine can read {keys} in it (chmod o-r)"
    for mode, readable in ((0o644, True), (0o640, False), (0o600, False)):
        os.chmod(file, mode)
        warned = load(file, environ=ENVIRON).warnings
        assert warned == ((expected,) if readable and keys else ())


def test_the_way_to_have_string_ids_before_there_was_string_ids_is_warned_of(tmp_path: Path) -> None:
    doubt = (
        "integer_members without id and room: it is for plugins that are not known; "
        "plugins of Janus whose ids are strings are named in string_ids"
    )
    warned = read(tmp_path, "[janus]\ninteger_members = []\n[janus.gateways.gw]\ninteger_members = ['private_id']\n")
    assert warned.warnings == (f"[janus] {doubt}", f"[janus.gateways.gw] {doubt}")
    told = "[janus]\ninteger_members = []\nstring_ids = ['janus.plugin.videoroom']\n[janus.gateways.gw]\n"
    assert read(tmp_path, told + "integer_members = []\n").warnings == ()
    assert read(tmp_path, "[janus]\ninteger_members = ['uid']\n").warnings == ()


def test_of_the_headers_all_but_two_are_secrets(tmp_path: Path) -> None:
    """The name in Host is that in every error of a connect."""
    public = 'Host = "janus.example.org", user-agent = "Mozilla/5.0 (X11)"'
    headers = f'{{{public}, Authorization = "Bearer x-token", Cookie = "y=z"}}'
    config = read(tmp_path, "", f"janus.gateways.gw.headers={headers}")
    assert set(secrets_of(config)) == {"Bearer x-token", "x-token", "y=z"}


def test_the_password_of_any_database_is_a_secret(tmp_path: Path) -> None:
    config = read(tmp_path, "")
    assert set(secrets_of(config)) == set()
    assert set(secrets_of(with_database(config, OtherUrl(password=SECRET)))) == {SECRET}
