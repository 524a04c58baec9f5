"""``janus-bridge man``: print the man pages, as roff.

Owns the page janus-bridge(8), made from the parsers' own tables, as ``--help`` is. The settings' page stands in
``man_settings``. Must not know any option.
"""

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence, Set

from bridge import __file__ as package
from bridge import __version__
from bridge.cli import man_settings, man_words, program
from bridge.cli.output import put
from bridge.cli.roff import bold, escaped, heading, italic, page, prose, tagged
from bridge.cli.run import SIGNALS
from bridge.cli.usage import Argument, Option, Usage, usage_of

PAGES = ("janus-bridge", "janus-bridge.toml")
_SHARED = 3  # commands that have the same option: then it is explained once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options, and its ``run`` among the defaults."""
    parser.description = (
        "Prints a man page in roff: janus-bridge(8), with the help of all commands, or janus-bridge.toml(5), "
        "with every setting."
    )
    parser.epilog = EPILOG
    parser.add_argument("page", nargs="?", choices=PAGES, default=PAGES[0], help="the page (default: janus-bridge)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it, with the date of the release."""
    source = f"janus-bridge {__version__}"
    if args.page == "janus-bridge":
        put(*page(args.page, 8, _date(), source, commands_page(usage_of(program.parser()))))
    else:
        put(*page(args.page, 5, _date(), source, man_settings.settings_page()))
    return 0


def _date() -> str:
    """That of the source, as reproducible builds have it, or else of the installation."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = int(given) if given.isdecimal() else os.stat(package).st_mtime
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def commands_page(whole: Usage) -> Iterator[str]:
    """janus-bridge(8), without its title."""
    commands = list(whole.commands())
    shared = _shared(commands)
    yield heading("NAME")
    yield escaped("janus-bridge") + r" \- " + escaped("keeps OpenSIPS connected to its Janus WebRTC servers")
    yield heading("SYNOPSIS")
    for command in commands:
        yield from _synopsis(command)
    yield heading("DESCRIPTION")
    yield from prose(whole.description)
    yield from prose(man_words.DESCRIPTION)
    yield heading("OPTIONS")
    for option in whole.options:
        yield from tagged([_option(option)], option.help)
    for having, options in shared.items():
        yield from prose(f"Of {', '.join(f'`{command.name}`' for command in having)}:")
        for option in options:
            yield from tagged([_option(option)], option.help)
    yield heading("COMMANDS")
    explained = {*whole.options, *(option for options in shared.values() for option in options)}
    for command in whole.verbs:
        yield from _command(command, explained)
    yield heading("SIGNALS")
    yield from prose("What `janus-bridge run` does at a signal:")
    yield from _table(SIGNALS)
    yield heading("EXIT STATUS")
    yield from _table(man_words.EXIT_CODES)
    yield heading("ENVIRONMENT")
    yield from _table(man_words.ENVIRONMENT)
    yield heading("FILES")
    yield from _table(man_words.FILES)
    yield heading("EXAMPLES")
    yield from prose(program.FIRST_STEPS)
    yield heading("SEE ALSO")
    yield from prose(man_words.SEE_ALSO)


def _shared(commands: Sequence[Usage]) -> dict[tuple[Usage, ...], list[Option]]:
    """The options that several commands have with the same words, by these commands."""
    found: dict[tuple[Usage, ...], list[Option]] = {}
    for option in dict.fromkeys(option for command in commands for option in command.options):
        having = tuple(command for command in commands if option in command.options)
        if _SHARED <= len(having) < len(commands):
            found.setdefault(having, []).append(option)
    return found


def _synopsis(command: Usage) -> Iterator[str]:
    yield f'.SY "{escaped(program.NAME)} {escaped(command.name)}"'
    for option in command.options:
        if option.strings[0] != "-h":
            yield f"[{_option(option, 1)}]" + (r"...\&" if option.repeats else "")
    yield from map(_argument, command.arguments)
    yield ".YS"


def _option(option: Option, most: int = 9) -> str:
    names = ", ".join(map(bold, option.strings[:most]))
    return rf"{names}\~{italic(option.metavar)}" if option.metavar else names


def _argument(argument: Argument) -> str:
    shown = "|".join(map(bold, argument.choices)) or italic(argument.metavar)
    shown += r"\~..." if argument.repeats else ""
    return f"[{shown}]" if argument.optional else shown


def _command(command: Usage, explained: Set[Option]) -> Iterator[str]:
    yield heading(command.name, ".SS")
    yield from prose(command.description)
    for argument in command.arguments:
        yield from tagged([_argument(argument)], argument.help)
    for option in command.options:
        if option not in explained:
            yield from tagged([_option(option)], option.help)
    yield from prose(command.epilog)
    for verb in command.verbs:
        yield from _command(verb, explained)


def _table(rows: Mapping[str, str]) -> Iterator[str]:
    for words, meaning in rows.items():
        yield from tagged([bold(words)], meaning)


EPILOG = """
  janus-bridge man | man -l -
  janus-bridge man janus-bridge.toml | man -l -

To install them for `man janus-bridge`:

  cd /usr/local/share/man && mkdir -p man5 man8
  janus-bridge man > man8/janus-bridge.8
  janus-bridge man janus-bridge.toml > man5/janus-bridge.toml.5
"""
