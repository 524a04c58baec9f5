"""``janus-bridge db``: what it does to real tables, what it prints, and its exit codes."""

import argparse
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bridge.cli import db
from tests.support.mariadb import MariaDb

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``janus-bridge db ...`` on a machine of its own; exit code, stdout and stderr."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))

    parser = argparse.ArgumentParser(prog="janus-bridge")
    db.add_arguments(parser.add_subparsers().add_parser("db"))

    def run(*words: str) -> tuple[int, str, str]:
        try:
            args = parser.parse_args(["db", *words])
            code = args.run(args)
        except SystemExit as exc:  # argparse
            code = int(str(exc.code))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def test_from_nothing_to_a_table_with_a_gateway(run: Run, tmp_path: Path) -> None:
    name = f"sqlite://{tmp_path}/state/janus.db janus"
    assert run("list") == (0, f"no rows: {name}\n", "")
    assert run("add", "gw1", "janusws://h1:8188/janus") == (0, f"added gw1 (id 1): {name}\n{db._HINT}\n", "")
    assert run("add", "gateway-2", "januswss://h2")[0] == 0
    assert run("list") == (
        0,
        "ID  JANUS_ID   JANUS_URL\n1   gw1        janusws://h1:8188/janus\n2   gateway-2  januswss://h2\n",
        "",
    )
    assert run("set", "gw1", "janusws://h3") == (0, f"changed gw1 (id 1): {name}\n{db._HINT}\n", "")
    assert run("remove", "gateway-2") == (0, f"removed gateway-2 (id 2): {name}\n{db._HINT}\n", "")
    assert run("list")[1].splitlines()[1:] == ["1   gw1       janusws://h3"]


def test_json(run: Run) -> None:
    def parsed(*words: str) -> tuple[int, object]:
        code, out, err = run(*words, "--json")
        assert err == ""
        return code, json.loads(out)

    row = {"id": 1, "janus_id": "gw-日本", "janus_url": "janusws://h"}
    assert parsed("init") == (0, {"created": True})
    assert parsed("init") == (0, {"created": False})
    assert parsed("list") == (0, [])
    assert parsed("add", "gw-日本", "janusws://h") == (0, row)
    assert parsed("add", "gw-日本", "janusws://h") == (1, None)
    assert parsed("list") == (0, [row])
    assert parsed("set", "gw-日本", "janusws://i") == (0, {"changed": [1]})
    assert parsed("set", "gw2", "janusws://i") == (1, {"changed": []})
    assert parsed("remove", "gw-日本") == (0, {"removed": [1]})
    assert parsed("remove", "gw-日本") == (1, {"removed": []})


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["add", "gw1", "janusws://h"], 1, "'gw1' is there already in sqlite://{db} janus; `db set` changes its URL"),
        (["set", "gw9", "janusws://h"], 1, "there is no 'gw9' in sqlite://{db} janus; `db list` shows what there is"),
        (["remove", "gw9"], 1, "there is no 'gw9' in sqlite://{db} janus; `db list` shows what there is"),
        (["add", "gw2", "http://h?apisecret=x"], 2, "URL: scheme 'http' is not one of janusws, januswss, ws, wss"),
        (["add", "", "janusws://h"], 2, "ID '' must be printable, and not empty"),
        (["add", "g" * 256, "janusws://h"], 2, f"ID '{'g' * 40}'... must have at most 255 characters"),
        (["add", "a\nb", "janusws://h"], 2, "ID 'a\\nb' must be printable, and not empty"),
        (["list", "-o", "log.level=9"], 2, "option -o log.level: [log] level = 9: must be from -3 to 4"),
        (["list", "-c", "/none.toml"], 2, "/none.toml: no such file"),
        (["list", "-o", "janus.janus_db_url=sqlite:///none/x.db"], 2, "sqlite:///none/x.db: there is no folder /none"),
        (
            ["list", "-o", "janus.janus_db_url=mysql://u:hunter2@127.0.0.1:1/d"],
            3,
            "mysql://u:***@127.0.0.1:1/d: Can't connect to MySQL server on '127.0.0.1' "
            "([Errno 111] Connection refused)",
        ),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_code(
    run: Run, tmp_path: Path, words: list[str], code: int, error: str
) -> None:
    run("add", "gw1", "janusws://h")
    expected = error.format(db=tmp_path / "state" / "janus.db")
    assert run(*words) == (code, "", f"janus-bridge db: {expected}\n")


@pytest.mark.parametrize("words", [[], ["drop"], ["add", "gw1"]])
def test_usage(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("usage: janus-bridge db")


def test_a_wrong_version_is_refused(run: Run, tmp_path: Path) -> None:
    run("init")
    with closing(sqlite3.connect(tmp_path / "state" / "janus.db")) as connection, connection:
        connection.execute("UPDATE version SET table_version = 2")
    code, _, err = run("list")
    assert code == 2
    assert err.endswith("invalid version 2 for table 'janus' found, expected version 1\n")


def test_no_row_controls_the_terminal(run: Run, tmp_path: Path) -> None:
    run("init")
    with closing(sqlite3.connect(tmp_path / "state" / "janus.db")) as connection, connection:
        connection.execute("INSERT INTO janus (janus_id, janus_url) VALUES (?, 'x')", ("\x1b[2J\n",))
    assert run("list")[1].splitlines()[1] == "1   \\x1b[2J\\n  x"
    assert json.loads(run("list", "--json")[1])[0]["janus_id"] == "\x1b[2J\n"


def test_a_table_in_mariadb(run: Run, mariadb: MariaDb) -> None:
    options = ["-o", f"janus.janus_db_url={mariadb.create_database()}", "-o", "janus.janus_db_table=gateways"]
    code, _, err = run("list", *options)
    assert code == 2
    assert "there is no 'version' table with a version for table 'gateways'" in err
    assert run("init", *options)[1].startswith("created: mysql://")
    assert run("add", "gw1", "janusws://h", *options)[0] == 0
    assert json.loads(run("list", "--json", *options)[1]) == [{"id": 1, "janus_id": "gw1", "janus_url": "janusws://h"}]


def test_init_makes_the_tables_of_a_cluster(run: Run, tmp_path: Path) -> None:
    both = f"sqlite://{tmp_path}/a.db"
    words = ["-o", f"janus.janus_db_url={both}", "-o", "cluster.my_node_id=1", "-o", "cluster.cluster_id=1"]
    words += ["-o", "cluster.my_node_url=http://127.0.0.1:8889/mi"]
    tables = f"{both} janus_node, janus_session"
    assert run("init", *words) == (0, f"created: {both} janus\ncreated: {tables}\n", "")
    assert run("init", *words) == (0, f"is there already: {both} janus\nis there already: {tables}\n", "")
    other = ["-o", f"cluster.db_url=sqlite://{tmp_path}/b.db"]
    assert run("init", *words, *other)[1].endswith(f"created: sqlite://{tmp_path}/b.db janus_node, janus_session\n")
    with closing(sqlite3.connect(tmp_path / "b.db")) as database:
        database.execute("UPDATE version SET table_version = 2 WHERE table_name = 'janus_session'")
        database.commit()
    code, out, err = run("init", *words, *other)
    assert (code, out) == (2, "")
    assert "invalid version 2 for table 'janus_session' found, expected version 1" in err
