"""Values of settings: what is taken, what the program gets of it, and in which words the rest is refused."""

from pathlib import Path
from typing import Any

import pytest

from bridge.config import kinds
from bridge.config.kinds import Secret, ValueKind, is_loopback
from bridge.protocol.caller import Role


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (kinds.NUMBER, 2, 2.0),
        (kinds.MODE, "0660", 0o660),
        (kinds.MODE, "640", 0o640),
        (kinds.FOLDER, "here", Path.cwd() / "here"),
        (kinds.NAMES, ["a", "a", "b"], {"a", "b"}),
        (kinds.SERVER_NAME, "example.org.", "example.org"),
        (kinds.PATHS, ["/tmp/*"], ("/tmp/*",)),
        (kinds.LISTENERS, ["[::1]:0"], ("[::1]:0",)),
        (kinds.STRING_ID_PLUGINS, [], frozenset()),
    ],
)
def test_what_the_program_gets(kind: ValueKind, value: Any, expected: object) -> None:
    assert kind.read(value) == expected


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (kinds.NUMBER, 10**400, "must be a finite number"),
        (kinds.NUMBER, float("nan"), "must be a finite number"),
        (kinds.TEXT, "a\x7fb", "must have at least one character, and no control characters"),
        (kinds.ABSOLUTE, "fifo", "must be an absolute path"),
        (kinds.ABSOLUTE, "/a\0b", "must have at least one character, and no control characters"),
        (kinds.TOKEN, "a b", "must be printable ASCII without blanks"),
        (kinds.MODE, "0o660", 'must be octal permissions in quotes like "0660"'),
        (kinds.IDENTIFIER, "a`b", "must be an SQL identifier"),
        (kinds.ORIGIN, " x", "must be printable ASCII in quotes, without blanks at its ends"),
        (kinds.PATHS, ["/run/../etc/x"], "'/run/../etc/x' is not the absolute path of a socket"),
        (kinds.LISTENERS, ["*:1"], r"(0.0.0.0 and [::] stand for all addresses)"),
        (kinds.DATAGRAMS, ["udp:192.0.2.1:1"], "is not a loopback address, and datagrams carry no token"),
        (kinds.NETWORKS, ["10.0.0.1/8"], "is not a network such as 10.0.0.0/8 or ::1/128"),
        (kinds.GRANTS, [{"role": "commands", "users": [""]}], "the user of role commands must have at least one"),
        (kinds.GRANTS, [{"role": "commands", "token": "\n"}], "the token of role commands must be printable ASCII"),
    ],
)
def test_what_is_refused(kind: ValueKind, value: Any, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
        kind.read(value)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_role_keeps_its_names_and_hides_its_token() -> None:
    [grant] = kinds.GRANTS.read([{"role": "read-only", "token": "t", "users": ["a"], "groups": ["b", "5"]}])
    assert (grant.role, grant.token, grant.users, grant.groups) == (Role.READ_ONLY, "t", ("a",), ("b", "5"))
    assert "'t'" not in repr(grant)


def test_a_secret_is_itself_and_shows_itself_nowhere() -> None:
    secret = Secret("hunter2")
    assert secret == "hunter2"
    assert hash(secret) == hash("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret!s} %s {[secret]}" % secret
    assert str.__str__(secret) == "hunter2"  # for whoever has to send it


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("[::1]", True), ("LocalHost", True)),
        *(("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.example.org", False), ("", False)),
    ],
)
def test_who_can_reach_a_listener(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
