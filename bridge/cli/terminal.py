"""A terminal that is drawn on: its screen, its keys, and that it is given back as it was.

Owns its modes, and what a signal does to them. Must not know what is drawn. Authority: ECMA-48 (CSI), xterm's control
sequences (the alternate screen), termios(3), signal(7).
"""

import os
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from bridge.cli.output import draw

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # another screen, without cursor, and no line goes on in the next
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_SEQUENCE: Final = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]")  # of an arrow, or of another key without a letter
_PLAIN: Final = str.maketrans({"–": "-", "…": "~"})


def can_be_drawn_on() -> bool:
    """Whether stdout is a terminal that obeys."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")


def has(letters: str) -> bool:
    """Whether stdout's encoding has these letters."""
    try:
        letters.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


class Terminal:
    """Between ``open()`` and the end of its block. Raises KeyboardInterrupt at Ctrl-C and SIGTERM."""

    def __init__(self) -> None:
        self._wakes, self._wake = os.pipe()
        self._keys: int | None = None
        self._before: list[Any] = []
        self._stopped = False

    @contextmanager
    def open(self) -> Iterator["Terminal"]:
        """Takes the terminal; whatever ends the block, it is given back."""
        os.set_blocking(self._wake, False)
        os.set_blocking(self._wakes, False)
        before = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler),
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, self._note_stop),
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda *_: None),  # waking is enough
        }
        wakes = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        try:
            self._take()
            yield self
        finally:
            self._give_back()
            signal.set_wakeup_fd(wakes)
            for number, handler in before.items():
                signal.signal(number, handler)

    def wake(self) -> None:
        """End ``wait`` from another thread, which may outlive the block: so the pipe stays open."""
        with suppress(BlockingIOError):  # it is full, and so awake
            os.write(self._wake, b"\0")

    def wait(self, seconds: float) -> str:
        """Until a key, a signal, ``wake`` or the time; the keys that were typed."""
        sources = [self._wakes] if self._keys is None else [self._wakes, self._keys]
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._wakes in ready:
            os.read(self._wakes, 4096)
        if self._stopped:
            self._stop()
        if self._keys is None or self._keys not in ready:
            return ""
        typed = os.read(self._keys, 4096)
        if not typed:
            self._keys = None  # nobody types any more
        return _SEQUENCE.sub("", typed.decode("utf-8", "ignore"))

    def size(self) -> tuple[int, int]:
        """Columns and lines, whatever $COLUMNS said when it began."""
        try:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            columns, lines = 0, 0
        return columns or 80, lines or 24

    def show(self, lines: Sequence[str]) -> None:
        """One below the other, from the top of the screen."""
        text = "".join(f"\x1b[{number};1H\x1b[K{line}" for number, line in enumerate(lines, 1))
        draw(text if has("–…") else text.translate(_PLAIN))

    def _take(self) -> None:
        if sys.stdin is not None and sys.stdin.isatty():
            self._keys = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
        draw(_ENTER)

    def _give_back(self) -> None:
        draw(_LEAVE)
        if self._before:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)

    def _note_stop(self, *_: object) -> None:
        """A handler may run amid a write: it only notes."""
        self._stopped = True

    def _stop(self) -> None:
        """Ctrl-Z: the shell gets its own screen, and ``fg`` takes it again."""
        self._stopped = False
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
