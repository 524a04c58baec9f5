"""Texts from outside, made fit to be shown."""

import pytest

from bridge.protocol.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a café", "a café"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\ud800", r"\ud800"),
        ("\x00", r"\x00"),
        ("back\\slash 'quoted'", "back\\slash 'quoted'"),
    ],
)
def test_what_is_not_printable_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
