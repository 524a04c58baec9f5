"""The man page janus-bridge.toml(5), made from the sample file, which has every setting and its best words.

Owns how the sample is read: paragraphs, in which ``# `` begins prose, and a section or keys follow.
tests/config/test_settings.py compares the sample with the table of settings.
"""

import re
from collections.abc import Iterator

from bridge import resources
from bridge.cli import man_words
from bridge.cli.roff import bold, escaped, example, heading, italic, prose, tagged

SAMPLE = "opensips-examples/janus-bridge.toml"
_SECTION = re.compile(r"#?\[([\w.]+)\]")
_KEY = re.compile(r"#(\w+) = (.*)")
_RULE = re.compile(r"# --- (.*?) -*")


def settings_page() -> Iterator[str]:
    """All of it, without its title."""
    paragraphs = [part.split("\n") for part in resources.path(SAMPLE).read_text(encoding="utf-8").strip().split("\n\n")]
    first = next(number for number, lines in enumerate(paragraphs) if any(map(_SECTION.fullmatch, lines)))
    yield heading("NAME")
    yield escaped("janus-bridge.toml") + r" \- " + escaped("configuration of janus-bridge")
    yield heading("SYNOPSIS")
    yield bold("/etc/janus-bridge/janus-bridge.toml")
    yield heading("DESCRIPTION")
    yield from prose(man_words.SETTINGS)
    for lines in paragraphs[first:]:  # above are the words for who reads the file itself
        yield from _roff(lines)
    yield heading("EXAMPLES")
    yield from prose("An OpenSIPS on the same machine, its database, and events that are raised inside it:")
    yield from example(man_words.EXAMPLE.strip("\n"))
    yield heading("SEE ALSO")
    yield from prose("`janus-bridge`(8)")


def _roff(lines: list[str]) -> Iterator[str]:
    """A paragraph: its section, its rule, its prose, or its keys and their prose."""
    words: list[str] = []
    keys: list[str] = []
    for line in lines:
        section, rule, key = _SECTION.fullmatch(line), _RULE.fullmatch(line), _KEY.fullmatch(line)
        if section:
            yield heading(f"[{section[1]}]")
            if words:  # that stand above their section
                yield from prose(" ".join(words))
            words = []
        elif rule:
            yield heading(rule[1], ".SS")
        elif key:
            keys.append(f"{bold(key[1])} = {italic(key[2])}")
        else:
            words.append(line.removeprefix("#").strip())
    text = " ".join(words)
    if keys:
        yield from tagged(keys, text)
    elif text:
        yield from prose(text)
