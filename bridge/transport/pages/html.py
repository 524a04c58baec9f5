"""Elements of HTML whose text is escaped without being asked for.

Owns the difference between markup and text: whatever is not ``Html`` is text and becomes harmless, so that nothing can
be forgotten. Must not know any page. Authority: WHATWG HTML, 13.3 (serialising).
"""

import html
import re
from typing import Final

from bridge.protocol.printable import printable

_VOID: Final = frozenset({"input", "link", "meta"})
_CUT: Final = 300  # characters of a text from outside


class Html(str):
    """Markup, to be put in as it is."""

    __slots__ = ()


def element(tag: str, /, *children: str, **attributes: str | bool) -> Html:
    """An element. ``class_`` is ``class``, ``data_x`` is ``data-x``; True gives the attribute alone, False none."""
    words = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{words}>")
    return Html(f"<{tag}{words}>{joined(*children)}</{tag}>")


def joined(*children: str) -> Html:
    """Children side by side."""
    return Html("".join(child if isinstance(child, Html) else html.escape(child) for child in children))


def visible(text: str) -> str:
    """A text from outside as it may be shown: in one line, of bounded length, nothing in it invisible.

    What could hide or turn text around (controls, bidirectional marks, lone surrogates) is written as an escape.
    """
    if len(text) > _CUT:
        text = text[:_CUT] + "…"
    return printable(text)


def breakable(url: str) -> Html:
    """A URL from outside that is put on a new line where a person would."""
    return Html("<wbr>".join(joined(part) for part in re.split(r"(?<=[^:/][:/])(?=[^/])", visible(url))))


def _attribute(name: str, value: str | bool) -> str:
    if isinstance(value, bool):
        return f" {name}" if value else ""
    return f' {name}="{html.escape(value)}"'
