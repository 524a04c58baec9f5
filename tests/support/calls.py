"""Calls of Python functions, counted: what something costs, whatever else the machine does."""

import sys
from pathlib import Path
from typing import Any

import bridge

_PACKAGE = str(Path(bridge.__file__).parent)


class Calls:
    """Counts the calls of Python functions in this thread: this program's own, and with those of libraries.

    ``but``: a folder whose calls do not count.
    """

    def __init__(self, but: str = "-") -> None:
        self.own = self.all = 0
        self._but = but

    def __enter__(self) -> "Calls":
        sys.setprofile(self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: Any, event: str, _argument: Any) -> None:
        if event == "call" and not frame.f_code.co_filename.startswith(self._but):
            self.all += 1
            self.own += frame.f_code.co_filename.startswith(_PACKAGE)
