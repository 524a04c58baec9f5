r"""Strings, numbers, comments and variables as OpenSIPS's lexer reads them. The values of strings and the ends of
comments were compared with OpenSIPS 3.6.8 itself, which names what it cannot load: ``loadmodule "\x41\q"``.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.protocol.opensips_lex import Token, quoted, tokens
from tests.support.examples import examples


def only(text: str) -> Token:
    [token] = tokens(text)
    return token


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r'"\n\r\t\a\"\\"', b'\n\r\t\a"\\'),
        (r'"\x41\x7\x4101"', b"A\x07A01"),
        (r'"\101\12\1234"', b"A\nS4"),
        (r'"\1\8\q\x\'"', rb"\1\8\q\x\'"),
        (r"'\n\x41\'", rb"\n\x41" + b"\\"),
        ("'a\"b'", b'a"b'),
        ('"/* # //"', b"/* # //"),
        ('"a\nb"', b"a\nb"),
        (r'"\777"', b"\xff"),
        (r'"a\x00b"', b"a"),  # a string of C ends there
        (r'"\\\n"', b"\\\n"),
        ('"a\\\nb"', None),  # OpenSIPS 3 puts a mark of its preprocessor there
        ('"a\\\\\nb"', b"a\\\nb"),
    ],
)
def test_strings(literal: str, value: bytes | None) -> None:
    token = only(literal)
    assert (token.kind, token.text, token.value) == ("string", literal, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("010", 8),
        ("0x10", 16),
        ("0xFFFFFFFF", -1),
        ("2147483648", -(2**31)),
        ("9" * 5000, -1),
        ("0" * 5000 + "7", 7),
        ("yes", 1),
        ("disable", 0),
    ],
)
def test_numbers_are_those_of_c(text: str, value: int) -> None:
    token = only(text)
    assert (token.kind, token.value) == ("number", value)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("/* a /* b */ c */ d", ["word"]),
        ("# /* \n d", ["word"]),
        ("/* # */ d", ["word"]),
        ('$(var(x){s.select,0,"}) "a"', ["variable", "string"]),
        ('$var(x)=="#"', ["variable", "mark", "mark", "string"]),
        ("$ru;a", ["variable", "mark", "word"]),
        ("f($rU)", ["word", "mark", "variable", "mark"]),
        ("$avp(a)[0]", ["variable", "mark", "number", "mark"]),
        ("a\\\nb", ["word", "word"]),
        ("\ufeff?a".encode().decode("latin-1"), ["foreign"] * 4 + ["word"]),
        ("a /* b", ["word", "unclosed"]),
        ('a "b\\"', ["word", "unclosed"]),
        ("a 'b", ["word", "unclosed"]),
        ("a $(b", ["word", "unclosed"]),
        ('"', ["unclosed"]),
        ("#!define a", ["hash-bang"]),
        ("09", ["number", "number"]),
    ],
)
def test_where_things_end(text: str, kinds: list[str]) -> None:
    assert [token.kind for token in tokens(text)] == kinds


@given(st.binary(max_size=40).filter(lambda value: b"\0" not in value))
@settings(max_examples=examples(50))
def test_a_quoted_value_reads_as_itself(value: bytes) -> None:
    assert only(quoted(value)).value == value


@given(st.text(alphabet="ab1\"'\\\n/*#$(){}; x", max_size=60))
@settings(max_examples=examples(100))
def test_tokens_stand_in_the_text_in_their_order(text: str) -> None:
    end = 0
    for token in tokens(text):
        assert token.at >= end
        if token.kind != "unclosed":
            end = token.at + len(token.text)
            assert text[token.at : end] == token.text
