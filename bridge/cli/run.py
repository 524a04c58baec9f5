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
        help="only say whether the bridge would start with this configuration, in place of the one that runs",
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
    "SIGTERM, SIGINT": "stop the bridge. Commands in flight get their answer or an error. When systemd restarts the "
    "bridge, it keeps the sockets, and sessions live on. Otherwise those live on that their Janus can reclaim",
    "SIGHUP": "reloads table, secrets, TLS files, subscribers and log level. The log names every other change as "
    "needing a restart",
    "SIGUSR2": "replaces the running program with the one that is installed now, which reads its configuration anew. "
    "Sessions live on. If the new program would not start, nothing happens",
}
DESCRIPTION = """
Runs the bridge in the foreground and logs to stderr. It works without a configuration file.

"""
DESCRIPTION += "\n\n".join(f"{names} {does}." for names, does in SIGNALS.items())
EPILOG = """
  janus-bridge run
  janus-bridge run -c /etc/janus-bridge/janus-bridge.toml
  janus-bridge run -o log.level=4 \\
    -o 'mi.datagram=["unix:/run/janus-bridge/mi.sock"]'
  JANUS_BRIDGE_JANUS__JANUS_DB_URL=mysql://opensips@db/opensips \\
    janus-bridge run

janus-bridge.toml(5) explains every setting; `janus-bridge man janus-bridge.toml` prints it. `janus-bridge unit` prints
a systemd unit.

Exit codes: 0 stopped, 2 the configuration, an address or the version of the table cannot be used.
"""
