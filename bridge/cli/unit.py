"""``janus-bridge unit``: print the systemd unit for this installation.

Owns what is put into the unit that is shipped. Exit code 0, and with --restrict-addresses 1 where a name is not found,
2 and 3 as of ``check`` where configuration or table cannot be read.
"""

import argparse
import os
import shutil
import socket
import sys
from pathlib import Path

from bridge import resources
from bridge.cli import unit_addresses
from bridge.cli.common import add_config_arguments, chosen_config
from bridge.cli.output import complain, put
from bridge.config import Config
from bridge.config.settings import TABLE_FILE
from bridge.protocol.cluster import Node
from bridge.protocol.gateway import read_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = "Prints the systemd unit for this installation, or a snippet that goes with it."
    parser.epilog = EPILOG
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--sysusers", action="store_const", const="janus-bridge.sysusers", dest="file", help="the sysusers.d snippet"
    )
    which.add_argument(
        "--tmpfiles", action="store_const", const="janus-bridge.tmpfiles", dest="file", help="the tmpfiles.d snippet"
    )
    parser.add_argument(
        "--restrict-addresses",
        action="store_true",
        help="allow the service only the addresses in configuration and table",
    )
    add_config_arguments(parser)
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
    text = text.replace("/usr/bin/janus-bridge", program).rstrip("\n")
    if not args.restrict_addresses or args.file != "janus-bridge.service":
        put(text)
        return 0
    made, missing = _addresses(args)
    put(text.replace(_FAMILIES, "\n".join((_FAMILIES, *made))))
    for name in missing:
        complain(f"janus-bridge unit: {name} is not found now: the service cannot reach it")
    return 1 if missing else 0


def _addresses(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    config, _ = chosen_config(args)
    if config.uses_default_table and not (config.state.dir / TABLE_FILE).exists():
        complain("janus-bridge unit: there is no table yet, and so no gateway; make the unit anew when there is")
        rows = []
    else:
        import trio  # most of a start, for this alone

        from bridge.daemon.database import database_of

        rows = trio.run(database_of(config).rows)
    gateways, _ = read_rows(rows)
    peers = unit_addresses.peers(config, gateways.values(), _nodes(config))
    return unit_addresses.lines(config, peers, _look_up, _RESOLV_CONF)


def _nodes(config: Config) -> list[Node]:
    """The other bridges, as the cluster's table has them now."""
    cluster_id, node_id = config.cluster.cluster_id, config.cluster.my_node_id
    if cluster_id is None or node_id is None:
        return []
    import trio  # as above

    from bridge.daemon.database import cluster_database_of
    from bridge.transport.cluster_db import ClusterDb
    from bridge.transport.cluster_tables import NodeTable
    from bridge.transport.db import DEADLINE

    database = ClusterDb(cluster_database_of(config), DEADLINE)
    try:
        nodes = trio.run(NodeTable(database, cluster_id, node_id).nodes)
    finally:
        database.close()
    return [node for node in nodes if node.node_id != node_id]


def _look_up(name: str) -> list[str]:
    try:
        return sorted({str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(name, None)})
    except (OSError, UnicodeError):
        return []


_FAMILIES = "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX"
_RESOLV_CONF = Path("/etc/resolv.conf")
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
  journalctl -u janus-bridge -f
"""
