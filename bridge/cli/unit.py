"""``janus-bridge unit``: print the systemd unit for this installation."""

import argparse
import shutil
import sys

from bridge import resources


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "unit",
        help="print the systemd unit",
        description="Prints the systemd unit: janus-bridge unit > /etc/systemd/system/janus-bridge.service",
    )
    parser.add_argument(
        "--sysusers", action="store_const", const="janus-bridge.sysusers", dest="file", help="the sysusers.d snippet"
    )
    parser.add_argument(
        "--tmpfiles", action="store_const", const="janus-bridge.tmpfiles", dest="file", help="the tmpfiles.d snippet"
    )
    parser.set_defaults(run=run, file="janus-bridge.service")


def run(args: argparse.Namespace) -> int:
    """The unit, with this installation's program in ExecStart."""
    text = resources.path(f"opensips-examples/systemd/{args.file}").read_text(encoding="utf-8")
    program = shutil.which(sys.argv[0]) or sys.argv[0]
    print(text.replace("/usr/bin/janus-bridge", program), end="")
    return 0
