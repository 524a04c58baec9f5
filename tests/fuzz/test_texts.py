"""Texts that people and databases write: URLs, sockets, addresses, opensips.cfg, configuration files, table rows.

Each is read, or refused with one printable line; nothing else is raised.
"""

import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from bridge import resources
from bridge.cli.import_cfg import Made
from bridge.config import load
from bridge.errors import ConfigError, TableUnavailable
from bridge.protocol import opensips_cfg
from bridge.protocol.db_url import SqliteUrl, parse_db_url
from bridge.protocol.gateway import read_rows
from bridge.protocol.janus_url import JanusUrl
from bridge.protocol.mi_address import parse_datagram_address
from bridge.protocol.opensips_lex import Place, Script
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.db import JanusTable
from tests.fuzz.targets import fuzz

PARSERS: list[Callable[[str], object]] = [JanusUrl.parse, ReplySocket.parse, parse_db_url, parse_datagram_address]
PIECES = st.sampled_from(
    ["janusws://", "januswss://", "ws://", "http://", "udp:", "unix:", "tcp:", "mi:udp:", "mi:unix:", "mysql://", "#",
     "sqlite:///", "unix(", ")", "127.0.0.1", "[::1]", "[", "]", "@", ":", "/", "//", "?", "%", "%00", "%zz", "user",
     "localhost", "0", "80", "65536", "-1", "../", "xn--", "é", "\u0131", "\u2028", "\ud800", "\0", "\n", "\u2177"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=10).map("".join)

CFG = st.sampled_from(
    ["modparam(", '"janus"', ",", '"janus_db_url"', '"db_url"', "'", '"', ")", "\n", "/*", "*/", "#", "\\",
     "loadmodule ", '"janus.so"', "db_default_url", "=", "janus_send_request(", "route{", "}", "5", "-", "\0", "é"]
)  # fmt: skip

QUOTED = st.sampled_from(
    ['\\"', "\\n", "\\r", "\\x1b", "\\x7f", "\n", "]", "[mi]", "token = 1", "'", '"""', "#", "\\\\", "\\u0041",
     "=", "é", "\u2028"]
)  # fmt: skip
STRINGS = st.lists(QUOTED | st.text(max_size=3), max_size=8).map("".join)

TOML = st.sampled_from(
    ["[janus]", "[mi]", "[events]", "[log]", "[state]", "[janus.gateways.x]", "[[events.subscribers]]", "\n", " = ",
     '"', "'", "{", "}", "[", "]", ",", ".", "http", "datagram", "fifo", "allow", "token", "janus_db_url", "max_body",
     "dir", "event", "socket", "reliable", "E_JANUS_EVENT", "udp:127.0.0.1:9", "mysql://u:p@h/d", "1", "-1", "inf",
     "1e400",
     "99999999999999999999", "true", "1979-05-27", "\\ud800", "\\u0000", "é"]
)  # fmt: skip

CELLS = (
    TEXTS.filter(lambda text: "\ud800" not in text)
    | st.binary(max_size=12)
    | st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
)


@fuzz
@given(text=TEXTS)
@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__qualname__)
def test_any_address_is_read_or_refused_with_one_line(parse: Callable[[str], object], text: str) -> None:
    try:
        parsed = parse(text)
    except ValueError as exc:
        assert str(exc).isprintable(), exc  # noqa: PT017  # both outcomes are fine
    else:
        assert str(parsed).isprintable()


@fuzz
@given(st.lists(CFG | st.text(max_size=3), max_size=20).map("".join))
def test_any_opensips_cfg_is_read(text: str) -> None:
    opensips_cfg.read(Script([(Place("x", 1), text.encode().decode("latin-1"))]))


@fuzz
@given(st.lists(STRINGS, min_size=3, max_size=3))
def test_nothing_in_an_opensips_cfg_becomes_another_setting(values: list[str]) -> None:
    """Whatever its strings hold: what `import` makes of it is TOML, with the keys that were meant and no others."""
    url, table, socket = values
    script = (
        f'modparam("janus", "janus_db_url", "sqlite:///{url}")\nmodparam("janus", "{table}", "{url}")\n'
        f'modparam("janus", "janus_db_table", "{table}")\ndb_version_table = "{socket}"\n'
        f'modparam("mi_datagram", "socket_name", "{socket}")\nevent_route[E_JANUS_EVENT] {{ exit; }}\n'
        f'route {{ subscribe_event("E_JANUS_EVENT", "unix:/{socket}"); }}\n'
        f'route[x] {{ janus_send_request("{url}", "{table}", $var(r)); }}\n'
    )
    use = opensips_cfg.read(Script([(Place(f"{url}.cfg", 1), script.encode(errors="replace").decode("latin-1"))]))
    made = tomllib.loads("\n".join(Made(f"{url}.cfg", use, []).lines()).encode().decode())
    assert made.keys() <= {"janus", "events"}
    assert made["janus"].keys() <= {"janus_db_url", "janus_db_table", "db_version_table"}
    assert all(row.keys() == {"event", "socket"} for row in made.get("events", {}).get("subscribers", ()))


@fuzz
@given(content=st.lists(TOML.map(str.encode) | st.binary(max_size=3), max_size=20).map(b"".join))
def test_any_configuration_file_is_read_or_refused_with_one_line(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    file.write_bytes(content)
    try:
        load(file, [], {"HOME": "/nonexistent"})
    except ConfigError as exc:
        assert str(exc).isprintable(), exc  # noqa: PT017  # both outcomes are fine


@fuzz
@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_any_rows_are_gateways_or_warnings_of_one_line(
    rows: list[tuple[Any, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.db"
    file.unlink(missing_ok=True)
    _write(file, rows)
    try:
        read = trio.run(JanusTable(SqliteUrl(str(file))).rows)
    except TableUnavailable as exc:
        assert str(exc).isprintable(), exc  # noqa: PT017  # both outcomes are fine
        return
    gateways, warnings = read_rows(read)
    assert all(warning.isprintable() for warning in warnings), warnings
    for gateway in gateways.values():
        assert gateway.shown_url.isprintable() or gateway.fault is not None
        assert (gateway.url is None) == (gateway.fault is not None)


def _write(file: Path, rows: list[tuple[Any, Any]]) -> None:
    script = resources.path("sql/janus-create.sqlite.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(file)) as database, database:
        database.executescript(script.replace("NOT NULL", ""))
        database.executemany("INSERT INTO janus (janus_id, janus_url) VALUES (?, ?)", rows)
