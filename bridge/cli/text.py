"""Text for a terminal: tables, colours, and nothing that could command it.

Owns how it looks. Must not know what it says. Colours only where stdout is a terminal and NO_COLOR is not set.
"""

import os
import sys
from collections.abc import Iterable, Sequence

from bridge.protocol.printable import printable

GREEN, YELLOW, RED, DIM = "32", "33", "31", "2"


def colour(text: str, code: str) -> str:
    """The text in a colour, on a terminal."""
    if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):  # https://no-color.org
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns; cells are cleaned."""
    cells = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def coloured_table(header: Sequence[str], rows: Sequence[Sequence[str]], codes: Iterable[str]) -> list[str]:
    """The same, each row in its colour."""
    first, *lines = table(header, rows)
    return [first, *map(colour, lines, codes)]
