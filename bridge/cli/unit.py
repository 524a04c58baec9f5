"""``janus-bridge unit``: print the systemd unit for this installation."""

import argparse
import os
import shutil
import sys

from bridge import resources
from bridge.cli.output import complain, put


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "unit",
        help="print the systemd unit",
        description="Prints the systemd unit for this installation, or one of the snippets it needs.",
        epilog=EPILOG,
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
    program = _program()
    # The program, what a link to it leads to, and the Python that a virtual environment leads to.
    needed = (program, os.path.realpath(program), os.path.realpath(sys.executable))
    hidden = next((path for path in needed if path.startswith(_HIDDEN)), None)
    if "ProtectHome=yes" in text and hidden is not None:
        complain(f"janus-bridge unit: ProtectHome= hides {hidden} from the service; install it elsewhere, as in /opt")
    put(text.replace("/usr/bin/janus-bridge", program).rstrip("\n"))
    return 0


_HIDDEN = ("/home/", "/root/", "/run/user/")  # by ProtectHome=yes


def _program() -> str:
    """How this installation is started."""
    if os.path.basename(sys.argv[0]) == "__main__.py":
        return f"{sys.executable} -m bridge"
    return shutil.which(sys.argv[0]) or os.path.abspath(sys.argv[0])


EPILOG = """
As root:

  janus-bridge unit --sysusers | systemd-sysusers -
  janus-bridge unit > /etc/systemd/system/janus-bridge.service
  systemctl daemon-reload && systemctl enable --now janus-bridge
  systemctl reload janus-bridge     table, secrets, TLS files, subscribers, log level
  journalctl -u janus-bridge -f -p warning
"""
