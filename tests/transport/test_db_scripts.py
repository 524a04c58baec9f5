"""The create scripts, run for real: what comes out is what OpenSIPS's own scripts make.

The expected facts are read off OpenSIPS's scripts/mysql/janus-create.sql, scripts/sqlite/janus-create.sql and the
version tables of standard-create.sql in the same folders.
"""

import sqlite3
from contextlib import closing

import pytest

from bridge import resources
from tests.support.mariadb import MariaDb


def script(engine: str) -> list[str]:
    lines = resources.path(f"sql/janus-create.{engine}.sql").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    return [statement for statement in text.split(";") if statement.strip()]


def mysql_columns(mariadb: MariaDb, database: str, table: str) -> list[tuple[object, ...]]:
    return mariadb.execute(
        "SELECT column_name, column_type, is_nullable, column_default, column_key, extra "
        f"FROM information_schema.columns WHERE table_schema = '{database}' AND table_name = '{table}' "
        "ORDER BY ordinal_position"
    )


@pytest.mark.parametrize("with_opensips", [False, True])
def test_mysql(mariadb: MariaDb, with_opensips: bool) -> None:
    database = mariadb.create_database().rpartition("/")[2]
    if with_opensips:  # as its scripts/mysql/standard-create.sql has it
        mariadb.execute(
            "CREATE TABLE version (table_name CHAR(32) NOT NULL, table_version INT UNSIGNED DEFAULT 0 NOT NULL, "
            "CONSTRAINT t_name_idx UNIQUE (table_name)) ENGINE=InnoDB",
            "INSERT INTO version VALUES ('dialog', '12')",
            database=database,
        )
    mariadb.execute(*script("mysql"), database=database)
    assert mysql_columns(mariadb, database, "janus") == [
        ("id", "int(10) unsigned", "NO", None, "PRI", "auto_increment"),
        ("janus_id", "text", "NO", None, "", ""),
        ("janus_url", "text", "NO", None, "", ""),
    ]
    # UNIQUE over a NOT NULL column where there is no primary key: shown as PRI.
    assert mysql_columns(mariadb, database, "version") == [
        ("table_name", "char(32)", "NO", None, "PRI", ""),
        ("table_version", "int(10) unsigned", "NO", "0", "", ""),
    ]
    assert mariadb.execute("SHOW INDEX FROM version", database=database)[0][1:5] == (0, "t_name_idx", 1, "table_name")
    engines = mariadb.execute(f"SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema='{database}'")
    assert engines == [("InnoDB",)]
    assert mariadb.execute("SELECT * FROM version WHERE table_name = 'janus'", database=database) == [("janus", 1)]


@pytest.mark.parametrize("with_opensips", [False, True])
def test_sqlite(with_opensips: bool) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        if with_opensips:
            connection.execute(
                "CREATE TABLE version (table_name CHAR(32) NOT NULL, table_version INTEGER DEFAULT 0 NOT NULL, "
                "CONSTRAINT version_t_name_idx UNIQUE (table_name))"
            )
        for statement in script("sqlite"):
            connection.execute(statement)
        # (cid, name, type, notnull, default, pk)
        assert connection.execute("PRAGMA table_info(janus)").fetchall() == [
            (0, "id", "INTEGER", 1, None, 1),
            (1, "janus_id", "TEXT", 1, None, 0),
            (2, "janus_url", "TEXT", 1, None, 0),
        ]
        assert connection.execute("PRAGMA table_info(version)").fetchall() == [
            (0, "table_name", "CHAR(32)", 1, None, 0),
            (1, "table_version", "INTEGER", 1, "0", 0),
        ]
        [(_, _, unique, _, _)] = connection.execute("PRAGMA index_list(version)").fetchall()
        assert unique == 1
        [(made,)] = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'janus'").fetchall()
        assert "AUTOINCREMENT" in made
        assert connection.execute("SELECT * FROM version").fetchall() == [("janus", 1)]
