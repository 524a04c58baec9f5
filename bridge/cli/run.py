"""``janus-bridge run``: its arguments, and what its help says.

Owns these texts. What it does stands in ``foreground``.
"""

import argparse
import gc

from bridge.cli.common import add_config_arguments, load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    add_config_arguments(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="say whether it would start with this configuration, in place of the one that runs; change nothing",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Returns when the bridge was stopped, or cannot be started (2). Raises ConfigError, TableRefused."""
    config = load_config(args)  # first: what is wrong with it is said at once
    gc.disable()  # what is loaded stays, and the collector would look through it again and again: a tenth of a start
    from bridge.cli import foreground

    gc.enable()
    return foreground.look(config) if args.check else foreground.run(config, lambda: load_config(args))


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
