"""The program's source as trees, each file read once a process.

Owns nothing: for tools and tests that hold the program against what is written about it.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def tree_of(file: Path) -> ast.Module:
    """Of any Python file; not to be changed."""
    return ast.parse(file.read_text(encoding="utf-8"))


def program() -> Iterator[tuple[Path, ast.Module]]:
    """Each file of the package, in the order of their names."""
    for file in sorted((ROOT / "bridge").rglob("*.py")):
        yield file, tree_of(file)
