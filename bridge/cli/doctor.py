"""``janus-bridge doctor``: what a maintainer asks for in a bug report, in one file.

Owns the list of it, and that nothing keeps the rest from being gathered. Each part is asked for as a user would ask:
``check``, the MI, systemd, the journal. No secret of the configuration or of the table is in the file. Exit code 0
where it was written, whatever it says; 1 where it could not be.
"""

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bridge.cli.common import chosen_config
from bridge.cli.mi import add_connection_arguments, connect
from bridge.cli.output import OutputLost, complain, put, waiting
from bridge.cli.service import UNIT
from bridge.cli.version import version
from bridge.config import Config, secrets_of
from bridge.config.kinds import SECRETS
from bridge.config.row import Setting
from bridge.config.settings import NAMED, SECTIONS, TABLE
from bridge.errors import BridgeError
from bridge.protocol.humanize import plural
from bridge.protocol.printable import printable
from bridge.protocol.redaction import HIDDEN, Redaction
from bridge.transport.mi_client import MiClient

LINES: Final = 300  # of the journal
PATIENCE: Final = 60.0  # seconds for another program
_METHODS: Final[Sequence[tuple[str, list[Any]]]] = (
    ("janus_status", []),
    ("janus_list", []),
    ("get_statistics", [["all"]]),
    ("subscribers_list", []),
)
_OS_NAME = re.compile(r'^PRETTY_NAME="?([^"\n]*)', re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = (
        "Gathers what a bug report needs into one text file: versions, the configuration without its secrets, the "
        "findings of `check --connect`, what the running bridge says of itself, and its last log lines. Read it "
        "before you send it. It changes nothing. As root it sees the service's files and journal."
    )
    parser.epilog = EPILOG
    add_connection_arguments(parser)
    parser.add_argument(
        "--output", metavar="FILE", help="the file to write (-: stdout; default: a name with date and time)"
    )
    parser.set_defaults(run=run, option=[])


def run(args: argparse.Namespace) -> int:
    """Raises OutputLost where the file cannot be made."""
    if args.output == "-":
        put(*_report(args))
        return 0
    path = Path(args.output or time.strftime("janus-bridge-doctor-%Y%m%d-%H%M%S.txt"))
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(_report(args)) + "\n")
    except OSError as exc:
        raise OutputLost(f"{path}: {exc.strerror}; --output FILE names another one") from None
    put(str(path))
    complain("it has no known secret, but addresses and names of your site: read it before you send it")
    return 0


def _report(args: argparse.Namespace) -> list[str]:
    redaction = Redaction()
    parts = list(_parts(args, redaction))
    with waiting(lambda: "check, the bridge and the journal"):
        text = "".join(f"== {title} ==\n{_gathered(ask)}\n\n" for title, ask in parts)
    return [printable(line) for line in redaction(text).rstrip().splitlines()]


def _parts(args: argparse.Namespace, redaction: Redaction) -> Iterator[tuple[str, Callable[[], str]]]:
    """What there is to gather, in the order in which a maintainer reads."""
    yield "versions", _versions
    config: Config | None = None
    try:
        config, _ = chosen_config(args)
    except BridgeError as exc:
        yield "configuration", partial("cannot be used: {}".format, exc)
    else:
        redaction.know("configuration", secrets_of(config))
        yield "configuration: what is not as by default", partial("\n".join, list(_changed_settings(config)))
        yield "secrets of the table", partial(_learn_table, config, redaction)
    check = ["check", "--connect", *([] if args.config is None else ["-c", args.config])]
    yield "janus-bridge check --connect", partial(_program, *_this_program(), *check)
    client = connect(args)
    for method, params in _METHODS:
        yield f"{method} at {client.url}", partial(_called, client, method, params)
    if config is not None and config.cluster.cluster_id is not None:
        yield "janus_cluster_list", partial(_called, client, "janus_cluster_list", [])
    yield f"systemctl status {UNIT}", partial(_program, "systemctl", "status", "--no-pager", "--lines=0", UNIT)
    yield f"systemctl cat {UNIT}", partial(_program, "systemctl", "cat", "--no-pager", UNIT)
    journal = ("journalctl", "--no-pager", f"--lines={LINES}", "--output=short-iso", f"--unit={UNIT}")
    yield f"the last {LINES} lines of the journal", partial(_program, *journal)


def _this_program() -> list[str]:
    """The command that runs it from where this process has it: never from the folder that it happens to be in."""
    start = f"import sys; sys.path[:] = {sys.path!r}; from bridge.__main__ import main; sys.exit(main())"
    return [sys.executable, "-I", "-c", start]


def _gathered(ask: Callable[[], str]) -> str:
    """A part, or why it is not there: the others are worth having without it."""
    try:
        return ask().rstrip()
    except (BridgeError, OSError, subprocess.SubprocessError, UnicodeError) as exc:
        return f"not available: {exc}"


def _versions() -> str:
    import platform
    import ssl
    from importlib import metadata

    with open("/etc/os-release", encoding="utf-8") as file:
        system = _OS_NAME.search(file.read())
    needed = [line for line in metadata.requires("opensips-janus-bridge") or () if "extra ==" not in line]
    packages = [f"{name} {_installed(name)}" for name in sorted(re.split(r"[^\w.-]", line)[0] for line in needed)]
    return "\n".join(
        (
            version(),
            f"Python {platform.python_version()} ({sys.executable}), {ssl.OPENSSL_VERSION}",
            f"{system[1] if system else 'unknown system'}, Linux {platform.release()} {platform.machine()}, "
            f"{os.cpu_count()} processors",
            ", ".join(packages),
        )
    )


def _installed(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _changed_settings(config: Config) -> Iterator[str]:
    """``section.key = value`` of each that is not as by default."""
    yield f"read from {config.source or 'no file'}"
    yield from config.warnings
    for section in SECTIONS:
        yield from _changed_of(section, TABLE[section].values(), getattr(config, section))
    for (section, key), (row, _) in NAMED.items():
        for name, values in getattr(getattr(config, section), key).items():
            yield from _changed_of(f"{section}.{key}.{name}", TABLE[row].values(), values)


def _changed_of(section: str, settings: Iterable[Setting], values: Any) -> Iterator[str]:
    defaults = {field.name: field.default for field in dataclasses.fields(values)}
    for setting in settings:
        value = getattr(values, setting.key)
        if value != defaults[setting.key]:
            text = HIDDEN if setting.kind in SECRETS else json.dumps(_plain(value), ensure_ascii=False)
            yield f"{section}.{setting.key} = {text}"


def _plain(value: Any) -> Any:
    """What JSON has for it: a value of the house says itself as it may be shown."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _learn_table(config: Config, redaction: Redaction) -> str:
    """Before anything that may repeat them is written down."""
    import trio  # with the databases most of a start, for this alone

    from bridge.daemon.database import database_of, secrets_of_rows

    rows = trio.run(database_of(config).rows)
    redaction.know("table", secrets_of_rows(rows))
    return f"hidden here; the table has {plural(len(rows), 'row')}"


def _called(client: MiClient, method: str, params: list[Any]) -> str:
    return json.dumps(client.call(method, params), indent=1, ensure_ascii=False)


def _program(*words: str) -> str:
    """What it prints on both streams, and how it ended if that was not well."""
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False
    )
    said = done.stdout.decode("utf-8", "backslashreplace").rstrip()
    return said if done.returncode == 0 else f"{said}\n(exit code {done.returncode})"


EPILOG = """
  sudo janus-bridge doctor
  janus-bridge doctor --output - | less

Exit codes: 0 the file is written, whatever it says; 1 it cannot be written; 2 usage.
"""
