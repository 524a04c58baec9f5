"""The program's subcommands, and the parser of some of them or of all.

Owns their names and order, and the texts of ``janus-bridge --help``. Must not know any argument of theirs.
"""

import argparse
import importlib
from collections.abc import Iterable

from bridge.cli.parser import Parser
from bridge.cli.version import version

NAME = "janus-bridge"
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
    "man": "man",
    "completion": "completion",
    "doctor": "doctor",
}


def parser(names: Iterable[str] = SUBCOMMANDS) -> argparse.ArgumentParser:
    """That of the program, with these subcommands: loading all of them is most of a start."""
    made = Parser(prog=NAME, description=DESCRIPTION, epilog=EPILOG)
    made.add_argument("--version", action="version", version=version())
    subparsers = made.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        importlib.import_module(f"bridge.cli.{SUBCOMMANDS[name]}").add_parser(subparsers)
    return made


DESCRIPTION = """
Keeps a managed session to every Janus WebRTC server in OpenSIPS's `janus` table, for an OpenSIPS without the janus
module: it answers janus_send_request as an MI method, and delivers Janus's unsolicited messages as E_JANUS_EVENT.
"""
FIRST_STEPS = """
First steps, on the machine of a Janus. Where the service does not run (a package starts it), start
`janus-bridge run` in a terminal of its own. Then

  janus-bridge db add --now gw1 janusws://127.0.0.1:8188/janus
  janus-bridge check --connect
  janus-bridge mi janus_send_request gw1 '{"janus": "info"}'
  janus-bridge status --watch
"""
EPILOG = f"""{FIRST_STEPS}
Exit codes: 0 fine, 1 a finding or an MI error, 2 usage or configuration, 3 nothing answered. `janus-bridge COMMAND
--help` has the details.
"""
