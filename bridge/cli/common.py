"""What several subcommands share: where the configuration comes from.

Owns the arguments -c and -o. Must not know any setting.
"""

import argparse

from bridge.config import DEFAULT_PATH, Config, load


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """-c FILE and -o section.key=VALUE; ``load_config`` reads them."""
    parser.add_argument("-c", "--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_PATH}, if there)")
    parser.add_argument(
        "-o",
        "--option",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="a single setting, its value as in TOML; may be repeated, and wins over file and environment",
    )


def load_config(args: argparse.Namespace) -> Config:
    """The configuration that the arguments, the environment and the file give. Raises ConfigError."""
    return load(args.config, args.option)
