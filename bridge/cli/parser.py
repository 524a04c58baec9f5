"""The parser of every subcommand's arguments.

Owns how usage faults and help texts look: a fault is one line (contract 2), examples keep their lines. Must not know
any argument.
"""

import argparse
import re
import textwrap
from typing import Any, NoReturn

from bridge.cli.output import complain, put
from bridge.protocol.redaction import HIDDEN

USAGE = 2  # exit code


class Parser(argparse.ArgumentParser):
    """argparse's, but for its texts. Subparsers are of the same class."""

    def __init__(self, **arguments: Any) -> None:
        arguments.setdefault("formatter_class", Help)
        super().__init__(**arguments)

    def error(self, message: str) -> NoReturn:
        """End with one line and exit code 2."""
        complain(f"{self.prog}: {_harmless(message)} ({self.prog} --help explains)")
        raise SystemExit(USAGE)

    def _print_message(self, message: str, file: object = None) -> None:
        put(message.rstrip("\n"))  # help and version: may meet a closed pipe as any output does


def _harmless(message: str) -> str:
    """A fault without what may be a secret in a wrong place: values of options, and words that no argument expects."""
    what, colon, words = message.partition("unrecognized arguments: ")
    if colon:
        names = [word.partition("=")[0] for word in words.split() if word.startswith("-")]
        return f"{what}{colon}{' '.join(names)}" if names else f"{what}there are too many arguments"
    return re.sub(r"(--?[\w-]+=|invalid choice: )('[^']*'|\S+)", rf"\1{HIDDEN}", message)


class Help(argparse.HelpFormatter):
    """Wraps prose, and leaves paragraphs that begin with a blank alone: they are examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(one if one.startswith(" ") else textwrap.fill(one, width) for one in paragraphs)
