"""``janus-bridge reload``: the unit's ExecReload. SIGHUP, and what became of it as an exit code.

Owns the waiting. Knows nothing of the configuration: the service alone says whether it was taken.
"""

import argparse
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from bridge.cli.output import complain
from bridge.errors import ConfigError
from bridge.transport.mi_client import NothingAnswered
from bridge.transport.reload_verdict import Verdict, read_verdict, verdict_file

PATIENCE = 60.0  # s; a database that hangs is given up after 10
_POLL_SECONDS = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = (
        "Sends SIGHUP to the service and waits for the outcome. systemd runs it for `systemctl reload "
        "janus-bridge`, with the variables MAINPID and RUNTIME_DIRECTORY set."
    )
    parser.epilog = (
        "Exit codes: 0 everything was applied, 1 something was not and stays as it was, 2 not run by systemd, "
        "3 the service ended or did not answer."
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Raises ConfigError where systemd did not start it, NothingAnswered."""
    pid, path = _service(os.environ)
    asked = time.monotonic()
    verdict = _ask(pid, path, asked)
    for fault in verdict.faults:
        complain(f"janus-bridge reload: {fault}")
    return 1 if verdict.faults else 0


def _service(environ: Mapping[str, str]) -> tuple[int, Path]:
    pid, path = environ.get("MAINPID", ""), verdict_file(environ)
    if not pid.isdecimal() or path is None:
        raise ConfigError(
            "reload is for the unit: it needs systemd's MAINPID and RUNTIME_DIRECTORY; systemctl reload janus-bridge"
        )
    return int(pid), path


def _ask(pid: int, path: Path, asked: float) -> Verdict:
    try:
        os.kill(pid, signal.SIGHUP)
        while time.monotonic() < asked + PATIENCE:
            verdict = read_verdict(path)
            if verdict is not None and verdict.began >= asked:
                return verdict
            time.sleep(_POLL_SECONDS)
            os.kill(pid, 0)
    except ProcessLookupError:
        raise NothingAnswered(f"the service, process {pid}, has ended") from None
    raise NothingAnswered(f"the service, process {pid}, did not say in {PATIENCE:g} s what became of the reload")
