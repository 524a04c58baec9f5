"""What the program takes, as data: subcommands, options and arguments, read from their parsers.

Owns the way through argparse, for man page and completion; nothing else looks into a parser. Must not know any of them.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Option:
    """``strings``: its names, e.g. -c and --config. ``metavar`` is empty for a switch."""

    strings: tuple[str, ...]
    metavar: str
    help: str
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """``choices``: the only words that do; empty: any. ``optional`` and ``repeats``: 0 or 1, or any number of them."""

    metavar: str
    help: str
    choices: tuple[str, ...]
    optional: bool
    repeats: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """A command, by the ``words`` that name it, without the program's. ``acts``: whether it does something without a
    word more.
    """

    words: tuple[str, ...]
    help: str
    description: str
    epilog: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    acts: bool
    verbs: tuple["Usage", ...] = field(default=())

    @property
    def name(self) -> str:
        """Its words as they are typed."""
        return " ".join(self.words)

    def commands(self) -> Iterator["Usage"]:
        """This one and all below it that act."""
        if self.acts:
            yield self
        for verb in self.verbs:
            yield from verb.commands()


def usage_of(parser: argparse.ArgumentParser, words: Sequence[str] = (), summary: str = "") -> Usage:
    """What that parser takes."""
    options: list[Option] = []
    arguments: list[Argument] = []
    verbs: list[Usage] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            verbs += [usage_of(below, (*words, name), helps[name]) for name, below in action.choices.items()]
        elif action.option_strings:
            options.append(_option(action, _help(parser, action)))
        else:
            arguments.append(_argument(action, _help(parser, action)))
    return Usage(
        tuple(words),
        summary,
        (parser.description or "").strip("\n"),
        (parser.epilog or "").strip("\n"),
        tuple(options),
        tuple(arguments),
        parser.get_default("run") is not None,
        tuple(verbs),
    )


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return parser._get_formatter()._expand_help(action) if action.help else ""


def _option(action: argparse.Action, help_text: str) -> Option:
    metavar = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    return Option(tuple(action.option_strings), metavar, help_text, isinstance(action, argparse._AppendAction))


def _argument(action: argparse.Action, help_text: str) -> Argument:
    choices = tuple(map(str, action.choices or ()))
    metavar = str(action.metavar or action.dest.upper())
    return Argument(metavar, help_text, choices, action.nargs in ("?", "*"), action.nargs in ("*", "+"))
