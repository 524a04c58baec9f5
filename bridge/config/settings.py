# ruff: noqa: RUF009 - _row makes a dataclass field, for which it is called once a key
"""The table of settings: one row a key, in the frozen dataclass of its section.

Owns every key, its kind, help, unit, default, range, and whether SIGHUP may change it (contract 3.2 .. 3.4). A row's
default is written as in TOML; None means that the key is unset. ``python -m tools.settings`` makes the schema of the
configuration file and docs/names.md from it, and gives the sample file what it lacks; tests compare them.
Authority for [janus]: the parameters of OpenSIPS's module janus, under their own names and units.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridge.config import kinds
from bridge.config.kinds import RoleGrant, Secret, Subscriber
from bridge.config.row import Setting
from bridge.config.row import row as _row
from bridge.protocol.caller import ROLES
from bridge.protocol.cluster import MOST_NODES
from bridge.protocol.db_url import DbUrl, SqliteUrl
from bridge.protocol.host_port import Network
from bridge.protocol.mi_address import HttpAddress
from bridge.protocol.plugin_types import INTEGER_MEMBERS
from bridge.protocol.upgrade import Headers

TABLE_FILE = "janus.db"  # in the state directory: the default table
_LOOPBACK = ["127.0.0.0/8", "::1/128"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """``[janus.gateways.ID]``: what the table cannot hold about the gateway with that janus_id."""

    api_secret: Secret | None = _row(
        kinds.SECRET, "api_secret of that Janus; replaces any apisecret in a command", reloadable=True
    )
    token: Secret | None = _row(kinds.SECRET, "a token stored in Janus", reloadable=True)
    token_secret: Secret | None = _row(
        kinds.SECRET, "token_auth_secret of that Janus: the bridge signs tokens with it", reloadable=True
    )
    token_ttl: int = _row(
        kinds.INTEGER, "how long a signed token is valid", 3600, "s", low=10, high=31_536_000, reloadable=True
    )
    tls_ca: str | None = _row(
        kinds.TEXT, "PEM file with the CA to trust for januswss:// instead of the system's", reloadable=True
    )
    tls_cert: str | None = _row(kinds.TEXT, "PEM file with the client certificate to show", reloadable=True)
    tls_key: str | None = _row(kinds.TEXT, "PEM file with its key, where tls_cert does not hold it", reloadable=True)
    tls_server_name: str | None = _row(
        kinds.SERVER_NAME, "the name in that server's certificate, where it is not the URL's host", reloadable=True
    )
    headers: Headers = _row(
        kinds.HEADERS,
        "headers of the upgrade request for a web front, e.g. Authorization or Cookie",
        {},
        reloadable=True,
    )
    origin: str | None = _row(
        kinds.ORIGIN, "the Origin header; unset, it is the URL's host as OpenSIPS sends it", reloadable=True
    )
    integer_members: frozenset[str] | None = _row(kinds.NAMES, "as [janus].integer_members, for this gateway alone")
    string_ids: frozenset[str] | None = _row(kinds.STRING_ID_PLUGINS, "as [janus].string_ids, for this gateway alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class JanusSettings:
    """``[janus]``: the C module's parameters, then the bridge's own."""

    janus_db_url: DbUrl = _row(
        kinds.DB_URL,
        "the database with the janus table, in OpenSIPS's grammar: mysql://user:password@host/database, sqlite:///path",
        computed=f"sqlite:///<state_dir>/{TABLE_FILE}",
        reloadable=True,
    )
    janus_db_table: str = _row(
        kinds.IDENTIFIER, "name of the table, and of its row in the version table", "janus", reloadable=True
    )
    janus_send_timeout: int = _row(
        kinds.INTEGER, "a write that takes longer ends the connection", 1000, "ms", low=1, high=600_000
    )
    janus_cmd_timeout: int = _row(
        kinds.INTEGER, "how long a command may take, unless it brings its own limit", 5000, "ms", low=1, high=600_000
    )
    janus_cmd_polling_itv: int = _row(
        kinds.INTEGER,
        "accepted for old configurations, without effect: answers are delivered as they arrive",
        1000,
        "us",
        low=0,
        high=600_000_000,
    )
    janus_ping_interval: int = _row(
        kinds.INTEGER, "how often sessions are kept alive and a silent connection is probed", 5, "s", low=1, high=3600
    )
    janus_max_msg_chunks: int | None = _row(
        kinds.INTEGER,
        "the most WebSocket frames a message of Janus may have; unset, any number",
        unit="frames",
        low=1,
        high=1_000_000,
    )
    janus_db_password_file: str | None = _row(
        kinds.TEXT, "file with the database's password, instead of the one in janus_db_url", reloadable=True
    )
    db_version_table: str = _row(kinds.IDENTIFIER, "OpenSIPS's db_version_table", "version", reloadable=True)
    db_poll_interval: float = _row(
        kinds.NUMBER, "how often the table is read again without a reload; 0: never", 0, "s", low=0, high=86_400
    )
    db_tls_ca: str | None = _row(
        kinds.TEXT, "PEM file with the CA of the MySQL server; makes TLS compulsory", reloadable=True
    )
    db_tls_cert: str | None = _row(kinds.TEXT, "PEM file with the client certificate for MySQL", reloadable=True)
    db_tls_key: str | None = _row(
        kinds.TEXT, "PEM file with its key, where db_tls_cert does not hold it", reloadable=True
    )
    db_server_public_key: str | None = _row(
        kinds.TEXT,
        "PEM file with the MySQL server's RSA key: without verified TLS the password is sent only encrypted for it",
        reloadable=True,
    )
    max_message_size: int = _row(
        kinds.INTEGER, "longer messages of Janus are discarded", 4 << 20, "bytes", low=4096, high=1 << 30
    )
    max_in_flight: int = _row(
        kinds.INTEGER, "commands a gateway may have queued and unanswered", 1024, "commands", low=1, high=1_000_000
    )
    reconnect_min: float = _row(
        kinds.NUMBER, "pause before the first repeated attempt to connect", 0.5, "s", low=0.05, high=60
    )
    reconnect_max: float = _row(kinds.NUMBER, "the longest pause between two attempts", 15, "s", low=1, high=3600)
    wide_integers: str = _row(
        kinds.CHOICE,
        "integers beyond 32 bits in answers and events: as strings, which $json() reads, or as they are",
        "string",
        choices=("string", "number"),
    )
    integer_members: frozenset[str] = _row(
        kinds.NAMES,
        "for unknown plugins: members of a body whose wide decimal strings become integers",
        list(INTEGER_MEMBERS),
    )
    string_ids: frozenset[str] = _row(
        kinds.STRING_ID_PLUGINS, "plugins whose own configuration has string_ids = true: ids and rooms are strings", []
    )
    gateways: Mapping[str, GatewaySettings] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class MiSettings:
    """``[mi]``: where the Management Interface answers, and whom."""

    http: tuple[str, ...] = _row(
        kinds.LISTENERS, "listeners HOST:PORT; any but loopback needs a token", ["127.0.0.1:8889"]
    )
    http_root: str = _row(kinds.PATH_WORD, "path of the MI below /, as mi_http's root", "mi")
    http_tls_cert: str | None = _row(
        kinds.TEXT, "PEM file with the certificate chain: all listeners speak HTTPS", reloadable=True
    )
    http_tls_key: str | None = _row(
        kinds.TEXT, "PEM file with its key, where http_tls_cert does not hold it", reloadable=True
    )
    hold_listeners: bool = _row(
        kinds.BOOLEAN,
        "keep the MI's sockets open over a restart: callers wait there instead of being refused",
        False,
    )
    max_body: int = _row(kinds.INTEGER, "the longest HTTP request", 1 << 20, "bytes", low=1024, high=1 << 30)
    pending_bytes: int = _row(
        kinds.INTEGER,
        "what all requests together may hold while they are read, executed and answered; one client, half of it",
        64 << 20,
        "bytes",
        low=1 << 20,
        high=1 << 36,
    )
    allow: tuple[Network, ...] = _row(kinds.NETWORKS, "networks whose HTTP clients are answered", _LOOPBACK)
    token: Secret | None = _row(
        kinds.TOKEN,
        "HTTP clients must send it: Authorization: Bearer TOKEN; a browser, as the password (GET only)",
        reloadable=True,
    )
    roles: tuple[RoleGrant, ...] = _row(
        kinds.GRANTS,
        "who else may use the MI, by token, user or group, and for what: read-only, commands or everything",
        [],
        reloadable=True,
    )
    datagram: tuple[str, ...] = _row(
        kinds.DATAGRAMS, "datagram sockets: udp:HOST:PORT (loopback only) and unix:PATH", []
    )
    udp_role: str = _row(
        kinds.CHOICE,
        "what senders to UDP sockets may do",
        "everything",
        choices=tuple(ROLES),
        reloadable=True,
    )
    unix_mode: int = _row(kinds.MODE, "permissions of unix sockets", "0660")
    unix_group: str | None = _row(kinds.TEXT, "group of unix sockets and of the FIFO; unset, the process's own")
    fifo: str | None = _row(kinds.ABSOLUTE, "path of the MI FIFO; unset, there is none")
    fifo_mode: int = _row(kinds.MODE, "permissions of the FIFO", "0660")
    fifo_role: str = _row(
        kinds.CHOICE,
        "what writers to the FIFO may do",
        "everything",
        choices=tuple(ROLES),
        reloadable=True,
    )
    fifo_reply_dir: str = _row(kinds.ABSOLUTE, "folder of the clients' reply FIFOs", "/tmp/")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsDomainSettings:
    """``[events.tls_domains.NAME]``: how the brokers are trusted whose sockets have ``tls_domain=NAME``."""

    tls_ca: str | None = _row(kinds.TEXT, "PEM file with the CA to trust instead of the system's", reloadable=True)
    tls_cert: str | None = _row(kinds.TEXT, "PEM file with the client certificate to show", reloadable=True)
    tls_key: str | None = _row(kinds.TEXT, "PEM file with its key, where tls_cert does not hold it", reloadable=True)
    tls_server_name: str | None = _row(
        kinds.SERVER_NAME, "the name in the broker's certificate, where it is not the socket's host", reloadable=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsSettings:
    """``[events]``: who is told without asking, and what waits how long for those who do not take it."""

    subscribers: tuple[Subscriber, ...] = _row(
        kinds.SUBSCRIBERS,
        "subscriptions that never expire; reliable (tcp: only) awaits an answer to each event",
        [],
        reloadable=True,
    )
    queue_events: int = _row(
        kinds.INTEGER, "events that may wait for a subscriber", 65_536, "events", low=1, high=10_000_000
    )
    queue_bytes: int = _row(
        kinds.INTEGER, "bytes of events that may wait for a subscriber", 64 << 20, "bytes", low=65_536, high=1 << 34
    )
    pending_bytes: int = _row(
        kinds.INTEGER,
        "what all queues of events together may hold; configured subscribers share one half, those of MI the other",
        256 << 20,
        "bytes",
        low=1 << 20,
        high=1 << 36,
    )
    max_age: float = _row(kinds.NUMBER, "events that waited longer are dropped", 30, "s", low=0.1, high=86_400)
    allow: tuple[Network, ...] = _row(kinds.NETWORKS, "networks that event_subscribe by MI may name", _LOOPBACK)
    allow_unix: tuple[str, ...] = _row(
        kinds.PATHS, "unix sockets that event_subscribe by MI may name; * stands for any name in a folder", ["/tmp/*"]
    )
    numbered: bool = _row(
        kinds.BOOLEAN,
        "give janus_seq to udp:, unix:, tcp: and rabbitmq: sockets, too; mi: sockets always get it",
        False,
    )
    store: bool = _row(
        kinds.BOOLEAN,
        "keep every event on disk; configured subscribers that confirm go on where they were after any restart",
        False,
    )
    store_sync: str = _row(
        kinds.CHOICE,
        "what kept events survive: the death of the bridge (normal), or also a power failure (full: sent once on disk)",
        "normal",
        choices=("normal", "full"),
    )
    store_age: float = _row(kinds.NUMBER, "how long events are kept", 86_400, "s", low=1, high=31_536_000)
    store_bytes: int = _row(
        kinds.INTEGER, "how large the log may become; the oldest go first", 1 << 30, "bytes", low=1 << 20, high=1 << 42
    )
    store_delay: float = _row(
        kinds.NUMBER, "how long an event may wait to be written together with others", 5, "ms", low=0, high=1000
    )
    tls_domains: Mapping[str, TlsDomainSettings] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """``[log]``: how much, in OpenSIPS's numbers, and how."""

    level: int = _row(
        kinds.INTEGER,
        "-3 alert, -2 critical, -1 error, 1 warning, 2 notice, 3 info, 4 debug",
        3,
        low=-3,
        high=4,
        reloadable=True,
    )
    format: str = _row(kinds.CHOICE, "lines of text, or JSON objects", "text", choices=("text", "json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSettings:
    """``[state]``: the only place for data."""

    dir: Path = _row(
        kinds.FOLDER,
        "folder (mode 0700, one bridge each) for sessions, the last good table and the default table",
        computed="$STATE_DIRECTORY under systemd, else ~/.local/state/janus-bridge",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """``[cluster]``: a site of bridges, in the words of OpenSIPS's clusterer; unset, this bridge is alone."""

    cluster_id: int | None = _row(
        kinds.INTEGER, "the cluster that this bridge belongs to; unset, none", low=1, high=2**31 - 1
    )
    my_node_id: int | None = _row(
        kinds.INTEGER, "its number in the cluster; no two bridges have the same", low=1, high=MOST_NODES - 1
    )
    my_node_url: HttpAddress | None = _row(
        kinds.MI_URL, "URL of its MI as the other bridges reach it; beyond loopback it needs https and a token"
    )
    ping_interval: float = _row(
        kinds.NUMBER,
        "how often it writes its beat to the database, and reads those of the others",
        1,
        "s",
        low=0.1,
        high=60,
    )
    node_timeout: float = _row(
        kinds.NUMBER, "a bridge that is silent for this long is taken over by another one", 10, "s", low=1, high=600
    )
    db_url: DbUrl | None = _row(
        kinds.DB_URL, "the database with the tables janus_node and janus_session; unset, janus_db_url"
    )
    db_password_file: str | None = _row(
        kinds.TEXT, "file with the password for db_url; where that is unset, janus_db_password_file counts"
    )
    db_outage: str = _row(
        kinds.CHOICE,
        "if neither the database nor the other bridges answer: serve on open connections, or stop and hold commands",
        "serve",
        choices=("serve", "stop"),
    )
    token: Secret | None = _row(
        kinds.TOKEN, "token for the MI of the other bridges; unset, its own [mi] token", reloadable=True
    )
    tls_ca: str | None = _row(
        kinds.TEXT, "PEM file with the CA to trust for the MI of the other bridges instead of the system's"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings. ``warnings``: lines about what works but should not stay so; ``source``: the file, if one was
    read.
    """

    janus: JanusSettings
    mi: MiSettings
    events: EventsSettings
    log: LogSettings
    state: StateSettings
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    source: Path | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def uses_default_table(self) -> bool:
        """Whether the table is the bridge's own file, which it creates."""
        return self.janus.janus_db_url == default_table(self.state.dir)

    @property
    def peers_token(self) -> str | None:
        """What is shown to the other bridges of the cluster."""
        return self.mi.token if self.cluster.token is None else self.cluster.token


def default_table(state_dir: Path) -> SqliteUrl:
    """The table that is used where none is configured."""
    return SqliteUrl(str(state_dir / TABLE_FILE))


SECTIONS: Mapping[str, type[Any]] = {
    "janus": JanusSettings,
    "mi": MiSettings,
    "events": EventsSettings,
    "log": LogSettings,
    "state": StateSettings,
    "cluster": ClusterSettings,
}
GATEWAY_SECTION, DOMAIN_SECTION = "janus.gateways.ID", "events.tls_domains.NAME"
# Tables of tables with names of the user's: of the section and key that hold them, the settings of each.
NAMED: Mapping[tuple[str, str], tuple[str, type[Any]]] = {
    ("janus", "gateways"): (GATEWAY_SECTION, GatewaySettings),
    ("events", "tls_domains"): (DOMAIN_SECTION, TlsDomainSettings),
}


def _rows(section: str, settings: type[Any]) -> dict[str, Setting]:
    return {
        item.name: dataclasses.replace(item.metadata["setting"], section=section, key=item.name)
        for item in dataclasses.fields(settings)
        if "setting" in item.metadata
    }


# section -> key -> row
TABLE: Mapping[str, Mapping[str, Setting]] = {
    **{section: _rows(section, settings) for section, settings in SECTIONS.items()},
    **{section: _rows(section, settings) for section, settings in NAMED.values()},
}
SETTINGS: tuple[Setting, ...] = tuple(setting for rows in TABLE.values() for setting in rows.values())
