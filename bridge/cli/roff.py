"""Text as roff with the macros of man(7), which groff and mandoc read.

Owns escapes and macros. Must not know what a page says. Authority: groff_man(7), groff_char(7), mandoc's man(7).
Prose is as in help texts: paragraphs with an empty line between them, those that begin with a blank are examples, and
`words` in backquotes are typed as they stand.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

# Each that roff would read as a command, or show as a typographic sign that no shell knows.
_CHARACTERS = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
WIDTH: Final = 78  # of the lines of a page's source
_CODE = re.compile(r"`([^`]+)`")


def escaped(text: str) -> str:
    """The text, to be shown as it is, wherever in a line."""
    return "".join(_CHARACTERS.get(char) or (char if " " <= char <= "~" else rf"\[u{ord(char):04X}]") for char in text)


def bold(text: str) -> str:
    """Words that are typed as they are."""
    return rf"\fB{escaped(text)}\fR"


def italic(text: str) -> str:
    """A word that stands for another."""
    return rf"\fI{escaped(text)}\fR"


def prose(text: str) -> Iterator[str]:
    """Paragraphs and examples, as lines of roff."""
    for paragraph in text.strip("\n").split("\n\n"):
        if paragraph.startswith(" "):
            yield from example(paragraph)
        elif paragraph:
            yield ".PP"
            yield from _filled(paragraph)


def _filled(text: str) -> Iterator[str]:
    """Prose of one paragraph in lines that an editor shows, with its `words` bold."""
    parts = _CODE.split(" ".join(text.split()))  # every second one stood in backquotes
    marked = "".join(bold(part) if number % 2 else escaped(part) for number, part in enumerate(parts))
    yield from map(_line, textwrap.wrap(marked, WIDTH, break_long_words=False, break_on_hyphens=False))


def example(text: str) -> Iterator[str]:
    """Lines that are kept as they are."""
    yield from (".PP", ".RS 4", ".EX")
    yield from (_line(escaped(line.removeprefix("  "))) for line in text.split("\n"))
    yield from (".EE", ".RE")


def tagged(tags: Iterable[str], text: str) -> Iterator[str]:
    """A paragraph that belongs to its ``tags``, which are roff already."""
    for macro, tag in zip((".TP", *[".TQ"] * 99), tags, strict=False):
        yield macro
        yield _line(tag)
    yield from _filled(text) if text else (r"\&",)


def page(name: str, section: int, date: str, source: str, body: Iterable[str]) -> Iterator[str]:
    """The lines of a whole page. Nothing is hyphenated: most long words are names."""
    yield f'.TH {name.upper()} {section} {date} "{escaped(source)}" "janus-bridge Manual"'
    yield from (".nr HY 0", ".nh", ".ad l")
    before = ""
    for line in body:
        if line != ".PP" or not before.startswith((".SH", ".SS")):  # which begin a paragraph themselves
            yield line
        before = line


def heading(text: str, macro: str = ".SH") -> str:
    """Of a section, or with .SS of a part of one."""
    return f'{macro} "{escaped(text)}"'


def _line(text: str) -> str:
    """A line of roff that is no request, whatever it begins with."""
    return rf"\&{text}" if text.startswith((".", "'")) else text
