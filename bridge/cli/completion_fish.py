"""Completion for fish 3 and later.

Owns its text. Authority: fish's complete(1), commandline(1).
"""

from collections.abc import Iterator

from bridge.cli.completes import KINDS, WordKind, every, first_words, named_settings, settings, valued
from bridge.cli.usage import Option, Usage

_SETTINGS = "(__janus_bridge_settings)"


def script(whole: Usage) -> Iterator[str]:
    """Its lines."""
    paths = " ".join(_quoted(usage.name) for usage in every(whole) if usage.words)
    yield HEAD.format(valued=" ".join(valued(whole)), paths=paths)
    yield from _settings()
    yield "complete -c janus-bridge -f"
    for usage in every(whole):
        for option in usage.options:
            yield f"{_at(usage)} {_option(option)}"
        for verb in usage.verbs:
            yield f"{_at(usage)} -a {verb.words[-1]} -d {_quoted(verb.help)}"
        words, kind, again = first_words(usage)
        if kind is WordKind.FILE:
            yield f"{_at(usage, alone=not again)} -F"
        elif words and not usage.verbs:
            yield f"{_at(usage, alone=not again)} -a {_quoted(' '.join(words))}"


def _at(usage: Usage, *, alone: bool = False) -> str:
    """What is completed where the command is this one, and with ``alone``, where no argument stands behind it yet."""
    return f"complete -c janus-bridge -n \"__janus_bridge_at '{usage.name}'{' alone' if alone else ''}\""


def _option(option: Option) -> str:
    names = [f"-s {string[1:]}" if len(string) == 2 else f"-l {string[2:]}" for string in option.strings]
    match KINDS[option.metavar] if option.metavar else None:
        case None:
            value = ""
        case WordKind.FILE:
            value = " -r -F"
        case WordKind.SETTING:
            value = f" -x -a {_quoted(_SETTINGS)}"
        case _:
            value = " -x"
    return f"{' '.join(names)}{value} -d {_quoted(option.help)}"


def _settings() -> Iterator[str]:
    """A function that prints those that fit what was typed of a setting, each with a tab and its words."""
    yield "function __janus_bridge_settings"
    yield "    set -l typed (string replace -r '^(--option=|-o)' '' -- (commandline -ct))"
    for before, keys in named_settings().items():
        pattern = f"^{before.replace('.', '[.]')}[^=]*[.]"
        yield f"    if set -l named (string match -r {_quoted(pattern)} -- $typed)"
        for key in keys:
            yield f'        printf "%s{key.name}=\\t%s\\n" $named {_quoted(key.help)}'
        yield "    end"
        yield f"    echo {before}"
    yield "    string match -q '*=*' -- $typed"
    yield "    and printf '%s\\t%s\\n' \\"
    yield " \\\n".join(f"        {key.name}={value} {_quoted(key.help)}" for key in settings() for value in key.values)
    yield "    or printf '%s=\\t%s\\n' \\"
    yield " \\\n".join(f"        {key.name} {_quoted(key.help)}" for key in settings())
    yield "end"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"


HEAD = """\
# fish completion for janus-bridge, made by `janus-bridge completion fish`
function __janus_bridge_at --description 'Whether the words so far name this command'
    set -l words (commandline -opc)
    set -e words[1]
    set -l found
    set -l more
    set -l skip 0
    for word in $words
        if test $skip = 1
            set skip 0
        else if contains -- $word {valued}
            set skip 1
        else if test -n "$found"; and contains -- "$found $word" {paths}
            set found "$found $word"
        else if test -z "$found"; and contains -- $word {paths}
            set found $word
        else if not string match -q -- '-*' $word
            set more 1
        end
    end
    test "$found" = "$argv[1]"; and test -z "$argv[2]" -o -z "$more"
end"""
