"""``janus-bridge``: arguments to subcommand to exit code, nothing else.

Exit codes (contract 2): 0 fine, 1 a finding or an MI error, 2 usage or configuration, 3 nothing answered; 130 for
Ctrl-C, as shells have it. Every error is one line on stderr.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Sequence

from bridge.errors import BridgeError, ConfigError, TableRefused, TableUnavailable

# Each, and its module in bridge.cli.
SUBCOMMANDS = {
    "run": "run",
    "check": "check",
    "db": "db",
    "import": "import_cfg",
    "status": "status",
    "mi": "mi",
    "events": "events",
    "cluster": "cluster",
    "reload": "reload",
    "unit": "unit",
    "doctor": "doctor",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code. Raises SystemExit for usage, --help and --version."""
    try:
        _keep_standard_streams()
        return _obey(argv)
    except (KeyboardInterrupt, BridgeError) as exc:
        return _end(exc)
    except BaseExceptionGroup as group:  # of a nursery
        if group.split((KeyboardInterrupt, BridgeError))[1] is not None:
            raise
        return _end(group)


def _keep_standard_streams() -> None:
    """Where the caller closed one, the next socket would get its number, and whatever a library prints."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one


def _obey(argv: Sequence[str] | None) -> int:
    # Loaded here, because it takes a while, and Ctrl-C in that while is no reason for a traceback either.
    from bridge.cli.parser import Parser
    from bridge.cli.version import version

    parser = Parser(prog="janus-bridge", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=version())
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    words = sys.argv[1:] if argv is None else argv
    for module in _modules(words):
        importlib.import_module(f"bridge.cli.{module}").add_parser(subparsers)
    args = parser.parse_args(words)
    code: int = args.run(args)
    return code


def _modules(words: Sequence[str]) -> Iterable[str]:
    """Of the subcommand that is named, or of all for a help text or a fault: most of a start is loading them."""
    first = next((word for word in words if not word.startswith("-")), "")
    if first in SUBCOMMANDS:
        return [SUBCOMMANDS[first]]
    return () if list(words) == ["--version"] else SUBCOMMANDS.values()


def _end(exc: BaseException) -> int:
    """Say why it ended; the exit code."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    if isinstance(exc, KeyboardInterrupt):
        return 130

    from bridge.cli.output import OutputLost, complain
    from bridge.transport.mi_client import NothingAnswered

    match exc:
        case OutputLost(data=None):
            return 1
        case OutputLost():
            code, text = 1, str(exc)
        case ConfigError() | TableRefused():
            code, text = 2, str(exc)
        case NothingAnswered() | TableUnavailable():
            code, text = 3, str(exc)
        case BridgeError():
            code, text = 1, f"{exc.code} {exc.message}" + ("" if exc.data is None else f": {exc.data}")
        case _:
            raise exc
    complain(f"janus-bridge: {text}")
    return code


DESCRIPTION = """
Keeps a managed session to every Janus WebRTC server in OpenSIPS's `janus` table, for an OpenSIPS without the janus
module: it answers janus_send_request as an MI method, and delivers Janus's unsolicited messages as E_JANUS_EVENT.
"""
EPILOG = """
First steps, on the machine of a Janus:

  janus-bridge db add gw1 janusws://127.0.0.1:8188/janus
  janus-bridge check --connect
  janus-bridge run

and in a second terminal:

  janus-bridge status
  janus-bridge mi janus_send_request gw1 '{"janus": "info"}'

Exit codes: 0 fine, 1 a finding or an MI error, 2 usage or configuration, 3 nothing answered. `janus-bridge COMMAND
--help` has the details.
"""


if __name__ == "__main__":
    sys.exit(main())
