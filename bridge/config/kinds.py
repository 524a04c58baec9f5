"""What the value of a setting may look like, and what the program gets from it.

Owns the reading of a single value whose shape (text, number, list ...) the schema has already checked. Must not know
any setting by name. Addresses and URLs are read by the parts of ``protocol`` that own their grammar.
"""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bridge.config import shapes
from bridge.protocol.amqp_target import GUEST
from bridge.protocol.caller import ROLES as _ROLES
from bridge.protocol.caller import Role
from bridge.protocol.db_url import SQL_IDENTIFIER, parse_db_url
from bridge.protocol.event_filter import EventFilter
from bridge.protocol.host_port import Network, read_host, read_host_port
from bridge.protocol.mi_address import UdpAddress, parse_datagram_address, parse_http_address
from bridge.protocol.plugin_types import STRING_IDS
from bridge.protocol.reply_socket import ReplySocket
from bridge.protocol.upgrade import Headers, check_headers


class Secret(str):
    """Text that is used as it is, but shows itself as ``***``: in a repr, by ``str()``, in a format, in a log line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"


class Subscriber(NamedTuple):
    """A configured subscription; whether a ``tcp:`` socket is reliable stands in the socket. ``filter``: None: all.
    ``password``: the socket's, in which two that are the same may differ.
    """

    event: str
    socket: ReplySocket
    filter: EventFilter | None = None
    password: Secret | None = None


class RoleGrant(NamedTuple):
    """A role, and who has it: who shows ``token`` over HTTP, and on unix sockets these ``users`` and the members of
    these ``groups`` (names or numbers).
    """

    role: Role
    token: Secret | None
    users: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValueKind:
    """``words`` complete "must be ..."; ``json_type`` is the schema's, and ``schema`` what else that says of the value;
    ``read`` makes the program's value, or raises ValueError with words that do. ``bare``: outside TOML files the text
    may stand without quotes.
    """

    words: str
    json_type: str
    read: Callable[[Any], Any]
    bare: bool = False
    schema: Mapping[str, Any] = field(default_factory=dict, compare=False)


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _text(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError("must have at least one character, and no control characters")
    return value


def _matching(pattern: str, words: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {words}")
        return value

    return read


def _pattern(pattern: str, words: str) -> ValueKind:
    """Text that matches as a whole."""
    return ValueKind(words, "string", _matching(pattern, words), bare=True, schema=shapes.matching(pattern))


def _each(read: Callable[[str], Any]) -> Callable[[Sequence[str]], tuple[Any, ...]]:
    return lambda values: tuple(read(value) for value in values)


def _path_pattern(value: str) -> str:
    if not value.startswith("/") or not value.isprintable() or value.endswith("/") or "/../" in f"{value}/":
        raise ValueError(f"{value!r} is not the absolute path of a socket, in which * may stand for a name")
    return value


def _absolute(value: str) -> str:
    if not _text(value).startswith("/"):
        raise ValueError("must be an absolute path")
    return value


def _mode(value: str) -> int:
    if not re.fullmatch(_MODE_PATTERN, value):
        raise ValueError(f"must be {_MODE}")
    return int(value, 8)


def _listener(value: str) -> str:
    try:
        read_host_port(value, least=0)
    except ValueError as exc:
        raise ValueError(f"{value!r}: {exc} (0.0.0.0 and [::] stand for all addresses)") from None
    return value


def _datagram(value: str) -> str:
    address = parse_datagram_address(value)
    if isinstance(address, UdpAddress) and not is_loopback(address.host):
        raise ValueError(
            f"{value!r} is not a loopback address, and datagrams carry no token: "
            "listen on 127.0.0.1, [::1] or unix:PATH"
        )
    return value


def _network(value: str) -> Network:
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8 or ::1/128") from None


def _subscriber(value: dict[str, Any]) -> Subscriber:
    socket = ReplySocket.parse(value["socket"], reliable=value.get("reliable", False))
    wanted = EventFilter.read(value["filter"]) if "filter" in value else None
    return Subscriber(
        value["event"], socket, wanted, Secret(socket.password) if socket.password not in (None, GUEST) else None
    )


def _grant(value: dict[str, Any]) -> RoleGrant:
    role, token, users, groups = value["role"], value.get("token"), value.get("users", ()), value.get("groups", ())
    if token is None and not users and not groups:
        raise ValueError(f"the role {role} has neither token, users nor groups: give it one of them")
    shown = None if token is None else _of_role(role, "token", TOKEN.read, token)
    users, groups = (
        tuple(_of_role(role, what, _text, name) for name in names)
        for what, names in (("user", users), ("group", groups))
    )
    return RoleGrant(_ROLES[role], shown, users, groups)


def _of_role(role: str, what: str, read: Callable[[str], Any], text: str) -> Any:
    """``read`` this; a ValueError says whose it is."""
    try:
        return read(text)
    except ValueError as exc:
        raise ValueError(f"the {what} of role {role} {exc}") from None


def _headers(value: Mapping[str, str]) -> Headers:
    check_headers(value)
    return tuple((name, Secret(text)) for name, text in value.items())


def _server_name(value: str) -> str:
    try:
        return read_host(f"[{value}]" if ":" in value else value).removesuffix(".")  # no certificate has that dot
    except ValueError:
        raise ValueError(f"must be {_SERVER_NAME}") from None


def _string_ids(values: Sequence[str]) -> frozenset[str]:
    for value in values:
        if value not in STRING_IDS:
            raise ValueError(f"{value!r} has no string_ids; {', '.join(STRING_IDS)} have")
    return frozenset(values)


def is_loopback(host: str) -> bool:
    """Whether nobody beyond this machine can reach a listener on this host (IPv6 with or without brackets)."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


