"""Completion for zsh: a function a command.

Owns its text. Authority: zshcompsys(1), _arguments; zshcompwid(1), compset and compadd.
"""

from collections.abc import Iterable, Iterator

from bridge.cli.completes import KINDS, SettingName, WordKind, every, first_words, named_settings, settings
from bridge.cli.usage import Option, Usage

_ACTIONS = {WordKind.FILE: "_files", WordKind.SETTING: "_janus_bridge_settings"}


def script(whole: Usage) -> Iterator[str]:
    """Its lines."""
    yield "#compdef janus-bridge"
    yield "# zsh completion for janus-bridge, made by `janus-bridge completion zsh`"
    for usage in every(whole):
        yield from _function(usage)
    yield from _settings()
    yield "# As a file of $fpath it is the function itself; where it was sourced, it says what it is for."
    yield '[[ $funcstack[1] == _janus-bridge ]] && _janus_bridge "$@" || compdef _janus_bridge janus-bridge'


def _name(usage: Usage) -> str:
    return "_".join(("_janus_bridge", *usage.words))


def _function(usage: Usage) -> Iterator[str]:
    yield f"{_name(usage)}() {{"
    yield "    local curcontext=$curcontext state line"
    yield "    local -a verbs"
    below = ["'1:command:->verb'", "'*::argument:->below'"] if usage.verbs else _argument(usage)
    yield " \\\n        ".join(("    _arguments -C -S", *map(_option, usage.options), *below))
    if usage.verbs:
        yield "    case $state in"
        yield "        verb)"
        yield f"            verbs=({' '.join(_described(verb.words[-1], verb.help) for verb in usage.verbs)})"
        yield "            _describe command verbs"
        yield "            ;;"
        yield "        below)"
        yield "            case $line[1] in"
        for verb in usage.verbs:
            yield f"                {verb.words[-1]}) {_name(verb)} ;;"
        yield "            esac"
        yield "            ;;"
        yield "    esac"
    yield "}"


def _option(option: Option) -> str:
    """Its strings exclude each other, unless it may be repeated."""
    explained = f"[{_plain(option.help)}]"
    equals = ""
    if option.metavar:
        explained += f":{option.metavar}:{_ACTIONS.get(KINDS[option.metavar], '')}"
        equals = "="
    before = _quoted("*" if option.repeats else f"({' '.join(option.strings)})")
    strings = [string + (equals if string.startswith("--") else "") for string in option.strings]
    return before + (f"{{{','.join(strings)}}}" if len(strings) > 1 else strings[0]) + _quoted(explained)


def _argument(usage: Usage) -> list[str]:
    words, kind, again = first_words(usage)
    action = _ACTIONS.get(kind) or (f"({' '.join(words)})" if words else "")
    if not action:
        return []
    return [_quoted(f"{'*' if again else '1'}:{usage.arguments[0].metavar}:{action}")]


def _settings() -> Iterator[str]:
    yield "_janus_bridge_settings() {"
    yield "    local -a keys"
    yield "    if compset -P 1 '*='; then"
    yield "        case ${IPREFIX##*--option=} in"
    for key in settings():
        if key.values:
            yield f"            {key.name}=) compadd -- {' '.join(key.values)} ;;"
    yield "        esac"
    yield "        return"
    yield "    fi"
    for before, keys in named_settings().items():
        yield f"    if compset -P '{before}*.'; then"
        yield f"        keys=({_described_keys(keys)})"
        yield "        _describe setting keys -S ="
        yield "        return"
        yield "    fi"
    yield f"    keys=({_described_keys(settings())})"
    yield "    _describe setting keys -S ="
    yield f"    compadd -S '' -- {' '.join(named_settings())}"
    yield "}"


def _described_keys(keys: Iterable[SettingName]) -> str:
    return " ".join(_described(key.name, key.help) for key in keys)


def _described(word: str, text: str) -> str:
    return _quoted(f"{word}:{text}")


def _plain(text: str) -> str:
    """A help text within brackets."""
    return text.replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"
