"""``janus-bridge``: arguments to subcommand to exit code, nothing else.

Exit codes (contract 2): 0 fine, 1 a finding or an MI error, 2 usage or configuration, 3 nothing answered.
"""

import argparse
import sys
from collections.abc import Sequence

from bridge import __version__
from bridge.cli import check, db, events, import_cfg, mi, run, status, unit
from bridge.errors import BridgeError, ConfigError, TableRefused
from bridge.transport.mi_client import NothingAnswered

SUBCOMMANDS = (run, check, db, import_cfg, status, mi, events, unit)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code. Every error is one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="janus-bridge",
        description="Keeps a managed session to every Janus WebRTC server in OpenSIPS's `janus` table, for an OpenSIPS "
        "without the janus module.",
    )
    parser.add_argument("--version", action="version", version=f"janus-bridge {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for subcommand in SUBCOMMANDS:
        subcommand.add_parser(subparsers)
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
    except (ConfigError, TableRefused) as exc:
        print(f"janus-bridge: {exc}", file=sys.stderr)
        return 2
    except NothingAnswered as exc:
        print(f"janus-bridge: {exc}", file=sys.stderr)
        return 3
    except BridgeError as exc:
        print(f"janus-bridge: {exc.code} {exc.message}" + (f": {exc.data}" if exc.data else ""), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
