"""Text as TOML, and what is wrong with it in words.

Owns the reading of a file's bytes and of a single value, and the translation of tomllib's errors: where, what, and what
to write instead. Must not know any setting, and shows nothing of the text, which may be a secret. Authority: toml.io,
TOML 1.0.
"""

import re
import tomllib
from typing import Any

# The beginning of what tomllib says, and what it means to somebody who writes a configuration.
_MEANINGS = (
    ("Invalid value", 'a value is missing or cannot be read: text stands in quotes, as in key = "text"'),
    ("Expected '=' after a key", "there is no = behind the key"),
    (
        "Invalid statement",
        'this is neither [section] nor key = value (keys are letters, digits, _ and -, or "in quotes")',
    ),
    ("Invalid initial character for a key", 'a key is missing: letters, digits, _ and -, or text "in quotes"'),
    ("Expected newline or end of document", "something stands behind the value: a line has one key = value"),
    ("Unterminated string", "a text is not closed by a quotation mark"),
    ('Expected "\'"', "a text is not closed by a quotation mark"),
    ("Illegal character '\\n'", "a text is not closed by a quotation mark on its line"),
    (
        "Unescaped '\\' in a string",
        "a backslash in \"...\" begins an escape: write two of them, or '...' around the text",
    ),
    ("Unclosed array", "a list is not closed by ]"),
    ("Unclosed inline table", "a table is not closed by }"),
    ("Cannot overwrite a value", "this key is there already: keep one of them"),
    ("Duplicate inline table key", "this key is there already: keep one of them"),
    ("Cannot declare", "this section is there already: put its keys together"),
    ("Cannot mutate immutable", "this section is there already: put its keys together"),
    ("Expected ']' at the end of a table declaration", "the name of a section is not closed by ]"),
    ("Expected ']]' at the end of an array declaration", "the name of a section is not closed by ]]"),
    ("Exceeds the limit", "a number has thousands of digits"),
)


def parse(content: bytes) -> dict[str, Any]:
    """The tables of a file. Raises ValueError with one line: where, and what is wrong there."""
    try:
        text = content.decode("utf-8-sig")  # as some editors begin a file
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text; save the file in that encoding") from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("brackets are nested too deep") from None
    except ValueError as exc:  # tomllib.TOMLDecodeError, or a number of thousands of digits
        raise ValueError(_words(str(exc))) from None


def value(text: str) -> Any:
    """A single value, and nothing behind it. Raises ValueError for what is none."""
    try:
        found = tomllib.loads(f"value = {text}")
    except RecursionError:
        raise ValueError from None
    if len(found) > 1:
        raise ValueError
    return found["value"]


def _words(said: str) -> str:
    match = re.search(r" \(at (.*)\)$", said)
    where = "" if match is None else match[1].replace("end of document", "the end of the file")
    what = said if match is None else said[: match.start()]
    meaning = next((meaning for beginning, meaning in _MEANINGS if what.startswith(beginning)), what)
    return f"not valid TOML{f' at {where}' if where else ''}: {meaning}"
