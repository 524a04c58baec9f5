"""The tokens of an opensips.cfg, as OpenSIPS's own lexer makes them.

Owns where a comment, a string, a number or a variable begins and ends, and what a string or number is worth. One pass,
whatever the text. Must not know what tokens mean together. Authority: OpenSIPS 3.4 to 4.0, cfg.lex and cfg_pp.c:

- ``/* */`` nest, ``#`` goes to the end of its line; there is no ``//``;
- "..." has the escapes ``\\n \\r \\t \\a \\" \\\\ \\xHH \\OOO`` (two or three digits), any other keeps its backslash;
- '...' has none at all: a backslash before the closing tick is a character like any other;
- a variable goes to the end of its parentheses, quotes and comments in them included;
- numbers are C's: 0x hexadecimal, a leading 0 octal, 32 bits; yes, true, on and enable are 1, their opposites 0.
"""

import bisect
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

TokenKind: TypeAlias = Literal["string", "word", "number", "variable", "mark", "hash-bang", "foreign", "unclosed"]

_NEXT = re.compile(
    r"(?P<blank>(?:[ \t\b\r\n]|\\\n)++)"
    r"|(?P<line>\#[^\n]*+)"
    r"|(?P<comment>/\*)"
    r'|(?P<quoted>"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))'
    r"|(?P<ticked>'[^']*+(?:'|\Z))"
    r"|(?P<variable>\$)"
    r"|(?P<word>[A-Za-z][A-Za-z0-9_]*+)"
    r"|(?P<number>0x[0-9A-Fa-f]++|0[0-7]++|0|[1-9][0-9]*+)"
    r"|(?P<mark>[]=<>!~&|^+*%:/.,;(){}[-])"
    r"|(?P<foreign>.)",
    re.DOTALL,
)
_NEST = re.compile(r"/\*|\*/")
_STOP = re.compile(r"[() \t\r\n;,=+/*%&|^~<>!-]|:=|not|and|or")  # what ends a variable outside of parentheses
_ESCAPE = re.compile(r'\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{2,3})|([nrta"\\]))')
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", '"': '"', "\\": "\\"}
_SWITCHES = {**dict.fromkeys(("yes", "true", "on", "enable"), 1), **dict.fromkeys(("no", "false", "off", "disable"), 0)}
_LONG_MAX = 2**63 - 1  # where C's strtol stops


class Token(NamedTuple):
    """``text`` as it stands; ``value``: a string's bytes, None where OpenSIPS spoils them, or a number.

    "unclosed": what the file ends in, its text "string", "comment" or "variable"; "hash-bang": a comment ``#!``;
    "foreign": a character that OpenSIPS throws away.
    """

    at: int
    kind: TokenKind
    text: str
    value: bytes | int | None = None


class Place(NamedTuple):
    """``line`` counts from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Script:
    """A script with all that it includes, a line a row. ``text`` has a character for each byte (ISO 8859-1)."""

    def __init__(self, lines: Sequence[tuple[Place, str]]) -> None:
        """Each with its end of line."""
        self._places = [place for place, _ in lines]
        self._offsets: list[int] = []
        length = 0
        for _, line in lines:
            self._offsets.append(length)
            length += len(line)
        self.text = "".join(line for _, line in lines)

    def place(self, token: Token) -> Place:
        return self._places[bisect.bisect(self._offsets, token.at) - 1]


def tokens(text: str) -> Iterator[Token]:
    """Every token but blanks and comments. Total: any text has tokens; work in proportion to its length."""
    at = 0
    while (match := _NEXT.match(text, at)) is not None:
        start, at, group, token = at, match.end(), match.lastgroup, match[0]
        match group:
            case "blank":
                continue
            case "line":
                if token.startswith("#!"):
                    yield Token(start, "hash-bang", token)
            case "comment":
                at = _comment_end(text, start)
                if at < 0:
                    yield Token(start, "unclosed", "comment")
                    return
            case "quoted" | "ticked":
                if not _is_closed(token):
                    yield Token(start, "unclosed", "string")
                    return
                yield Token(start, "string", token, _bytes(token))
            case "variable":
                at = _variable_end(text, start)
                if at < 0:
                    yield Token(start, "unclosed", "variable")
                    return
                yield Token(start, "variable", text[start:at])
            case "word" if token in _SWITCHES:
                yield Token(start, "number", token, _SWITCHES[token])
            case "number":
                yield Token(start, "number", token, _number(token))
            case "word" | "mark" | "foreign":
                yield Token(start, group, token)


def quoted(value: bytes) -> str:
    """A string in double quotes that has this value."""
    return '"' + "".join(map(_escaped, value.decode("latin-1"))) + '"'


def _escaped(char: str) -> str:
    for letter, meant in _LETTERS.items():
        if char == meant:
            return f"\\{letter}"
    return char if " " <= char <= "~" else f"\\x{ord(char):02x}"


def _comment_end(text: str, start: int) -> int:
    depth = 0
    for match in _NEST.finditer(text, start):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    return -1


def _variable_end(text: str, start: int) -> int:
    depth = 0
    for match in _STOP.finditer(text, start + 1):
        if match[0] == "(":
            depth += 1
        elif depth == 0:
            return match.start()
        elif match[0] == ")":
            depth -= 1
            if depth == 0:
                return match.end()
    return -1


def _is_closed(string: str) -> bool:
    if len(string) < 2 or string[0] != string[-1]:
        return False
    if string[0] == "'":
        return True
    body = string[1:-1]
    return (len(body) - len(body.rstrip("\\"))) % 2 == 0


def _bytes(string: str) -> bytes | None:
    body = string[1:-1]
    if string[0] == '"':
        if re.search(r"(?<!\\)(?:\\\\)*\\\n", body):
            return None  # of the line break that is to be left out, OpenSIPS makes a mark of its own preprocessor
        body = _ESCAPE.sub(_meant, body)
    return body.encode("latin-1").partition(b"\0")[0]  # C's strings end there


def _meant(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    if match[2]:
        return chr(int(match[2], 8) & 0xFF)
    return _LETTERS[match[3]]


def _number(text: str) -> int:
    base = 16 if text.startswith("0x") else 8 if text.startswith("0") else 10
    digits = text.removeprefix("0x").lstrip("0")
    value = _LONG_MAX if len(digits) > 22 else min(int(digits or "0", base), _LONG_MAX)
    return (value + 2**31) % 2**32 - 2**31
