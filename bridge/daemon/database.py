"""The databases that a configuration names, and what of the table's rows may not be shown.

Owns which settings place them. Must not know when they are read: service, ``check``, ``db`` and ``unit`` all do.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bridge.config import Config, JanusSettings
from bridge.protocol.gateway import TableRow
from bridge.protocol.janus_url import secrets as url_secrets
from bridge.transport.db import DEADLINE, Database, JanusTable
from bridge.transport.tls import Tls

_SECRET = re.compile(r"[@?#]")


def database_of(config: Config) -> JanusTable:
    """The table that the configuration names."""
    janus = config.janus
    return JanusTable(
        janus.janus_db_url,
        janus.janus_db_table,
        janus.db_version_table,
        password_file=_path(janus.janus_db_password_file),
        tls=_tls(janus),
        public_key_file=_path(janus.db_server_public_key),
    )


def cluster_database_of(config: Config, deadline: float = DEADLINE) -> Database:
    """The one with the tables of the cluster."""
    janus, cluster = config.janus, config.cluster
    password_file = janus.janus_db_password_file if cluster.db_url is None else cluster.db_password_file
    return Database(
        cluster.db_url or janus.janus_db_url,
        password_file=_path(password_file),
        tls=_tls(janus),
        public_key_file=_path(janus.db_server_public_key),
        deadline=deadline,
        password_setting="janus_db_password_file" if cluster.db_url is None else "[cluster] db_password_file",
    )


def _tls(janus: JanusSettings) -> Tls | None:
    if janus.db_tls_ca or janus.db_tls_cert or janus.db_tls_key:
        return Tls(_path(janus.db_tls_ca), _path(janus.db_tls_cert), _path(janus.db_tls_key))
    return None


def secrets_of_rows(rows: Iterable[TableRow]) -> Iterator[str]:
    """What of the URLs of a table may not be shown. Most have nothing, which is seen at once."""
    for row in rows:
        if _SECRET.search(row.janus_url):
            yield from url_secrets(row.janus_url)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
