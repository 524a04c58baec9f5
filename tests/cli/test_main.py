"""From arguments to an exit code: what ends in one line, and what must not be hidden."""

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.cli import unit
from bridge.errors import BridgeError, ConfigError, LinkDown, TableRefused, TableUnavailable
from bridge.transport.mi_client import NothingAnswered
from tests.support.deadlines import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]


class Failing:
    """A subcommand that ends so."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, _args: object) -> int:
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("x.toml: bad"), 2, "x.toml: bad"),
        (TableRefused("no such file"), 2, "no such file"),
        (TableUnavailable("Connection refused"), 3, "Connection refused"),
        (NothingAnswered("udp:h:1: no answer"), 3, "udp:h:1: no answer"),
        (LinkDown("is silent"), 1, "503 Janus not connected: is silent"),
        (BridgeError(), 1, "500 Internal error"),
        (ExceptionGroup("", [ExceptionGroup("", [TableRefused("access denied")])]), 2, "access denied"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "run", Failing(error))
    assert main(["unit"]) == code
    assert capsys.readouterr() == ("", f"janus-bridge: {line}\n")


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), BaseExceptionGroup("", [BaseExceptionGroup("", [KeyboardInterrupt()])])],
    ids=["alone", "out of a nursery"],
)
def test_ctrl_c_says_nothing(
    error: BaseException, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "run", Failing(error))
    assert main(["unit"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = ZeroDivisionError()
    monkeypatch.setattr(unit, "run", Failing(fault))
    with pytest.raises(ZeroDivisionError):
        main(["unit"])
    group = ExceptionGroup(
        "", [ConfigError("x"), ExceptionGroup("", [fault])]
    )  # beside an error with a line of its own
    monkeypatch.setattr(unit, "run", Failing(group))
    with pytest.raises(ExceptionGroup) as caught:
        main(["unit"])
    assert caught.value is group


@pytest.mark.program
def test_a_command_loads_what_it_needs() -> None:
    """Whoever asks for a version, a help text or a completion, or calls ``janus-bridge mi`` from a script, does not
    wait until the service is loaded, nor the service for what it may never need. The light ones first: each command
    may load what those before it have.
    """
    script = """
import contextlib, io, sys
there = {*sys.modules}  # of whoever counts lines
from bridge.__main__ import main
def loaded(words, *heavy):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(words)
    print(words, {*heavy} & sys.modules.keys() - there)
service = ["trio", "jsonschema", "bridge.daemon", "bridge.core"]
loaded(["--version"], *service, "orjson", "ssl", "http", "dataclasses", "bridge.config", "bridge.cli.mi")
loaded(["--help"], *service, "orjson", "ssl", "http", "dataclasses", "bridge.config", "bridge.cli.mi")
loaded(["none"], *service, "orjson", "ssl", "http", "dataclasses", "bridge.config", "bridge.cli.mi")
loaded(["run", "--help"], *service, "ssl", "http")
loaded(["mi", "x", "--url", "unix:/none"], *service)
for shell in ("bash", "zsh", "fish"):
    loaded(["completion", shell], *service)
loaded(["man"], *service)
import bridge.cli.foreground
clustered = ["bridge.daemon.cluster", "bridge.core.cluster", "bridge.transport.cluster_tables"]
print({*clustered, "pymysql", "cryptography", "prometheus_client", "pika", "jsonschema"} & sys.modules.keys())
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS)
    *lines, last = done.stdout.splitlines()
    assert len(lines) == 9, done.stderr
    assert [line for line in lines if not line.endswith(" set()")] == []
    assert last == "set()"


@pytest.mark.program
@pytest.mark.parametrize(("words", "code", "said"), [(["--version"], 0, "janus-bridge "), ([], 2, "")])
def test_python_runs_the_package_as_the_program(words: list[str], code: int, said: str) -> None:
    command = [sys.executable, "-m", "bridge", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == code
    assert done.stdout.startswith(said)
    assert done.stderr.count("\n") == (code != 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mi"], "janus-bridge mi: the following arguments are required: METHOD ("),
        (["status", "extra"], "janus-bridge: there are too many arguments ("),
        (["events", "--count", "0"], "--count 0: must be 1 or more"),
        (["events", "--gateway", "gw1"], "--gateway is for --from"),
        (["unit", "--sysusers", "--tmpfiles"], "--tmpfiles: not allowed with argument --sysusers"),
        (["run", "--check", "-o", "mi.fifo=fifo"], 'fifo = "fifo": must be an absolute path'),
        (["run", "--check", "-o", "events.store_bytes=0"], "from 1048576 to 4398046511104 bytes"),
    ],
)
def test_a_usage_that_is_wrong_is_told_in_a_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        raise SystemExit(main(words))
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
