"""``janus-bridge check [--connect]``: is everything as it should be? Its arguments, and what its help says.

Owns these texts. What it finds stands in ``findings``.
"""

import argparse

from bridge.cli.common import add_config_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = (
        "Validates configuration, table version and every row. With --connect, also checks that every Janus "
        "answers, creates sessions, and lets them be reclaimed after a failure."
    )
    parser.epilog = EPILOG
    add_config_arguments(parser)
    parser.add_argument("--connect", action="store_true", help="connect to every Janus")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Raises ConfigError, TableRefused; with --json these are findings too, for whoever reads them."""
    from bridge.cli import findings  # what asks databases and Januses: most of a start, for this alone

    return findings.run(args)


EPILOG = """
  janus-bridge check
  janus-bridge check -c new.toml --connect
  janus-bridge check --connect --json |
    jq -r 'select(.level == "error") | .where'

Exit codes: 0 nothing found, 1 a warning or an error, 2 configuration or table cannot be used, 3 no answer from the
database, or from any Janus.
"""
