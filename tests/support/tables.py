"""``janus`` tables made with the shipped create scripts, as an administrator makes them."""

import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from bridge import resources
from tests.support.galera import Galera
from tests.support.mariadb import MariaDb


def sqlite_table(path: Path, rows: Mapping[str, str]) -> str:
    """Make the table in a new file, with rows janus_id -> janus_url in this order; its ``janus_db_url``."""
    script = resources.path("sql/janus-create.sqlite.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(script)
        database.executemany("INSERT INTO janus (janus_id, janus_url) VALUES (?, ?)", rows.items())
    return f"sqlite://{path}"


def mariadb_table(server: MariaDb | Galera, rows: Mapping[str, str]) -> str:
    """As sqlite_table(), in a new database of this server."""
    script = resources.path("sql/janus-create.mysql.sql").read_text(encoding="utf-8")
    lines = (line for line in script.splitlines() if not line.startswith("--"))
    statements = [statement for statement in "\n".join(lines).split(";") if statement.strip()]
    name = f"opensips_{secrets.token_hex(4)}"
    url = server.create_database(name)
    inserts = [f"INSERT INTO janus (janus_id, janus_url) VALUES ('{key}', '{value}')" for key, value in rows.items()]
    server.execute(*statements, *inserts, database=name)
    return url
