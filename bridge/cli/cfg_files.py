"""An opensips.cfg with all that it includes, as OpenSIPS gathers it before it reads a word.

Owns which files are read, and how much of them. Must not know what they say. Authority: OpenSIPS cfg_pp.c: a relative
path is looked for in the working directory, then beside the file that names it; ``include_file`` and ``import_file``
are the same, and OpenSIPS does not start without either's file; 20 files deep, it gives up.
"""

import os
import sys

from bridge.errors import ConfigError
from bridge.files import read_file
from bridge.protocol.opensips_cfg import included
from bridge.protocol.opensips_lex import Place, Script

STDIN = "-"
_DEEPEST = 20  # files in each other
_BYTES_MAX = 4 << 20  # in all
_FILES_MAX = 1000


class CfgFiles:
    """``problems``: files that could not be included, a line each."""

    def __init__(self, name: str) -> None:
        """Reads all. Raises ConfigError where ``name`` itself cannot be read, or all together is too much."""
        self.problems: list[str] = []
        self._lines: list[tuple[Place, str]] = []
        self._left = _BYTES_MAX
        self._files = 0
        self.name = "stdin" if name == STDIN else name
        try:
            content = _stdin(self._left) if name == STDIN else read_file(name, self._left)
        except OSError as exc:
            raise ConfigError(f"{self.name}: {exc.strerror}") from None
        self._add(self.name, content, 1)
        self.script = Script(self._lines)

    def _add(self, name: str, content: bytes, depth: int) -> None:
        self._left -= len(content)
        self._files += 1
        if self._left < 0 or self._files > _FILES_MAX:
            raise ConfigError(
                f"{self.name}: with what it includes it has more than {_BYTES_MAX >> 20} MiB or {_FILES_MAX} files: "
                "does a file include itself?"
            )
        for number, line in enumerate(content.decode("latin-1").removesuffix("\n").split("\n"), 1):
            place, path = Place(name, number), included(line)
            if path is None:
                self._lines.append((place, line + "\n"))
            else:
                self._include(place, path, depth)

    def _include(self, place: Place, path: str, depth: int) -> None:
        path = os.fsdecode(path.encode("latin-1"))
        if not os.path.isabs(path) and not os.path.exists(path):
            path = os.path.join(os.path.dirname(place.file), path)
        if depth == _DEEPEST:
            raise ConfigError(
                f"{place}: {path} is the {_DEEPEST + 1}th file in each other: does a file include itself?"
            )
        try:
            content = read_file(path, _BYTES_MAX)
        except OSError as exc:
            self.problems.append(f"{place}: {path} is included and cannot be read: {exc.strerror}")
        else:
            self._add(path, content, depth + 1)


def _stdin(limit: int) -> bytes:
    content = b"" if sys.stdin is None else sys.stdin.buffer.read(limit + 1)
    if len(content) > limit:
        raise OSError(0, f"longer than {limit:,} bytes")
    return content
