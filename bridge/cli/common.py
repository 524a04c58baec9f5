"""What several subcommands share: where the configuration comes from.

Owns the arguments -c and -o, and whose configuration is meant where they do not say it. Must not know any setting but
those that place the table.
"""

import argparse
import os

from bridge.cli import service
from bridge.cli.service import InstalledService
from bridge.config import DEFAULT_PATH, Config, load
from bridge.config.settings import TABLE_FILE
from bridge.errors import ConfigError

_PLACING = ("state.dir", "janus.janus_db_url")
_PLACING_VARIABLES = ("STATE_DIRECTORY", "JANUS_BRIDGE_STATE__DIR", "JANUS_BRIDGE_JANUS__JANUS_DB_URL")


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """-c FILE and -o section.key=VALUE; ``load_config`` reads them."""
    parser.add_argument("-c", "--config", metavar="FILE", help=f"configuration file (default: {DEFAULT_PATH}, if any)")
    parser.add_argument(
        "-o",
        "--option",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="one setting, its value as in TOML; may be repeated; overrides file and environment",
    )


def load_config(args: argparse.Namespace) -> Config:
    """The configuration that the arguments, the environment and the file give. Raises ConfigError."""
    return load(args.config, args.option)


def chosen_config(args: argparse.Namespace) -> tuple[Config, InstalledService | None]:
    """The configuration to act on, and the service if it is the service's: the one that is named, or that of the
    service on this machine, or else one's own, as ``run`` reads it. Raises ConfigError; also where the service and the
    user have a table each, and nothing says which is meant.
    """
    placed = any(option.partition("=")[0].strip() in _PLACING for option in args.option)
    if placed or any(os.environ.get(name) for name in _PLACING_VARIABLES):
        return load(args.config, args.option), None
    found = service.find()
    if found is None or (args.config is not None and not _same_file(args.config, found.config or DEFAULT_PATH)):
        return load(args.config, args.option), None
    theirs = found.load(*args.option)
    if args.config is None:
        mine = load(None, args.option)
        if mine.janus.janus_db_url != theirs.janus.janus_db_url and _is_there(mine):
            both = theirs.uses_default_table and mine.uses_default_table
            ways = [f"-o state.dir={each.state.dir}" for each in (theirs, mine)]
            raise ConfigError(
                f"there are two tables, {theirs.janus.janus_db_url} of {service.UNIT} and your own "
                f"{mine.janus.janus_db_url}; choose with "
                + (" or ".join(ways) if both else f"-c {found.config or DEFAULT_PATH} or -o janus.janus_db_url=URL")
            )
    return theirs, found


def _same_file(one: str, other: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.abspath(one) == os.path.abspath(other)


def _is_there(config: Config) -> bool:
    return not config.uses_default_table or (config.state.dir / TABLE_FILE).exists()
