"""What is wrong with a text that should be JSON, in words for whoever wrote it."""

import pytest

from bridge.protocol.offence import not_json, not_utf8


@pytest.mark.parametrize(
    ("text", "offence", "words"),
    [
        (b'{"a": tru}', b"tru", 'not JSON at "a": >tru<: bad (byte 6)'),
        (b'{"id": 1 "b": 2}', b'"b"', 'not JSON at "id": >"b<: bad (byte 9)'),
        (b"nonsense", b"nonsense", "not JSON: >nonsense<: bad (byte 0)"),
        (b'{"a": ', b"", 'not JSON at "a": bad (byte 6)'),
        (b'{"a": $var(x)}', b"$var", 'not JSON at "a": >$var(x)<: OpenSIPS does not fill variables into this string'),
        (b'{"pin": hunter2}', b"hunter2", 'not JSON at "pin": >***<: bad (byte 8)'),
        (b'{"apisecret": hunter2}', b"hunter2", 'not JSON at "apisecret": >***<: bad (byte 14)'),
        (b'{"a": \x1b[2J}', b"\x1b", 'not JSON at "a": >\\x1b[2J<: bad (byte 6)'),
    ],
)
def test_member_offence_and_place(text: bytes, offence: bytes, words: str) -> None:
    at = text.index(offence) if offence else len(text)
    assert not_json(text, at, "bad") == words


def test_a_long_offence_is_cut() -> None:
    assert not_json(b'{"a": ' + b"x" * 1000, 6, "bad") == f'not JSON at "a": >{"x" * 32}<: bad (byte 6)'


def test_a_member_far_in_front_is_not_looked_for() -> None:
    assert not_json(b'{"a": ' + b" " * 5000 + b"x", 5006, "bad") == "not JSON: >x<: bad (byte 5006)"


def test_a_byte_that_is_no_utf8() -> None:
    text = '{"display": "Käthe"}'.encode("latin-1")
    words = 'not UTF-8 at "display": byte 0xe4 at 14; convert it, or write it as \\u escapes'
    assert not_utf8(text, text.index(b"\xe4")) == words
