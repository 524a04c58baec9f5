"""Rules that bind two settings: which key is blamed, and which name is said. Values stay unsaid."""

import dataclasses
import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest

from bridge.config import Config, load, rules
from bridge.config.kinds import LISTENERS, RoleGrant, Secret, Subscriber
from bridge.config.row import row
from bridge.config.rules import conflicts, doubts, reachable
from bridge.config.settings import MiSettings, TlsDomainSettings
from bridge.protocol.caller import Role
from bridge.protocol.db_url import parse_db_url
from bridge.protocol.mi_address import parse_http_address
from bridge.protocol.reply_socket import ReplySocket

PEM = Path("/x.pem")


def config(section: str = "mi", **changes: Any) -> Config:
    """The defaults but for these, as no source would give them."""
    made = load(None, [], {"HOME": "/nonexistent"})
    return dataclasses.replace(made, **{section: dataclasses.replace(getattr(made, section), **changes)})


def grant(role: Role, token: str | None) -> RoleGrant:
    return RoleGrant(role, None if token is None else Secret(token), ("0",), ())


def test_the_defaults_break_none() -> None:
    assert [*conflicts(config()), *doubts(config())] == []


@pytest.mark.parametrize(
    ("section", "changes", "path", "words"),
    [
        (
            "janus",
            {"reconnect_min": 9.0, "reconnect_max": 2.5},
            "reconnect_min",
            "must not be above reconnect_max (2.5 s)",
        ),
        ("janus", {"db_tls_key": PEM}, "db_tls_key", "needs db_tls_cert to be set, too"),
        ("mi", {"http_tls_key": PEM}, "http_tls_key", "needs http_tls_cert to be set, too"),
        (
            "mi",
            {"http": ("127.0.0.1:1", "[::]:2")},
            "http",
            "'[::]:2' can be reached from other machines: set [mi] token",
        ),
    ],
)
def test_a_broken_rule_names_its_key(section: str, changes: dict[str, Any], path: str, words: str) -> None:
    [(blamed, said)] = conflicts(config(section, **changes))
    assert blamed == (section, path)
    assert said.startswith(words)


@pytest.mark.parametrize("open_to_all", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1", "[::ffff:127.0.0.1]:1"])
def test_any_token_makes_a_listener_safe_to_reach(open_to_all: str) -> None:
    assert [path for path, _ in conflicts(config(http=(open_to_all,)))] == [("mi", "http")]
    assert not list(conflicts(config(http=(open_to_all,), token=Secret("t"))))
    assert not list(conflicts(config(http=(open_to_all,), roles=(grant(Role.READ_ONLY, "t"),))))
    assert list(conflicts(config(http=(open_to_all,), roles=(grant(Role.READ_ONLY, None),))))


def test_listeners_of_any_key_need_a_token() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class WithMore(MiSettings):
        websocket: tuple[str, ...] = row(LISTENERS, "one more way in", ["127.0.0.1:1", "0.0.0.0:2"])

    opened = dataclasses.replace(config(), mi=WithMore())
    assert list(reachable(opened.mi)) == [("websocket", "0.0.0.0:2")]
    assert [path for path, _ in conflicts(opened)] == [("mi", "websocket")]


@pytest.mark.parametrize(
    ("token", "tokens", "said"),
    [
        (None, ["a", "b", None, None], []),
        ("a", ["b", "c"], []),
        ("a", ["b", "a"], ["[mi] token and role commands"]),
        (None, ["a", "b", "a"], ["role read-only and role everything"]),
        ("a", ["a", "a"], ["[mi] token and role read-only", "[mi] token and role commands"]),
    ],
)
def test_a_token_stands_for_one_role(token: str | None, tokens: list[str | None], said: list[str]) -> None:
    roles = tuple(grant(Role(1 + number % 3), one) for number, one in enumerate(tokens))
    found = [words for _, words in conflicts(config(token=token and Secret(token), roles=roles))]
    assert found == [f"{names} have the same token: give each its own" for names in said]


CLUSTER = {
    "cluster_id": 1,
    "my_node_id": 2,
    "my_node_url": parse_http_address("https://sip2.example.org:8889/mi"),
    "db_url": parse_db_url("mysql://db/opensips"),
    "token": Secret("t"),
}
LOOPBACK = parse_http_address("http://127.0.0.1:8889")


@pytest.mark.parametrize(
    "changes",
    [{}, {"my_node_url": LOOPBACK, "token": None, "db_url": parse_db_url("sqlite:///c.db")}, {"cluster_id": None}],
)
def test_a_cluster_s_settings_are_whole(changes: dict[str, Any]) -> None:
    assert list(conflicts(config("cluster", **CLUSTER | changes))) == []


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"my_node_id": None}, "cluster_id", "needs my_node_id and my_node_url"),
        ({"my_node_url": None}, "cluster_id", "needs my_node_id and my_node_url"),
        ({"db_url": None}, "cluster_id", "needs janus_db_url, or db_url here"),
        ({"ping_interval": 3.0}, "ping_interval", "node_timeout must be at least four times"),
        ({"node_timeout": 3.5}, "node_timeout", "node_timeout must be at least four times"),
        ({"my_node_url": parse_http_address("http://10.0.0.1:1")}, "my_node_url", ".*: make it https"),
        ({"token": None}, "my_node_url", ".*: set .mi. token, or token here"),
        ({"db_url": parse_db_url("sqlite:///c.db")}, "my_node_url", ".*SQLite is for the bridges of one machine"),
    ],
)
def test_a_cluster_that_cannot_work_is_named(changes: dict[str, Any], path: str, words: str) -> None:
    [(blamed, said)] = conflicts(config("cluster", **CLUSTER | changes))
    assert blamed == ("cluster", path)
    assert re.match(words, said)


def test_the_other_bridges_have_to_be_let_in() -> None:
    made = config("cluster", **CLUSTER)
    reached = dataclasses.replace(made.mi, http=("0.0.0.0:8889",))
    assert list(doubts(made)) == []  # behind a front
    [line] = doubts(dataclasses.replace(made, mi=reached))
    assert line.startswith("[cluster] my_node_url: [mi] allow names this machine alone")
    allow = (*reached.allow, ipaddress.ip_network("10.0.0.0/8"))
    assert list(doubts(dataclasses.replace(made, mi=dataclasses.replace(reached, allow=allow)))) == []
    alone = dataclasses.replace(made.cluster, my_node_url=LOOPBACK)
    assert list(doubts(dataclasses.replace(made, mi=reached, cluster=alone))) == []


def of_rabbit(text: str) -> Config:
    return config("events", subscribers=(Subscriber("E_JANUS_EVENT", ReplySocket.parse(f"rabbitmq:{text}")),))


def test_a_broker_needs_its_library_and_its_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*conflicts(of_rabbit("h/k"))] == []
    missing = "there is no section [events.tls_domains.mq]"
    assert [*conflicts(of_rabbit("h/tls_domain=mq?k"))] == [(("events", "subscribers"), missing)]
    monkeypatch.setattr(rules, "find_spec", lambda name: None)
    needed = "rabbitmq: needs pika, which is not installed: pip install 'opensips-janus-bridge[rabbitmq]'"
    assert [*conflicts(of_rabbit("h/k"))] == [(("events", "subscribers"), needed)]


def test_a_domain_s_key_needs_its_certificate() -> None:
    made = config("events", tls_domains={"mq": TlsDomainSettings(tls_key="/k")})
    assert [path for path, _ in conflicts(made)] == [("events", "tls_domains", "mq", "tls_key")]
