"""``janus-bridge completion``: print what a shell needs to complete the program's words."""

import argparse

from bridge.cli import completion_bash, completion_fish, completion_zsh, program
from bridge.cli.output import put
from bridge.cli.usage import usage_of

SHELLS = {"bash": completion_bash.script, "zsh": completion_zsh.script, "fish": completion_fish.script}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = "Prints a script that completes subcommands, options, settings, MI methods and file names."
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=tuple(SHELLS), help="the shell")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    put(*SHELLS[args.shell](usage_of(program.parser())))
    return 0


EPILOG = """
  source <(janus-bridge completion bash)       for this shell alone

For all users:

  mkdir -p /usr/local/share/bash-completion/completions
  janus-bridge completion bash > \\
    /usr/local/share/bash-completion/completions/janus-bridge
  janus-bridge completion zsh > \\
    /usr/local/share/zsh/site-functions/_janus-bridge
  janus-bridge completion fish > \\
    /etc/fish/completions/janus-bridge.fish
"""
