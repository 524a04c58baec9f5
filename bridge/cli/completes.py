"""What the shells complete, by the words that stand for it in a help text.

Owns which argument has files, settings, MI methods or events. Must not know any shell.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from bridge import resources
from bridge.cli.events import DEFAULT_EVENTS
from bridge.cli.usage import Usage
from bridge.config import kinds
from bridge.config.row import Setting
from bridge.config.settings import NAMED, SECTIONS, TABLE
from bridge.protocol.cluster import BETWEEN_BRIDGES

_RESULT = "result-"


class WordKind(Enum):
    """What may stand for a metavar."""

    FILE = auto()
    SETTING = auto()
    METHOD = auto()
    EVENT = auto()
    ANYTHING = auto()  # that only the user knows


KINDS = {
    "FILE": WordKind.FILE,
    "OPENSIPS_CFG": WordKind.FILE,
    "SECTION.KEY=VALUE": WordKind.SETTING,
    "METHOD": WordKind.METHOD,
    "EVENT": WordKind.EVENT,
    **dict.fromkeys(("ID", "JSON", "N", "PARAM", "SECONDS", "SEQ", "TOKEN", "URL", "WORDS"), WordKind.ANYTHING),
}


@dataclass(frozen=True, slots=True)
class SettingName:
    """A setting: its name as ``-o`` has it, and the only values that do; empty: others."""

    name: str
    help: str
    values: tuple[str, ...]


def settings() -> list[SettingName]:
    """Those of the sections that have one name."""
    return [_key(f"{section}.", setting) for section in SECTIONS for setting in TABLE[section].values()]


def named_settings() -> dict[str, list[SettingName]]:
    """By what stands before a name of the user's, as ``janus.gateways.``: the settings that follow that name."""
    return {
        f"{section}.{key}.": [_key("", setting) for setting in TABLE[row].values()]
        for (section, key), (row, _) in NAMED.items()
    }


def _key(before: str, setting: Setting) -> SettingName:
    values = ("true", "false") if setting.kind is kinds.BOOLEAN else setting.choices
    return SettingName(before + setting.key, setting.help, values)


def first_words(usage: Usage) -> tuple[list[str], WordKind, bool]:
    """What may follow this command: words, or else a kind; and whether it may follow again."""
    verbs = [verb.words[-1] for verb in usage.verbs]
    if not usage.arguments:
        return verbs, WordKind.ANYTHING, False
    first = usage.arguments[0]
    kind = WordKind.ANYTHING if first.choices else KINDS[first.metavar]
    known = {WordKind.METHOD: methods(), WordKind.EVENT: list(DEFAULT_EVENTS)}
    return [*verbs, *first.choices, *known.get(kind, ())], kind, first.repeats


def methods() -> list[str]:
    """The MI methods that a user calls: each has a schema."""
    names = [name.removeprefix(_RESULT) for name in resources.schemas() if name.startswith(_RESULT)]
    return sorted(set(names) - BETWEEN_BRIDGES)


def every(usage: Usage) -> Iterator[Usage]:
    """This command and all below it, whether they act or not."""
    yield usage
    for verb in usage.verbs:
        yield from every(verb)


def valued(whole: Usage) -> dict[str, WordKind]:
    """The options that a value follows, and its kind, by each of their strings: they are the same for all commands."""
    options = [option for usage in every(whole) for option in usage.options if option.metavar]
    return {string: KINDS[option.metavar] for option in options for string in option.strings}
