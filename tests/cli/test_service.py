"""The service of this machine is found by the commands, and what root does for it belongs to it."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from bridge.__main__ import main
from bridge.cli import service
from tests.cli.conftest import Http
from tests.support.certs import issue

pytestmark = pytest.mark.program

Ran: TypeAlias = tuple[int, str, str]
Install: TypeAlias = Callable[..., None]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without a service, and a user with a home."""
    for name in ("STATE_DIRECTORY", "JANUS_BRIDGE_MI__TOKEN"):
        monkeypatch.delenv(name, raising=False)
    base = Path(tempfile.mkdtemp())  # other users may pass it, as they may pass /var/lib
    base.chmod(0o711)
    for folder in ("home", "lib", "units", "bin"):
        (base / folder).mkdir(mode=0o755)
    monkeypatch.setenv("HOME", str(base / "home"))
    monkeypatch.setenv("PATH", f"{base / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(service, "STATE_BASE", base / "lib")
    monkeypatch.setattr(service, "UNIT_FOLDERS", (base / "units",))
    monkeypatch.setattr("bridge.config.sources.DEFAULT_PATH", base / "janus-bridge.toml")
    monkeypatch.setattr("bridge.cli.common.DEFAULT_PATH", base / "janus-bridge.toml")
    yield base
    shutil.rmtree(base)


@pytest.fixture
def install(machine: Path) -> Install:
    """Install the unit; systemctl shows these properties of it."""

    def install(**properties: str) -> None:
        (machine / "units" / "janus-bridge.service").touch()
        program = machine / "bin" / "systemctl"
        lines = "".join(f"{name}={value}\n" for name, value in properties.items())
        program.write_text(f"#!/bin/sh\ncat <<'EOF'\n{lines}EOF\n")
        program.chmod(0o755)

    return install


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*argv: str) -> Ran:
        code = main(argv)
        return code, *capsys.readouterr()

    return run


def table_of(machine: Path) -> str:
    return f"sqlite://{machine}/lib/janus-bridge/janus.db"


def test_without_a_service_the_table_is_ones_own(machine: Path, ran: Callable[..., Ran]) -> None:
    assert f"{machine}/home/.local/state/janus-bridge/janus.db" in ran("db", "add", "gw1", "janusws://h")[1]


