"""What ``janus-bridge run`` does: the service, in the foreground, or a look at whether it would start.

Owns the steps around the service: its log, its signals until it has them, the program that takes its place.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable

import trio

from bridge import logs
from bridge.cli import check_paths
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

LOOK = 10.0  # seconds that a database has for a look


def look(config: Config) -> int:
    """Returns where the bridge would start. Raises ConfigError, TableRefused."""
    for fault in check_paths.refusals(config):
        raise ConfigError(fault)
    trio.run(listeners.look, config)
    trio.run(_look_at_table, config)
    return 0


def run(config: Config, load: Callable[[], Config]) -> int:
    """Returns when the bridge was stopped, or cannot be started (2). ``load`` reads the configuration again."""
    for number in (signal.SIGHUP, signal.SIGUSR2):  # no reason to end, once nobody listens to them
        signal.signal(number, signal.SIG_IGN)
    let_go()
    with waiting():
        return _run(config, load)


def _run(config: Config, load: Callable[[], Config]) -> int:
    redaction = Redaction()
    redaction.know("configuration", secrets_of(config))
    logs.set_up(config.log.level, config.log.format, journal=_on_journal(), hide=redaction)
    for warning in config.warnings:
        log.warning("configuration: %s", warning)
    try:
        hands_on = trio.run(serve, config, load, redaction)
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
