"""How subcommands end when the world does not play along: one line or none, an exit code, never a traceback."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.bridge import PROGRAM
from tests.support.deadlines import HANG_SECONDS
from tests.support.environ import bare, unmeasured
from tests.support.janus import Janus
from tests.support.tables import sqlite_table

SECONDS = HANG_SECONDS
PRINTING = [
    ["check"],
    ["db", "list", "--json"],
    ["unit", "--tmpfiles"],
    ["import", os.devnull],
    ["mi", "--help"],
    ["--version"],
]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return bare(tmp_path)


@pytest.fixture
def silent_janus() -> Iterator[int]:
    """The port of a server that lets everybody connect and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def shell(command: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    text = command.replace("PROGRAM", str(PROGRAM))
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=environ, timeout=SECONDS)


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_full_disk_is_one_line(words: list[str], environ: dict[str, str]) -> None:
    done = shell(f"PROGRAM {' '.join(words)} > /dev/full", environ)
    assert (done.returncode, done.stderr) == (1, "janus-bridge: standard output: No space left on device\n")


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_reader_who_left_is_no_news(words: list[str], environ: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([PROGRAM, *words], stdout=write, stderr=subprocess.PIPE, env=environ, timeout=SECONDS)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("words", "code", "closed"),
    [  # whatever is closed, of what prints and of what complains; and of any other what is closed at all
        ("unit", 0, ">&-"),
        ("unit", 0, "2>&-"),
        ("unit", 0, ">&- 2>&- <&-"),
        ("run -c /none", 2, ">&-"),
        ("run -c /none", 2, "2>&-"),
        ("run -c /none", 2, "2>/dev/full"),
        ("status --url unix:/none", 3, ">&- 2>&- <&-"),
    ],
)
def test_closed_streams_change_no_exit_code(words: str, code: int, closed: str, environ: dict[str, str]) -> None:
    done = shell(f"PROGRAM {words} {closed}", environ)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or words == "unit"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "janus-bridge: the following arguments are required: COMMAND (janus-bridge --help explains)"),
        ("db", "janus-bridge db: the following arguments are required: VERB (janus-bridge db --help explains)"),
        ("mi", "janus-bridge mi: the following arguments are required: METHOD (janus-bridge mi --help"),
        ("run --nonsense", "janus-bridge: unrecognized arguments: --nonsense (janus-bridge --help explains)"),
        ("mi which --timeout x", "janus-bridge mi: argument --timeout: invalid float value: 'x'"),
        ("check -c /none", "janus-bridge: /none: no such file"),
        ("check -c /", "janus-bridge: /: Is a directory"),
        ("import /none", "janus-bridge: /none: No such file or directory"),
        ("run -c /none", "janus-bridge: /none: no such file"),
        ("run -o nonsense", "janus-bridge: option -o: is not of the form section.key=VALUE"),
        ("status --url unix:/none", "janus-bridge: unix:/none: No such file or directory"),
        ("events --url unix:/none", "janus-bridge: unix:/none: No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line(words: str, line: str, environ: dict[str, str]) -> None:
    done = shell(f"PROGRAM {words}", environ)
    assert done.returncode in (2, 3)
    assert done.stdout == ""
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_letters_that_the_terminal_lacks_are_escaped(tmp_path: Path, environ: dict[str, str]) -> None:
    sqlite_table(tmp_path / "t.db", {"gw-日本": "janusws://h"})
    done = shell(
        f"PROGRAM db list -o 'janus.janus_db_url=\"sqlite://{tmp_path}/t.db\"'",
        {**environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "gw-\\u65e5\\u672c" in done.stdout


@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_ctrl_c_while_it_loads_is_no_traceback(command: str, environ: dict[str, str]) -> None:
    # The signal strikes while the subcommands are being loaded, which takes most of a second on a slow disk.
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'bridge.cli': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from bridge.__main__ import main\n"
        f"sys.exit(main([{command!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (130, b"")


@pytest.mark.parametrize("words", [["check", "--connect"], ["mi", "which"], ["db", "list"]], ids=" ".join)
def test_ctrl_c_while_it_waits(words: list[str], tmp_path: Path, environ: dict[str, str], silent_janus: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        port = server.getsockname()[1]
        url = sqlite_table(tmp_path / "t.db", {"gw1": f"janusws://127.0.0.1:{port}"})
        words = {
            "check": [*words, "-o", f"janus.janus_db_url={url}"],
            "mi": [*words, "--url", f"http://127.0.0.1:{port}/mi"],
            "db": [*words, "-o", f"janus.janus_db_url=mysql://u:p@127.0.0.1:{port}/d"],
        }[words[0]]
        process = subprocess.Popen([PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)
        with server.accept()[0]:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (130, b"")


def test_a_bridge_without_streams_runs(tmp_path: Path, environ: dict[str, str]) -> None:
    http = tmp_path / "mi.sock"
    options = f"-o state.dir={tmp_path}/state -o mi.http='[]' -o mi.datagram='[\"unix:{http}\"]'"
    done = shell(
        f"PROGRAM run {options} <&- >&- 2>&- & bridge=$!; trap 'kill -KILL $bridge' EXIT\n"
        f"until [ -S {http} ]; do sleep 0.01; done\n"
        f"PROGRAM mi version --url unix:{http} && readlink /proc/$bridge/fd/{{0,1,2}}\n"
        "kill $bridge; wait $bridge; echo ended with $?; trap - EXIT",
        environ,
    )
    assert done.stdout.splitlines()[-4:] == ["/dev/null"] * 3 + ["ended with 0"], done


def test_a_bridge_whose_log_nobody_reads_any_more_goes_on(tmp_path: Path, environ: dict[str, str]) -> None:
    command = [str(PROGRAM), "run", "-o", f"state.dir={tmp_path}/state", "-o", 'mi.http=["127.0.0.1:0"]']
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environ, text=True)
    assert process.stderr is not None
    while "ready" not in process.stderr.readline():
        assert process.poll() is None
    process.stderr.close()  # as `| head` does
    process.send_signal(signal.SIGHUP)  # there is something to say
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0


# --- check --connect --------------------------------------------------------------------------------------------------


def findings(environ: dict[str, str], *options: str) -> tuple[int, list[tuple[str, str, str]]]:
    words = [str(PROGRAM), "check", "--json", *(word for option in options for word in ("-o", option)), "--connect"]
    done = subprocess.run(words, capture_output=True, text=True, env=environ, timeout=SECONDS)
    assert done.stderr == ""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, [(row["level"], row["where"], row["text"]) for row in rows]


def test_a_janus_that_takes_the_bridge_in(tmp_path: Path, environ: dict[str, str], janus: Janus) -> None:
    url = sqlite_table(tmp_path / "t.db", {"gw1": janus.url})
    code, rows = findings(environ, f"janus.janus_db_url={url}")
    assert code == 1  # the session-wide Janus does not reclaim, which is worth a warning
    assert ("ok", "gw1", "creates sessions") in rows


def test_a_janus_that_wants_a_secret(tmp_path: Path, environ: dict[str, str], janus_factory: type[Janus]) -> None:
    janus = janus_factory(api_secret="hunter2", reclaim_session_timeout=30)  # type: ignore[call-arg]
    url = f"janus.janus_db_url={sqlite_table(tmp_path / 't.db', {'gw1': janus.url})}"
    code, rows = findings(environ, url)
    assert code == 1
    assert ("error", "gw1", "refuses a session: 403 Unauthorized request (wrong or missing secret/token)") in rows
    code, rows = findings(environ, url, 'janus.gateways.gw1.api_secret="hunter2"')
    assert code == 0, rows
    assert {level for level, *_ in rows} == {"ok"}


def test_what_the_configuration_names_and_is_not_there(environ: dict[str, str]) -> None:
    code, rows = findings(
        environ,
        'mi.http_tls_cert="/none.pem"',
        'mi.fifo="/none/fifo"',
        'mi.datagram=["unix:/run/janus-bridge/mi.sock"]',  # which systemd will make
        'mi.unix_group="no-such-group"',
        'janus.gateways.gw1.tls_ca="/none.pem"',
    )
    assert code == 1
    assert [text for level, _, text in rows if level == "error"] == [
        "[mi] http_tls_cert /none.pem: No such file or directory",
        "[mi] fifo /none/fifo: there is no folder /none",
        "[mi] unix_group no-such-group: there is no such group",
        "[janus.gateways.gw1] tls_ca /none.pem: No such file or directory",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("command", ["check", "db list", "run"])
def test_somebody_who_may_not_look_is_told_so(command: str, tmp_path: Path, environ: dict[str, str]) -> None:
    environ = unmeasured(environ)
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups PROGRAM"
    if shell(f"{nobody} --version", environ).returncode:
        pytest.skip("nobody may not run the program")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    done = shell(f"{nobody} {command} -o state.dir={state}", environ)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert str(state) in line


# --- a terminal -------------------------------------------------------------------------------------------------------


def on_a_terminal(words: list[str], environ: dict[str, str], until: str | None = None) -> str:
    """What a person sees, up to ``until`` (and then Ctrl-C), or to the end."""
    try:
        ours, theirs = pty.openpty()
    except OSError as exc:
        pytest.skip(f"no terminal is to be had here: {exc}")
    process = subprocess.Popen([PROGRAM, *words], stdout=theirs, stderr=theirs, stdin=theirs, env=environ)
    os.close(theirs)
    seen = ""
    deadline = time.monotonic() + SECONDS
    with suppress(OSError):  # EIO: the other end is closed
        while time.monotonic() < deadline:
            seen += os.read(ours, 4096).decode()
            if until is not None and until in seen:
                process.send_signal(signal.SIGINT)
                until = None
    os.close(ours)
    process.wait(SECONDS)
    return seen


def test_somebody_at_a_terminal_is_told_what_takes_so_long(
    tmp_path: Path, environ: dict[str, str], silent_janus: int
) -> None:
    url = sqlite_table(tmp_path / "t.db", {"gw1": f"janusws://127.0.0.1:{silent_janus}"})
    seen = on_a_terminal(["check", "--connect", "-o", f"janus.janus_db_url={url}"], environ, "... waiting for gw1")
    assert "... waiting for gw1" in seen


def test_colours_are_for_terminals_that_want_them(environ: dict[str, str]) -> None:
    assert "\x1b[32mok" in on_a_terminal(["check"], environ)
    assert "\x1b" not in on_a_terminal(["check"], {**environ, "NO_COLOR": "1"})
    assert "\x1b" not in shell("PROGRAM check", environ).stdout
