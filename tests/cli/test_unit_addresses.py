"""``unit --restrict-addresses``: the addresses that configuration and table name, and no others."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.cli import unit, unit_addresses
from bridge.config import load
from bridge.protocol.gateway import TableRow, read_rows
from tests.support.other_database import OtherUrl, with_database
from tests.support.tables import sqlite_table

NAMES: Mapping[str, Sequence[str]] = {"gw.example.org": ["192.0.2.9", "2001:db8::9"], "here.example.org": ["127.0.1.1"]}


def found(name: str) -> Sequence[str]:
    return NAMES.get(name, [])


def made(tmp_path: Path, rows: Mapping[str, str], *options: str) -> tuple[list[str], list[str]]:
    config = load(None, [f'state.dir="{tmp_path}"', *options], {})
    gateways, _ = read_rows(TableRow(number, *row) for number, row in enumerate(rows.items()))
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("search x\nnameserver 192.0.2.53\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver\n")
    lines, missing = unit_addresses.lines(config, unit_addresses.peers(config, gateways.values()), found, resolv)
    assert all(line.startswith("# ") for line in lines[:2])
    return lines[2:], missing


BASE = ["IPAddressDeny=any", "IPAddressAllow=localhost"]


def test_a_bridge_of_this_machine_needs_no_other(tmp_path: Path) -> None:
    rows = {"a": "janusws://127.0.0.1/", "b": "janusws://[::1]:1/", "c": "janusws://localhost/", "bad": "x"}
    assert made(tmp_path, rows) == (BASE, [])


def test_the_other_bridges_of_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = sqlite_table(tmp_path / "t.db", {})
    words = [f"-ojanus.janus_db_url={url}", "-ocluster.cluster_id=7", "-ocluster.my_node_id=1"]
    words.append("-ocluster.my_node_url=http://127.0.0.1:1/mi")
    assert main(["db", "init", *words]) == 0
    with closing(sqlite3.connect(tmp_path / "t.db")) as database, database:
        rows = [
            (7, 1, "http://192.0.2.1:1/mi"),
            (7, 2, "https://192.0.2.2:1/mi"),
            (7, 3, "x"),
            (8, 4, "http://192.0.2.4/"),
        ]
        sql = "INSERT INTO janus_node (cluster_id, node_id, url, epoch) VALUES (?, ?, ?, ?)"
        database.executemany(sql, [(*row, number) for number, row in enumerate(rows)])
    capsys.readouterr()
    assert main(["unit", "--restrict-addresses", *words]) == 0
    out = capsys.readouterr().out
    assert "# bridge 2\nIPAddressAllow=192.0.2.2\n" in out
    assert "192.0.2.1" not in out
    assert "192.0.2.4" not in out


def test_all_that_is_named_elsewhere(tmp_path: Path) -> None:
    rows = {"a": "janusws://192.0.2.1/?token=x", "b": "janusws://192.0.2.1:1/", "c": "januswss://gw.example.org/"}
    options = [
        "janus.janus_db_url=mysql://u:p@192.0.2.2,127.0.0.1,192.0.2.4:3307/d",
        "cluster.db_url=mysql://u:p@192.0.2.5/d",
        'events.subscribers=[{event = "E_JANUS_EVENT", socket = "udp:192.0.2.3:1"}]',
        'events.allow=["127.0.0.0/8", "198.51.100.0/24"]',
        'mi.http=["0.0.0.0:8889"]',
        "mi.token=x",
        'mi.allow=["203.0.113.0/24"]',
    ]
    assert made(tmp_path, rows, *options) == (
        [
            *BASE,
            "# the database",
            "IPAddressAllow=192.0.2.2",
            "# the database",
            "IPAddressAllow=192.0.2.4",
            "# the cluster's database",
            "IPAddressAllow=192.0.2.5",
            "# gateway a, gateway b",
            "IPAddressAllow=192.0.2.1",
            "# gateway c: gw.example.org, whose addresses may change",
            "IPAddressAllow=192.0.2.9",
            "IPAddressAllow=2001:db8::9",
            "# subscriber udp:192.0.2.3:1",
            "IPAddressAllow=192.0.2.3",
            "# name servers of /etc/resolv.conf",
            "IPAddressAllow=192.0.2.53",
            "IPAddressAllow=fe80::1",
            "# [mi] allow: clients",
            "IPAddressAllow=203.0.113.0/24",
            "# [events] allow: what MI may subscribe",
            "IPAddressAllow=198.51.100.0/24",
        ],
        [],
    )


def test_names_that_are_not_found_or_mean_this_machine(tmp_path: Path) -> None:
    rows = {"a": "janusws://gone.example.org/", "b": "janusws://here.example.org/"}
    lines, missing = made(tmp_path, rows)
    assert lines == [
        *BASE,
        "# gateway a: gone.example.org, which is not found now",
        "# name servers of /etc/resolv.conf",
        "IPAddressAllow=192.0.2.53",
        "IPAddressAllow=fe80::1",
    ]
    assert missing == ["gone.example.org"]


@pytest.fixture
def printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    def run(*options: str) -> tuple[int, str, str]:
        program = str(Path(sys.executable).with_name("janus-bridge"))
        monkeypatch.setattr(sys, "argv", [program, "unit"])
        monkeypatch.setattr(unit, "_look_up", found)
        code = main(["unit", "--restrict-addresses", "-o", f"state.dir={tmp_path}/state", *options])
        out, err = capsys.readouterr()
        return code, out, "".join(line for line in err.splitlines(True) if "ProtectHome=" not in line)

    return run


@pytest.mark.program
def test_the_unit_with_a_table(printed: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    table = sqlite_table(tmp_path / "t.db", {"a": "janusws://192.0.2.1/", "b": "janusws://gone.example.org/"})
    code, out, err = printed("-o", f"janus.janus_db_url={table}")
    assert (code, err) == (1, "janus-bridge unit: gone.example.org is not found now: the service cannot reach it\n")
    assert "AF_UNIX\n# Made by" in out
    assert "IPAddressDeny=any\nIPAddressAllow=localhost\n# gateway a\nIPAddressAllow=192.0.2.1\n" in out
    assert shutil.which("systemd-analyze") is None or _verified(tmp_path, out) == []


def _verified(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "janus-bridge.service"
    file.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if "janus-bridge" in line]


def test_the_unit_before_there_is_a_table(printed: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = printed()
    assert (code, err.count("\n")) == (0, 1)
    assert "there is no table yet" in err
    assert "IPAddressAllow=localhost\n" in out


def test_a_table_that_cannot_be_read(printed: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, err = printed("-o", f"janus.janus_db_url=sqlite://{tmp_path}/none.db")
    assert (code, out) == (2, "")
    assert "no such file" in err


def test_the_host_of_any_database_is_named(tmp_path: Path) -> None:
    config = load(None, [f'state.dir="{tmp_path}"'], {})
    assert list(unit_addresses.peers(config, ())) == []
    there = with_database(config, OtherUrl(host="192.0.2.2"))
    assert list(unit_addresses.peers(there, ())) == [("192.0.2.2", "the database")]
    assert list(unit_addresses.peers(with_database(config, OtherUrl("192.0.2.2", unix_socket="/s")), ())) == []
