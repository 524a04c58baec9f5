"""``janus-bridge run``: what it says where it cannot start, on whatever stderr it has."""

import io
import os
import socket
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.transport.port_holder import WAY_OUT
from tests.support.tables import sqlite_table


def test_a_stderr_without_a_descriptor_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    monkeypatch.setattr(sys, "stderr", stderr := io.StringIO())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["run", "-o", f"state.dir={tmp_path}/state", "-o", f'mi.http=["{address}"]']) == 2
    [line] = stderr.getvalue().splitlines()
    assert f"CRITICAL:bridge: [mi] http {address}: Address already in use by " in line
    assert line.endswith(f" (process {os.getpid()}); {WAY_OUT}; the bridge does not start")
    assert not line.startswith("<")


@pytest.fixture
def version_7(tmp_path: Path) -> str:
    """The URL of a table of another version."""
    url = sqlite_table(tmp_path / "t.db", {})
    with closing(sqlite3.connect(tmp_path / "t.db")) as database, database:
        database.execute("UPDATE version SET table_version = 7")
    return url


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what is another user's")
@pytest.mark.parametrize(
    "option",
    [
        *('mi.datagram=["unix:{folder}/closed/mi.sock"]', 'mi.fifo="{folder}/closed/fifo"'),
        *('mi.fifo="{folder}/fifo"', 'mi.datagram=["unix:{folder}/NAME"]', 'mi.datagram=["unix:{folder}/taken"]'),
        *('mi.datagram=["unix:{folder}/none/mi.sock"]', 'mi.fifo="{folder}/file/fifo"'),
    ],
)
def test_a_start_says_of_a_name_what_the_check_says(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As an unprivileged user."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        os.chown(folder, 65534, -1)
        (folder / "closed").mkdir(0o755)
        (folder / "file").touch()
        (folder / "fifo.lock").symlink_to("/dev/null")
        (folder / "taken.lock").mkdir()
        option = option.replace("{folder}", name).replace("NAME", "x" * 110)
        given = [f'state.dir="{folder}/state"', "mi.http=[]", f'mi.datagram=["unix:{folder}/mi.sock"]', option]
        options = [word for one in given for word in ("-o", one)]
        said = []
        try:
            os.seteuid(65534)
            for words in (["run", "--check"], ["run"]):
                assert main([*words, *options]) == 2
                said.append(capsys.readouterr().err)
        finally:
            os.seteuid(0)
    (checked,), (started,) = map(str.splitlines, said)
    assert started.endswith(f"CRITICAL:bridge: {checked.removeprefix('janus-bridge: ')}; the bridge does not start")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ('mi.roles=[{role="commands", users=["nobody-here"]}]', "[mi] roles: "),
        ('mi.roles=[{role="commands", groups=["nobody-here"]}]', "[mi] roles: "),
        ('mi.datagram=["unix:{folder}/none/mi.sock"]', "[mi] datagram {folder}/none/mi.sock: there is no folder "),
        ('mi.fifo="{folder}/none/fifo"', "[mi] fifo {folder}/none/fifo: there is no folder {folder}/none"),
        ('mi.fifo="/run/janus-bridge/fifo"', "[mi] fifo /run/janus-bridge/fifo: there is no folder "),
        ('mi.datagram=["unix:{folder}/file"]', "[mi] datagram {folder}/file: something else has that name"),
        ('state.dir="{folder}/file"', "[state] dir {folder}/file: Not a directory"),
        ('state.dir="{folder}/file/below"', "[state] dir {folder}/file/below: Not a directory"),
        ('mi.unix_group="nobody-here"', "[mi] unix_group nobody-here: there is no such group"),
        ('mi.unix_group="99999999999"', "[mi] unix_group 99999999999: there is no such group"),
        ('janus.janus_db_url="{version_7}"', "invalid version 7 for table 'janus' found"),
    ],
)
def test_what_would_not_start_fails_the_check_and_leaves_no_trace(
    tmp_path: Path, version_7: str, option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    given = [f'state.dir="{tmp_path}/state"', f'mi.datagram=["unix:{tmp_path}/mi.sock"]', "mi.http=[]", option]
    words = [one.replace("{folder}", str(tmp_path)).replace("{version_7}", version_7) for one in given]
    options = [word for one in words for word in ("-o", one)]
    assert main(["run", "--check", *options]) == 2
    assert said.replace("{folder}", str(tmp_path)) in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
    assert main(["run", *options]) == 2  # so it is


def test_what_may_pass_does_not_fail_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A database that is away or has no table yet; a TLS file of one gateway; a folder that is still to be made."""
    for url in ("mysql://nobody@127.0.0.1:1/none", f"sqlite://{tmp_path}/none.db"):
        options = [
            "mi.http=[]",
            f'state.dir="{tmp_path}/a/b"',
            f'janus.janus_db_url="{url}"',
            'janus.gateways.gw.tls_ca="/none"',
        ]
        assert main(["run", "--check", *(word for one in options for word in ("-o", one))]) == 0
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_without_its_tables_would_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = sqlite_table(tmp_path / "t.db", {})
    given = [f'state.dir="{tmp_path}/state"', f'janus.janus_db_url="{url}"', "mi.http=[]"]
    given += ["cluster.cluster_id=1", "cluster.my_node_id=1", 'cluster.my_node_url="http://127.0.0.1:1/mi"']
    options = [word for one in given for word in ("-o", one)]
    for words in (["run", "--check"], ["run"]):
        assert main([*words, *options]) == 2
        assert "'janus_node' record not found in 'version' table" in capsys.readouterr().err
    assert main(["db", "init", *options]) == 0
    assert main(["run", "--check", *options]) == 0
    away = ["-o", 'cluster.db_url="mysql://nobody@127.0.0.1:1/none"']
    assert main(["run", "--check", *options, *away]) == 0
