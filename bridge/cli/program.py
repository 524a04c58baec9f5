"""The program's subcommands, and the parser of all, with the arguments of some of them or of all.

Owns their names and order, and the texts of ``janus-bridge --help``. Must not know any argument of theirs.
"""

import argparse
import importlib
from collections.abc import Collection
from typing import Final, NamedTuple

from bridge.cli.parser import Parser
from bridge.cli.version import version

NAME = "janus-bridge"


class Subcommand(NamedTuple):
    """``module`` of bridge.cli has its arguments, and what it does; ``summary`` is its line in the program's help."""

    module: str
    summary: str


SUBCOMMANDS: Final = {
    "run": Subcommand("run", "run the bridge in the foreground"),
    "check": Subcommand("check", "validate configuration and table, and with --connect every Janus"),
    "db": Subcommand("db", "create, show and change the table of Janus servers"),
    "import": Subcommand("import_cfg", "make a configuration from an opensips.cfg that uses the janus module"),
    "status": Subcommand("status", "show the gateways, the table and the subscribers of a running bridge"),
    "mi": Subcommand("mi", "call an MI method of a running bridge"),
    "events": Subcommand("events", "subscribe to a running bridge and print its events"),
    "cluster": Subcommand("cluster", "show the bridges of a cluster, as a running one sees them"),
    "reload": Subcommand("reload", "reload the service; its unit runs this"),
    "unit": Subcommand("unit", "print the systemd unit"),
    "man": Subcommand("man", "print a man page"),
    "completion": Subcommand("completion", "print the completion for a shell"),
    "doctor": Subcommand("doctor", "gather what a bug report needs into one file"),
}


def parser(names: Collection[str] = SUBCOMMANDS) -> argparse.ArgumentParser:
    """The program's, with these subcommands and their arguments: to load their modules is most of a start. None of
    them: with all, without their arguments, for the help and for what is no subcommand.
    """
    made = Parser(prog=NAME, description=DESCRIPTION, epilog=EPILOG)
    made.add_argument("--version", action="version", version=version())
    subparsers = made.add_subparsers(metavar="COMMAND", required=True)
    for name in names or SUBCOMMANDS:
        module, summary = SUBCOMMANDS[name]
        below = subparsers.add_parser(name, help=summary)
        if names:
            importlib.import_module(f"bridge.cli.{module}").add_arguments(below)
    return made


DESCRIPTION = """
Connects OpenSIPS to its Janus WebRTC servers, without the janus module. Keeps a managed session to every server in
OpenSIPS's `janus` table, answers janus_send_request as an MI method, and delivers Janus's unsolicited messages as
E_JANUS_EVENT.
"""
FIRST_STEPS = """
First steps, on the machine of a Janus. The Debian package starts the service. Without it, start
`janus-bridge run` in a terminal of its own. Then

  janus-bridge db add --now gw1 janusws://127.0.0.1:8188/janus
  janus-bridge check --connect
  janus-bridge mi janus_send_request gw1 '{"janus": "info"}'
  janus-bridge status --watch
"""
EPILOG = f"""{FIRST_STEPS}
Exit codes: 0 fine, 1 a finding or an MI error, 2 usage or configuration, 3 nothing answered. `janus-bridge COMMAND
--help` explains a command.
"""
