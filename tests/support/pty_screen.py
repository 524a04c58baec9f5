"""A program at a terminal: what it has drawn, keys for it, a window of any size."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from tests.support.deadlines import HANG_SECONDS

_DRAWN = re.compile(r"\x1b\[(\d+);1H\x1b\[K((?:[^\x1b]|\x1b\[\d*m)*)")
_COLOUR = re.compile(r"\x1b\[\d*m")


class PtyScreen:
    """``with PtyScreen(command, columns=80, lines=24) as screen:``; its end kills what still runs."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str] | None = None, *, columns: int = 80, lines: int = 24
    ) -> None:
        self.said = ""
        gate, opened = os.pipe()
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.read(gate, 1)  # until the window has its size
            os.execvpe(command[0], list(command), {**os.environ, "TERM": "xterm", **(environ or {})})
        self.resize(columns, lines)
        os.write(opened, b"x")
        os.close(gate)
        os.close(opened)
        self._code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._terminal)

    @property
    def modes(self) -> Sequence[object]:
        """Those of the terminal, as termios has them."""
        return termios.tcgetattr(self._terminal)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, of those lines that were drawn; without colours."""
        found = {int(number): _COLOUR.sub("", text) for number, text in _DRAWN.findall(self.said)}
        return [found.get(number, "") for number in range(1, max(found, default=0) + 1)]

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def kill(self, number: int) -> None:
        os.kill(self._pid, number)

    def forget(self) -> None:
        """What was drawn until now."""
        self.said = ""

    def until(self, happened: Callable[[], bool]) -> None:
        """Read what it draws until that is so. Raises TimeoutError with what it said."""
        deadline = time.monotonic() + HANG_SECONDS
        while not happened():
            if not self._read(deadline):
                raise TimeoutError(self.said[-4000:])

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        deadline = time.monotonic() + HANG_SECONDS
        while self._read(deadline):
            pass
        assert time.monotonic() < deadline, self.said[-4000:]
        self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._code

    def _read(self, deadline: float) -> bool:
        """Whether it said more: not at its end, nor until then."""
        if not select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # it has left the terminal
            return False
        self.said += data.decode("utf-8", "replace")
        return bool(data)