@as_root
def test_root_fills_the_table_of_a_service_that_never_ran(
    machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    install(MainPID="0", User="nobody", StateDirectory="janus-bridge")
    code, out, _ = ran("db", "add", "gw1", "janusws://h")
    assert code == 0
    assert table_of(machine) in out
    nobody = pwd.getpwnam("nobody")
    for path in (machine / "lib/janus-bridge", machine / "lib/janus-bridge/janus.db"):
        assert (path.stat().st_uid, path.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid)
    assert (machine / "lib/janus-bridge").stat().st_mode & 0o777 == 0o700
    assert not (machine / "home/.local").exists()
    assert f"{table_of(machine)} janus: version 1, 1 row" in ran("check")[1]
    assert ran("db", "list")[2] == f"janus-bridge db: {table_of(machine)} janus is that of janus-bridge.service\n"
    assert ran("db", "list", "--json")[2] == ""
    assert os.geteuid() == 0  # as before


@as_root
def test_the_folder_of_a_table_elsewhere_is_the_services_too(
    machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    """As of several bridges on one machine."""
    table = machine / "lib/site/site.db"
    (machine / "janus-bridge.toml").write_text(f'[janus]\njanus_db_url = "sqlite://{table}"\n')
    install(MainPID="0", User="nobody", ExecStart="{ path=/x ; argv[]=/x run ; }")
    assert ran("db", "init")[0] == 0
    nobody = pwd.getpwnam("nobody").pw_uid
    assert [path.stat().st_uid for path in (table.parent, table)] == [nobody, nobody]


@as_root
def test_what_root_made_before_is_given_to_the_service(
    machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    install(MainPID="0", User="nobody")
    ran("db", "init")
    file = machine / "lib/janus-bridge/janus.db"
    os.chown(file, 0, 0)
    assert ran("db", "add", "gw1", "janusws://h", "-o", f"state.dir={file.parent}")[0] == 0
    assert file.stat().st_uid == pwd.getpwnam("nobody").pw_uid


@as_root
def test_no_link_leads_root_out_of_the_services_folder(
    machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    install(MainPID="0", User="nobody")
    ran("db", "init")
    file, private = machine / "lib/janus-bridge/janus.db", machine / "home/private.db"
    shutil.copy(file, private)
    private.chmod(0o600)
    file.unlink()
    file.symlink_to(private)
    assert ran("db", "add", "gw1", "janusws://h")[0] == 2
    assert private.stat().st_uid == 0


@as_root
def test_a_service_without_its_user_is_told(machine: Path, install: Install, ran: Callable[..., Ran]) -> None:
    install(MainPID="0", User="nobody-yet")
    code, _, error = ran("db", "init")
    assert code == 2
    assert "there is no such user; `janus-bridge unit --sysusers | systemd-sysusers -` makes it" in error


@as_root
@pytest.mark.parametrize("words", [["db", "list"], ["check"]])
def test_a_user_is_told_whose_the_table_is(
    words: list[str], machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    install(MainPID="0", User="nobody")
    ran("db", "init")
    os.seteuid(pwd.getpwnam("daemon").pw_uid)
    try:
        code, _, error = ran(*words)
    finally:
        os.seteuid(0)
    assert code == 2
    assert f"{machine}/lib/janus-bridge is for nobody and root alone: run this as root (sudo)" in error


@as_root
def test_root_is_told_what_the_service_may_not_read(machine: Path, install: Install, ran: Callable[..., Ran]) -> None:
    made = issue(machine)
    config = machine / "janus-bridge.toml"
    config.write_text(f'[mi]\nhttp_tls_cert = "{made.cert}"\nhttp_tls_key = "{made.key}"\n')
    made.cert.chmod(0o644)
    before = os.geteuid(), os.getegid(), os.getgroups()
    whose = "nobody, the user of the service, may not read it"
    for owner, mode, group, told in (
        ("root", 0o600, "", True),
        ("root", 0o640, "", True),
        ("root", 0o640, "root", False),
        ("nobody", 0o600, "", False),
    ):
        install(MainPID="0", User="nobody", Group=group, ExecStart="{ path=/x ; argv[]=/x run ; }")
        for path in (config, made.key):
            os.chown(path, pwd.getpwnam(owner).pw_uid, 0)
            path.chmod(mode)
        code, out, _ = ran("check")
        lines = [line for line in out.splitlines() if whose in line]
        assert [line.split(": ", 1)[1] for line in lines] == told * [
            f"the configuration: {whose}",
            f"[mi] http_tls_key {made.key}: {whose}",
        ]
        assert code == 1 or not told
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


@pytest.mark.parametrize("words", [["db", "add", "gw2", "janusws://h"], ["db", "list"], ["check"]])
def test_between_two_tables_nothing_is_guessed(
    words: list[str], machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    own = machine / "home/.local/state/janus-bridge"
    assert ran("db", "add", "own", "janusws://h")[0] == 0
    user = pwd.getpwuid(os.geteuid()).pw_name
    install(MainPID="0", User=user)
    code, out, error = ran(*words)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert f"there are two tables, {table_of(machine)} of janus-bridge.service and your own sqlite://{own}/" in error
    assert f"choose with -o state.dir={machine}/lib/janus-bridge or -o state.dir={own}\n" in error
    (machine / "lib/janus-bridge").mkdir(mode=0o700)
    for folder in (machine / "lib/janus-bridge", own):
        assert f"sqlite://{folder}/janus.db" in ran("db", "init", "-o", f"state.dir={folder}")[1]


def test_the_running_process_says_best_what_it_has(machine: Path, install: Install, ran: Callable[..., Ran]) -> None:
    config = machine / "other.toml"
    config.write_text('[janus]\njanus_db_table = "gateways"\n')
    argv = [sys.executable, "-c", "input()", "run", "-c", str(config), "-o", f"state.dir={machine}/lib/elsewhere"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env={"JANUS_BRIDGE_JANUS__DB_VERSION_TABLE": "v"}) as process:
        install(MainPID=str(process.pid), User=pwd.getpwuid(os.geteuid()).pw_name, StateDirectory="janus-bridge")
        code, out, _ = ran("db", "init", "--json")
        assert (code, json.loads(out)) == (0, {"created": True})
        assert ran("db", "list")[1] == f"no rows: sqlite://{machine}/lib/elsewhere/janus.db gateways\n"
        assert "there is no 'v' table" not in ran("db", "list")[2]
        process.communicate(b"\n")


@pytest.mark.parametrize("words", [["janus-bridge", "run"], ["podman-init", "--", "/opt/bin/janus-bridge", "run"]])
def test_in_a_container_it_is_the_first_process(
    words: list[str], machine: Path, ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose environment and home are not those of who is let in beside it."""
    first = machine / "proc" / "1"
    first.mkdir(parents=True)
    command = [sys.executable, *words, "-o", 'janus.janus_db_table="gateways"']
    (first / "cmdline").write_text("\0".join(command) + "\0")
    (first / "environ").write_text(f"HOME={machine}/lib\0JANUS_BRIDGE_JANUS__DB_VERSION_TABLE=v\0")
    monkeypatch.setattr(service, "_PROC", machine / "proc")
    table = f"sqlite://{machine}/lib/.local/state/janus-bridge/janus.db gateways"
    assert ran("db", "init")[1] == f"created: {table}\n"
    (first / "cmdline").write_text("/sbin/init\0")
    assert ran("db", "init")[1] == f"created: sqlite://{machine}/home/.local/state/janus-bridge/janus.db janus\n"


@pytest.mark.parametrize("given", [True, False])
def test_the_unit_says_it_where_nothing_runs(
    given: bool, machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    config = machine / "other.toml"
    config.write_text('[janus]\njanus_db_table = "gateways"\n')
    install(
        MainPID="0",
        User=pwd.getpwuid(os.geteuid()).pw_name,
        StateDirectory="other janus-bridge",
        Environment='A=b "JANUS_BRIDGE_LOG__LEVEL=4"',
        ExecStart=f"{{ path=/x/janus-bridge ; argv[]=/x/janus-bridge run -c {config} ; ignore_errors=no ; }}",
    )
    (machine / "lib/other").mkdir()
    option = ["-c", str(config)] if given else []
    assert ran("db", "init", *option)[1] == f"created: sqlite://{machine}/lib/other/janus.db gateways\n"
    # Another configuration is another bridge's.
    (machine / "mine.toml").touch()
    out = ran("db", "init", "-c", str(machine / "mine.toml"))[1]
    assert out == f"created: sqlite://{machine}/home/.local/state/janus-bridge/janus.db janus\n"


def test_a_systemctl_that_cannot_answer_is_done_without(
    machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    install()
    (machine / "lib/janus-bridge").mkdir()
    assert ran("db", "init")[1] == f"created: {table_of(machine)} janus\n"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_calls_go_where_the_configuration_says(
    tls: bool, named: bool, machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    certificates = issue(machine, "sip1.example.org")
    server = Http(certificates if tls else None)
    try:
        port = server.netloc.rpartition(":")[2]
        config = machine / ("other.toml" if named else "janus-bridge.toml")
        config.write_text(f'[mi]\nhttp = ["0.0.0.0:{port}"]\ntoken = "hunter2"\nhttp_root = "root"\n')
        if tls:
            with config.open("a") as file:
                file.write(f'http_tls_cert = "{certificates.cert}"\nhttp_tls_key = "{certificates.key}"\n')
        install()
        option = ["-c", str(config)] if named else []
        assert ran("mi", "which", *option)[0] == 0
        assert (server.path, server.headers["Authorization"]) == ("/root", "Bearer hunter2")
        # What is named is not sent the service's token.
        ran("mi", "x", "--url", f"http://{server.netloc}/mi")
        if not tls:
            assert "Authorization" not in server.headers
    finally:
        server.close()


def test_another_certificate_than_the_configured_one_is_not_trusted(
    machine: Path, install: Install, ran: Callable[..., Ran]
) -> None:
    (machine / "a").mkdir()
    server = Http(issue(machine / "a"))
    try:
        certificates = issue(machine)
        port = server.netloc.rpartition(":")[2]
        (machine / "janus-bridge.toml").write_text(
            f'[mi]\nhttp = ["127.0.0.1:{port}"]\nhttp_tls_cert = "{certificates.cert}"\n'
        )
        install()
        code, _, error = ran("status")
        assert code == 3
        assert "the certificate is not accepted" in error
    finally:
        server.close()


def test_a_configuration_that_cannot_be_read_leaves_the_default_address(
    machine: Path, install: Install, ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.cli.mi.DEFAULT_URL", "http://127.0.0.1:1/mi")
    (machine / "janus-bridge.toml").write_text("[mi\n")
    install()
    assert ran("status") == (3, "", "janus-bridge: http://127.0.0.1:1/mi: Connection refused\n")
    code, _, error = ran("status", "-c", str(machine / "janus-bridge.toml"))
    assert code == 2
    assert f"{machine}/janus-bridge.toml" in error
