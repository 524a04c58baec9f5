"""The grammar of ``janus_db_url``, OpenSIPS's own (contract 4.2).

    mysql://[user[:password]@]host[:port]/database            IPv6 in brackets; no host: the local server
    mysql://[user[:password]@]host[:port],host[:port].../database      the hosts of one cluster, tried in turn: ours
    mysql://user[:password]@unix(/path/to/socket)/database
    sqlite:///path

Owns the text of a URL and nothing about connecting. No error and no ``str`` here shows a password.
Authority: OpenSIPS db/db_id.c (each part percent-decoded; a password may hold ``/`` and ``:`` and ends at the first
``@``) and db_sqlite (the path is taken as it stands, and is always absolute).
"""

import re
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeAlias

from bridge.protocol.host_port import bracketed
from bridge.protocol.numbers import read_port
from bridge.protocol.percent import decoded
from bridge.protocol.redaction import HIDDEN

# A plain SQL identifier: a table's name stands in statements, and may also come from a configuration.
SQL_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]{0,63}"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_+.-]*)://(.*)", re.DOTALL)
_MYSQL = re.compile(
    r"(?:(?P<user>[^:@/\[]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:(?i:unix)\((?P<socket>[^)]*)\)|(?P<hosts>[^@/]*))"
    r"/(?P<database>[^?]*)(?:\?(?P<parameters>.*))?",
    re.DOTALL,
)
_PLACE = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[]*)(?::(?P<port>.*))?", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_HOSTS_MAX = 16
_SOCKET_MAX = 107  # bytes; sun_path holds 108 with the NUL that ends it


@dataclass(frozen=True, slots=True)
class MysqlUrl:
    """Parts as decoded. ``host`` is without brackets and empty for the local server; ``unix_socket`` replaces host
    and port; ``user`` is empty for the server's default. ``others``: further hosts and ports of the same database.
    """

    host: str
    port: int | None
    database: str
    user: str = ""
    password: str = field(default="", repr=False)
    unix_socket: str | None = None
    others: tuple[tuple[str, int | None], ...] = ()

    @property
    def each(self) -> tuple["MysqlUrl", ...]:
        """A URL for each of the hosts."""
        hosts = ((self.host, self.port), *self.others)
        return tuple(replace(self, host=host, port=port, others=()) for host, port in hosts)

    @property
    def place(self) -> str:
        """Where it is: the hosts, or the socket."""
        if self.unix_socket is not None:
            return f"unix({self.unix_socket})"
        hosts = ((self.host, self.port), *self.others)
        return ",".join(bracketed(host) + ("" if port is None else f":{port}") for host, port in hosts)

    def __str__(self) -> str:
        user = self.user + (f":{HIDDEN}" if self.password else "")
        return f"mysql://{user}{'@' if user else ''}{self.place}/{self.database}"


@dataclass(frozen=True, slots=True)
class SqliteUrl:
    """``path`` is absolute."""

    host: ClassVar[str] = ""
    password: ClassVar[str] = ""
    unix_socket: ClassVar[str | None] = None

    path: str

    @property
    def each(self) -> tuple["SqliteUrl", ...]:
        return (self,)

    @property
    def place(self) -> str:
        return self.path

    def __str__(self) -> str:
        return f"sqlite://{self.path}"


# Each has what others ask of any: password (to hide), host and unix_socket (to reach, and to keep events away from),
# and ``each``, with its ``place``, to try one after the other.
DbUrl: TypeAlias = MysqlUrl | SqliteUrl


def parse_db_url(text: str) -> DbUrl:
    """Read a URL. Raises ValueError with one line that names the part at fault, but never its text where that may
    hold a password.
    """
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise ValueError("is not of the form mysql://user:password@host:port/database or sqlite:///path")
    scheme, rest = match[1].lower(), match[2]
    if scheme == "mysql":
        return _mysql(rest)
    if scheme == "sqlite":
        path = "/" + rest.lstrip("/")
        if path == "/" or not path.isprintable():
            raise ValueError("the path of the file is empty or unprintable")
        return SqliteUrl(path)
    raise ValueError(f"{match[1]}:// is not supported, only mysql:// and sqlite:// are")


def redact(text: str) -> str:
    """A URL as it may be shown: without its password, and without all but the scheme if it cannot be read."""
    try:
        return str(parse_db_url(text))
    except ValueError:
        match = _SCHEME.fullmatch(text)
        return HIDDEN if match is None else f"{match[1]}://{HIDDEN}"


def _mysql(rest: str) -> MysqlUrl:
    match = _MYSQL.fullmatch(rest)
    if match is None:
        raise ValueError("is not of the form mysql://user:password@host:port/database")
    if match["parameters"]:
        name = match["parameters"].partition("=")[0].partition("&")[0]
        shown = repr(name) if name.isidentifier() else "after '?'"
        raise ValueError(f"parameter {shown} is not supported (TLS is db_tls_ca, db_tls_cert, db_tls_key)")
    socket = match["socket"]
    if socket is not None:
        if match["user"] is None:
            raise ValueError("unix(/path) needs user@ before it")
        socket = decoded("the socket's path", socket)
        if not socket.startswith("/") or len(socket.encode()) > _SOCKET_MAX:
            raise ValueError(f"the socket's path is not absolute or longer than {_SOCKET_MAX} bytes")
    database = decoded("the database's name", match["database"])
    if not database:
        raise ValueError("lacks the name of the database behind the last '/'")
    (host, port), *others = _hosts(match["hosts"] or "")
    return MysqlUrl(
        host=host,
        port=port,
        database=database,
        user=decoded("the user's name", match["user"] or ""),
        password=decoded("the password", match["password"] or "", printable=False),
        unix_socket=socket,
        others=tuple(others),
    )


def _hosts(text: str) -> list[tuple[str, int | None]]:
    places = text.split(",")
    if len(places) > _HOSTS_MAX:
        raise ValueError(f"more than {_HOSTS_MAX} hosts")
    found = [_place(place) for place in places]
    if len(found) > 1 and not all(host for host, _ in found):
        raise ValueError("one of the hosts between the commas is empty")
    return found


def _place(text: str) -> tuple[str, int | None]:
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ValueError("is not of the form mysql://user:password@host:port/database")
    return _host(match["host"]), _port(match["port"])


def _host(text: str) -> str:
    if text.startswith("["):
        host = decoded("the host", text[1:-1])
        if not re.fullmatch(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[\w.-]+)?", host):
            raise ValueError("the host in brackets is not an IPv6 address")
        return host
    host = decoded("the host", text)
    labels = host.removesuffix(".").split(".")
    if host and not (_HOST.fullmatch(host) and all(1 <= len(label) <= 63 for label in labels)):
        raise ValueError("the host is not a valid host name")
    return host


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    # Not shown: where the '@' was forgotten, a password stands in this place.
    port = read_port(text)
    if port is None:
        raise ValueError("the port is not a number from 1 to 65535 (or the '@' behind the password is missing)")
    return port
