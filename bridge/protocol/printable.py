"""Texts from outside, made fit to be shown.

Owns the one escape for what could break a line, command a terminal, hide or turn a text around: controls, line ends,
bidirectional marks, lone surrogates.
"""


def printable(text: str) -> str:
    """The text with each character that is not printable as its escape: ``\\n``, ``\\x1b``, ``\\u202e``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
