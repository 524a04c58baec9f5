"""``janus-bridge``: arguments to subcommand to exit code, nothing else.

Exit codes (contract 2): 0 fine, 1 a finding or an MI error, 2 usage or configuration, 3 nothing answered; 130 for
Ctrl-C, as shells have it. Every error is one line on stderr.
"""

import os
import sys
from collections.abc import Sequence

from bridge.errors import BridgeError, ConfigError, TableRefused, TableUnavailable


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
    from bridge.cli.program import SUBCOMMANDS, parser

    words = sys.argv[1:] if argv is None else argv
    first = next((word for word in words if not word.startswith("-")), "")
    args = parser([first] if first in SUBCOMMANDS else []).parse_args(words)
    code: int = args.run(args)
    return code


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


if __name__ == "__main__":
    sys.exit(main())
