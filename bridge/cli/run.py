"""``janus-bridge run``: the service, in the foreground."""

import argparse
import logging
import os
import signal
import sys

import trio

from bridge import logs
from bridge.cli import check_paths
from bridge.cli.common import add_config_arguments, load_config
from bridge.cli.output import settle
from bridge.config import Config, secrets_of
from bridge.daemon import listeners
from bridge.daemon.database import database_of
from bridge.daemon.service import serve
from bridge.errors import ConfigError, TableRefused, TableUnavailable, WrongTableVersion
from bridge.protocol.redaction import Redaction
from bridge.transport.orphans import let_go
from bridge.transport.signals import waiting
from bridge.transport.successor import become, command

log = logging.getLogger("bridge")

LOOK = 10.0  # seconds that a database has for --check


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "run", help="run the bridge in the foreground", description=DESCRIPTION, epilog=EPILOG
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="say whether it would start with this configuration, in place of the one that runs; change nothing",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Returns when the bridge was stopped, or cannot be started (2). Raises ConfigError for what cannot be read."""
    config = load_config(args)
    if args.check:
        for fault in check_paths.refusals(config):
            raise ConfigError(fault)
        trio.run(listeners.look, config)
        trio.run(_look_at_table, config)
        return 0
    for number in (signal.SIGHUP, signal.SIGUSR2):  # no reason to end, once nobody listens to them
        signal.signal(number, signal.SIG_IGN)
    let_go()
    with waiting():
        return _run(args, config)


def _run(args: argparse.Namespace, config: Config) -> int:
    redaction = Redaction()
    redaction.know("configuration", secrets_of(config))
    logs.set_up(config.log.level, config.log.format, journal=_on_journal(), hide=redaction)
    for warning in config.warnings:
        log.warning("configuration: %s", warning)
    try:
        hands_on = trio.run(serve, config, lambda: load_config(args), redaction)
    except (ConfigError, TableRefused) as exc:  # into the log, in its format: nobody may be there to read a terminal
        log.critical("%s; the bridge does not start", exc)
        return 2
    finally:
        logs.close()
        settle()
    if hands_on is not None:
        become(command(), os.environ | hands_on.hand_on())
    return 0


async def _look_at_table(config: Config) -> None:
    """Raise what the database says against a start within a moment: WrongTableVersion, and TableRefused where the
    tables of the cluster cannot be used. Without an answer ``run`` starts all the same.
    """
    with trio.move_on_after(LOOK):
        try:
            await database_of(config).rows()
        except WrongTableVersion:
            raise
        except TableUnavailable:
            pass
    if config.cluster.cluster_id is not None:
        with trio.move_on_after(LOOK):
            await _look_at_cluster(config)


async def _look_at_cluster(config: Config) -> None:
    from bridge.daemon.database import cluster_database_of
    from bridge.transport.cluster_tables import ClusterTables

    tables = ClusterTables(config.janus.db_version_table)
    try:
        await cluster_database_of(config).visit("read", tables.check)
    except TableRefused:
        raise
    except TableUnavailable:
        pass


def _on_journal() -> bool:
    """Whether stderr is systemd's journal, which says so by device and inode."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    if sys.stderr is None:
        return False
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


SIGNALS = {
    "SIGTERM, SIGINT": "stop the bridge: commands in flight get their answer or an error. Under systemd, which keeps "
    "the sockets for the next start, sessions live on; else where their Janus can reclaim them",
    "SIGHUP": "reloads table, secrets, TLS files, subscribers and log level; what else was changed is named in the log "
    "as needing a restart",
    "SIGUSR2": "replaces the program in place by what it and its configuration are now: sessions live on, and where "
    "the new one would not start, nothing happens",
}
DESCRIPTION = """
Runs the bridge in the foreground and logs to stderr. Without a configuration file every default works.

"""
DESCRIPTION += "\n\n".join(f"{names} {does}." for names, does in SIGNALS.items())
EPILOG = """
  janus-bridge run
  janus-bridge run -c /etc/janus-bridge/janus-bridge.toml
  janus-bridge run -o log.level=4 \\
    -o 'mi.datagram=["unix:/run/janus-bridge/mi.sock"]'
  JANUS_BRIDGE_JANUS__JANUS_DB_URL=mysql://opensips@db/opensips \\
    janus-bridge run

Every setting is explained in janus-bridge.toml(5), which `janus-bridge man janus-bridge.toml` prints, too.
`janus-bridge unit` prints a systemd unit.

Exit codes: 0 stopped, 2 the configuration, an address or the version of the table cannot be used.
"""
