"""The service as systemd sees it: notifications, watchdog, journal, and every way not to start (contract 8.1)."""

import json
import os
import re
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import Empty

import pytest
import trio

from tests.support.bridge import Bridge
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.fake_systemd import FakeSystemd
from tests.support.janus import Janus
from tests.support.mi_client import MiError
from tests.support.process import ChildProcess
from tests.support.tables import sqlite_table

SECONDS = HANG_SECONDS


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}


@pytest.fixture
def spawn(tmp_path: Path, environ: dict[str, str]) -> Iterator[Callable[..., ChildProcess]]:
    """``spawn("-o", ...)``: ``janus-bridge run`` with what systemd sets, not waited for."""
    started: list[ChildProcess] = []

    def start(**options: object) -> ChildProcess:
        settings = {key.replace("__", "."): value for key, value in options.items()}
        command = Bridge(tmp_path, settings).command
        started.append(ChildProcess(command, tmp_path / "bridge.log", environ=environ))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def black_hole() -> Iterator[socket.socket]:
    """A server that lets everybody connect and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        yield server


def settled(systemd: FakeSystemd) -> list[str]:
    """The first notification of which the gateways are as they stay: reached, or not to be reached."""
    while "not ready: gw1" in (lines := systemd.hears())[-1]:
        assert lines in (["READY=1", lines[-1]], [lines[-1]])
    return lines[-1:]


def ended(process: ChildProcess, seconds: float = SECONDS) -> int:
    deadline = time.monotonic() + seconds
    while process.exit_code is None:
        assert time.monotonic() < deadline, process.output
        time.sleep(0.005)
    return process.exit_code


def test_ready_with_a_fresh_table_and_stopping(
    tmp_path: Path, systemd: FakeSystemd, environ: dict[str, str], janus: Janus
) -> None:
    url = sqlite_table(tmp_path / "t.db", {"gw1": janus.url})
    bridge = Bridge(tmp_path, {"janus.janus_db_url": url}, environ=environ).start()
    assert settled(systemd) == ["STATUS=table fresh, 1 of 1 gateways ready"]
    assert bridge.mi("version")["Server"].startswith("janus-bridge")  # ready means that the doors are open
    before = time.monotonic()
    bridge.reload()
    reloading, began = systemd.hears()
    assert reloading == "RELOADING=1"
    assert before * 1e6 <= int(began.removeprefix("MONOTONIC_USEC=")) <= time.monotonic() * 1e6
    assert systemd.hears() == ["READY=1", "STATUS=table fresh, 1 of 1 gateways ready"]
    assert bridge.stop() == 0
    assert systemd.hears() == ["STOPPING=1"]


def test_what_systemd_shows_follows_the_table(
    tmp_path: Path, systemd: FakeSystemd, environ: dict[str, str], janus: Janus
) -> None:
    file = tmp_path / "t.db"
    url = sqlite_table(file, {"gw1": janus.url})
    bridge = Bridge(tmp_path, {"janus.janus_db_url": url}, environ=environ).start()
    assert settled(systemd) == ["STATUS=table fresh, 1 of 1 gateways ready"]
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("INSERT INTO janus (janus_id, janus_url) VALUES ('gw2', 'janusws://127.0.0.1:1')")
    bridge.mi("janus_reload")
    assert systemd.hears() == ["STATUS=table fresh, 1 of 2 gateways ready; not ready: gw2"]
    file.rename(tmp_path / "away.db")
    with pytest.raises(MiError):
        bridge.mi("janus_reload")
    assert systemd.hears() == ["STATUS=table stale, 1 of 2 gateways ready; not ready: gw2"]
    assert bridge.logged("janus table: 1 added (gw2), 0 changed, 0 removed, 1 unchanged")
    assert bridge.stop() == 0


def test_ready_comes_after_the_first_attempt_at_the_table(
    systemd: FakeSystemd, spawn: Callable[..., ChildProcess], black_hole: socket.socket
) -> None:
    port = black_hole.getsockname()[1]
    process = spawn(janus__janus_db_url=f"mysql://u:p@127.0.0.1:{port}/d")
    attempt, _ = black_hole.accept()
    with pytest.raises(Empty):
        systemd.hears(0.05)
    attempt.close()  # the first attempt fails; the gateways of an earlier start there are none
    assert systemd.hears() == ["READY=1", "STATUS=table none, 0 of 0 gateways ready"]
    assert process.stop(SECONDS) == 0  # and with it the log, which a thread writes
    assert "no gateways until the database answers" in process.output


def test_ready_with_the_table_of_before(
    tmp_path: Path, systemd: FakeSystemd, environ: dict[str, str], janus: Janus
) -> None:
    database = tmp_path / "t.db"
    url = sqlite_table(database, {"gw1": janus.url})
    with Bridge(tmp_path, {"janus.janus_db_url": url}, environ=environ):
        settled(systemd)
    assert systemd.hears() == ["STOPPING=1"]
    database.rename(tmp_path / "away.db")
    with Bridge(tmp_path, {"janus.janus_db_url": url}, environ=environ) as bridge:
        assert settled(systemd) == ["STATUS=table stale, 1 of 1 gateways ready"]
        assert bridge.logged("using the last good table meanwhile")


def test_a_database_that_hangs_does_not_delay_the_end(
    systemd: FakeSystemd, spawn: Callable[..., ChildProcess], black_hole: socket.socket
) -> None:
    process = spawn(janus__janus_db_url=f"mysql://u:p@127.0.0.1:{black_hole.getsockname()[1]}/d")
    attempt, _ = black_hole.accept()
    assert process.stop(SECONDS) == 0
    assert "no answer" not in process.output  # as the attempt itself would have ended, after 5 s
    attempt.close()
    assert systemd.hears() == ["STOPPING=1"]


async def test_the_watchdog_is_fed_at_half_of_its_interval(
    tmp_path: Path, systemd: FakeSystemd, environ: dict[str, str]
) -> None:
    with Bridge(tmp_path, environ={**environ, "WATCHDOG_USEC": "600000"}) as bridge:
        heard = [systemd.hears() for _ in range(2)]  # ready, and the first sign of life, in this order or the other
        assert ["WATCHDOG=1"] in heard

        async def three_more() -> float:
            began = trio.current_time()
            with in_time(1.5):
                assert [await trio.to_thread.run_sync(systemd.hears) for _ in range(3)] == [["WATCHDOG=1"]] * 3
            return trio.current_time() - began

        with trio.fail_after(SECONDS):
            while await three_more() <= 0.6:  # three times 0.3 s, the first of which began before
                pass  # or more of them, on a machine that let some wait for us: once more
        assert bridge.stop() == 0


def test_no_watchdog_is_fed_that_is_not_ours(tmp_path: Path, systemd: FakeSystemd, environ: dict[str, str]) -> None:
    environ |= {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
    with Bridge(tmp_path, environ=environ) as bridge:
        assert systemd.hears()[0] == "READY=1"
        bridge.mi("version")
        bridge.reload()
        assert systemd.hears()[0] == "RELOADING=1"


def test_an_abstract_socket_is_notified_too(tmp_path: Path, environ: dict[str, str]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{tmp_path}")
        listener.settimeout(SECONDS)
        with Bridge(tmp_path, environ={**environ, "NOTIFY_SOCKET": f"@{tmp_path}"}):
            assert listener.recv(4096).startswith(b"READY=1\n")
            listener.close()  # so that nobody waits for it to hear the end


def test_a_notify_socket_that_is_gone_stops_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    with Bridge(tmp_path, environ=environ) as bridge:  # nobody made tmp_path/notify
        assert bridge.mi("version")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_journal_gets_priorities(tmp_path: Path, form: str) -> None:
    log = tmp_path / "bridge.log"
    log.touch()
    stderr = log.stat()
    environ = {**os.environ, "JOURNAL_STREAM": f"{stderr.st_dev}:{stderr.st_ino}"}
    with Bridge(tmp_path, {"log.format": form}, environ=environ) as bridge:
        lines = bridge.log.splitlines()
    assert "janus table: it is empty" in lines[0]
    assert lines[0].startswith("<4>")
    assert all(re.match(r"<[46]>", line) for line in lines)
    if form == "json":
        assert {json.loads(line[3:])["level"] for line in lines} == {"WARNING", "INFO"}


# --- Not starting: one line, exit code 2 ------------------------------------------------------------------------------


def test_what_keeps_it_from_starting_is_one_line(tmp_path: Path, spawn: Callable[..., ChildProcess]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = spawn(mi__http=[address])
        assert ended(process) == 2
        _one_line(process, f"[mi] http {address}: Address already in use")
    process = spawn(mi__fifo="/nowhere/fifo")
    assert ended(process) == 2
    _one_line(process, "[mi] fifo /nowhere/fifo: there is no folder /nowhere")
    process = spawn(mi__datagram=[f"unix:{tmp_path}/mi.sock"], mi__unix_group="no-such-group")
    assert ended(process) == 2
    _one_line(process, "[mi] datagram there is no group 'no-such-group'")
    process = spawn(mi__http_tls_cert="/nowhere.pem")
    assert ended(process) == 2
    _one_line(process, "[mi] http_tls_cert /nowhere.pem: No such file or directory")


def test_a_state_directory_has_one_bridge(tmp_path: Path, spawn: Callable[..., ChildProcess]) -> None:
    with Bridge(tmp_path):
        process = spawn()
        assert ended(process) == 2
        assert process.output.count("another janus-bridge is running with it") == 1


def test_a_table_of_another_version_ends_it(tmp_path: Path, spawn: Callable[..., ChildProcess]) -> None:
    url = sqlite_table(tmp_path / "t.db", {})
    with closing(sqlite3.connect(tmp_path / "t.db")) as database, database:
        database.execute("UPDATE version SET table_version = 7")
    process = spawn(janus__janus_db_url=url)
    assert ended(process) == 2
    _one_line(process, "invalid version 7 for table 'janus' found, expected version 1")


def _one_line(process: ChildProcess, text: str) -> None:
    [line] = process.output.splitlines()[-1:]
    assert text in line
    assert line.endswith("; the bridge does not start")
    assert "Traceback" not in process.output
