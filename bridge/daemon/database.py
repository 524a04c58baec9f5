"""The databases that a configuration names, and what of the table's rows may not be shown.

Owns which settings place them. Must not know when they are read: service, ``check``, ``db`` and ``unit`` all do.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bridge.config import Config, JanusSettings
from bridge.config.settings import TABLE_FILE
from bridge.protocol.gateway import TableRow
from bridge.protocol.janus_url import secrets as url_secrets
from bridge.transport.db import DEADLINE, Database, JanusTable
from bridge.transport.db_access import MysqlAccess
from bridge.transport.state_dir import StateDir
from bridge.transport.tls import Tls

_NEW_TABLE = 64 << 10  # bytes, with its journal
_SECRET = re.compile(r"[@?#]")


def database_of(config: Config) -> JanusTable:
    """The table that the configuration names."""
    janus = config.janus
    access = _access(janus, janus.janus_db_password_file)
    return JanusTable(janus.janus_db_url, janus.janus_db_table, janus.db_version_table, access=access)


def cluster_database_of(config: Config, deadline: float = DEADLINE) -> Database:
    """The one with the tables of the cluster."""
    janus, cluster = config.janus, config.cluster
    if cluster.db_url is None:
        return Database(janus.janus_db_url, _access(janus, janus.janus_db_password_file), deadline=deadline)
    access = _access(janus, cluster.db_password_file)._replace(password_setting="[cluster] db_password_file")
    return Database(cluster.db_url, access, deadline=deadline)


def require_room(config: Config, state: StateDir) -> None:
    """For the default table, where it is still to be made. Raises ConfigError: the disk is full."""
    if config.uses_default_table and not (config.state.dir / TABLE_FILE).exists():
        state.require_room(_NEW_TABLE)


def _access(janus: JanusSettings, password_file: str | None) -> MysqlAccess:
    """Keys and certificates are the same for both databases."""
    tls = Tls(_path(janus.db_tls_ca), _path(janus.db_tls_cert), _path(janus.db_tls_key))
    return MysqlAccess(_path(password_file), tls, _path(janus.db_server_public_key))


def secrets_of_rows(rows: Iterable[TableRow]) -> Iterator[str]:
    """What of the URLs of a table may not be shown. Most have nothing, which is seen at once."""
    for row in rows:
        if _SECRET.search(row.janus_url):
            yield from url_secrets(row.janus_url)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
