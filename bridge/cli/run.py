"""``janus-bridge run``: the service, in the foreground."""

import argparse
import logging
import os
import sys

import trio

from bridge import logs
from bridge.cli.common import add_config_arguments, load_config
from bridge.daemon import serve


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "run",
        help="run the bridge in the foreground",
        description="Runs the bridge in the foreground. SIGTERM and SIGINT stop it, SIGHUP reloads table, secrets, TLS "
        "files, subscribers and log level. Without a configuration file every default works: gateways are then added "
        "with `janus-bridge db add ID URL`.",
    )
    add_config_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Returns when the bridge was stopped."""
    config = load_config(args)
    logs.set_up(config.log.level, config.log.format, journal=_on_journal())
    for warning in config.warnings:
        logging.getLogger("bridge").warning("%s", warning)
    trio.run(serve, config, lambda: load_config(args))
    return 0


def _on_journal() -> bool:
    """Whether stderr is systemd's journal, which says so by device and inode."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))
