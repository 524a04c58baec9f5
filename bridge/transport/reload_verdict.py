"""What became of a reload, for who asked for it: a file in systemd's runtime directory.

Owns that file. A signal has no answer, so ``janus-bridge reload`` (the unit's ExecReload) finds it here. Must not know
what a reload is. Authority: systemd.exec(5) RuntimeDirectory=, systemd.service(5) ExecReload=.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bridge.files import read_file
from bridge.transport.private_file import replace_file

log = logging.getLogger("bridge")

_FILE_MAX = 16 << 20  # bytes


class Verdict(NamedTuple):
    """``began``: ``time.monotonic()`` when the reload did, the same clock in all processes. ``faults``: a line each."""

    began: float
    faults: list[str]


def verdict_file(environ: Mapping[str, str]) -> Path | None:
    """Where it is; None where systemd made no directory."""
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder, "reload.json") if folder else None


def write_verdict(began: float, faults: Sequence[str]) -> None:
    """Leave it for whoever waits; without a directory nobody does."""
    path = verdict_file(os.environ)
    if path is None:
        return
    try:
        replace_file(path, json.dumps({"began": began, "faults": list(faults)}).encode())
    except OSError as exc:
        log.warning("reload: %s: %s; `systemctl reload` does not hear what became of it", path, exc.strerror)


def read_verdict(path: Path) -> Verdict | None:
    """The latest; None where there is none yet, or what nobody wrote like that: the next one replaces it."""
    try:
        found = json.loads(read_file(path, _FILE_MAX))
        return Verdict(float(found["began"]), [str(fault) for fault in found["faults"]])
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None