_SERVER_NAME = "a host name or an IP address in quotes"
_MODE_PATTERN = r"0?[0-7]{3}"
_MODE = 'octal permissions in quotes like "0660"'

BOOLEAN = ValueKind("true or false", "boolean", bool)
INTEGER = ValueKind("an integer", "integer", int)
NUMBER = ValueKind("a number", "number", _finite)
TEXT = ValueKind("text in quotes", "string", _text, bare=True)
SECRET = ValueKind("text in quotes", "string", lambda value: Secret(_text(value)), bare=True)
TOKEN = ValueKind(
    "text in quotes",
    "string",
    lambda value: Secret(_matching(r"[!-~]+", "printable ASCII without blanks")(value)),
    bare=True,
)
CHOICE = ValueKind("text in quotes", "string", str, bare=True)
IDENTIFIER = _pattern(SQL_IDENTIFIER, "an SQL identifier in quotes (letters, digits and _, at most 64)")
PATH_WORD = _pattern(r"[A-Za-z0-9_]+", "letters, digits and _ in quotes")
DB_URL = ValueKind("text in quotes", "string", parse_db_url, bare=True)
MI_URL = ValueKind('text in quotes like "https://sip1.example.org:8889/mi"', "string", parse_http_address, bare=True)
ORIGIN = _pattern(r"[!-~]+( [!-~]+)*", "printable ASCII in quotes, without blanks at its ends")
SERVER_NAME = ValueKind(_SERVER_NAME, "string", _server_name, bare=True)
HEADERS = ValueKind(
    'a table like {Authorization = "Basic ...", Cookie = "..."}', "object", _headers, schema=shapes.TEXTS_BY_NAME
)
FOLDER = ValueKind("text in quotes", "string", lambda value: Path(_text(value)).absolute(), bare=True)
ABSOLUTE = ValueKind("text in quotes", "string", _absolute, bare=True)
MODE = ValueKind(_MODE, "string", _mode, bare=True, schema=shapes.matching(_MODE_PATTERN))
LISTENERS = ValueKind('a list like ["127.0.0.1:8889", "[::1]:8889"]', "array", _each(_listener), schema=shapes.TEXTS)
DATAGRAMS = ValueKind(
    'a list like ["udp:127.0.0.1:8080", "unix:/run/janus-bridge/mi.sock"]',
    "array",
    _each(_datagram),
    schema=shapes.TEXTS,
)
NETWORKS = ValueKind('a list like ["127.0.0.0/8", "::1/128"]', "array", _each(_network), schema=shapes.TEXTS)
PATHS = ValueKind('a list like ["/tmp/*", "/run/sip/events.sock"]', "array", _each(_path_pattern), schema=shapes.TEXTS)
NAMES = ValueKind(
    'a list like ["id", "room"]', "array", lambda values: frozenset(map(_text, values)), schema=shapes.TEXTS
)
STRING_ID_PLUGINS = ValueKind('a list like ["janus.plugin.videoroom"]', "array", _string_ids, schema=shapes.TEXTS)
SUBSCRIBERS = ValueKind(
    'a list like [{event = "E_JANUS_EVENT", socket = "udp:127.0.0.1:8888", reliable = false}]',
    "array",
    _each(_subscriber),  # type: ignore[arg-type]  # tables, not texts
    schema=shapes.SUBSCRIBERS,
)
GRANTS = ValueKind(
    'a list like [{role = "read-only", token = "..."}, {role = "commands", users = ["opensips"], groups = []}]',
    "array",
    _each(_grant),  # type: ignore[arg-type]  # tables, not texts
    schema=shapes.GRANTS,
)
SECRETS = frozenset({SECRET, TOKEN, GRANTS, HEADERS})
