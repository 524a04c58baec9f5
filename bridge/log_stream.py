"""A stream for the log that nobody waits for: lines go through a thread, and through a queue of bounded size.

Owns what becomes of lines when the other end does not read: a pipe that nobody empties, a journal that is stuck, a
terminal on hold. Must not know what a line says. Written with write(2): a thread that is stuck in Python's own stderr
would hold a lock that the interpreter wants at its end.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

CAPACITY: Final = 1 << 20  # bytes of lines that wait


class LogStream:
    """What logging wants of a stream: ``write`` and ``flush``, both at once. ``dropped`` counts lines since the start.

    ``tell(N)`` makes the line that says that N were dropped; it is written once there is room, or the disk takes lines
    again.
    """

    def __init__(self, descriptor: int, tell: Callable[[int], str], capacity: int = CAPACITY) -> None:
        """``descriptor`` stays the caller's; it may block, or be non-blocking and full."""
        self.dropped = 0
        self._descriptor = descriptor
        self._tell = tell
        self._capacity = capacity
        self._lines: deque[bytes] = deque()  # the first one is being written
        self._size = 0
        self._full = False
        self._untold = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, text: str) -> None:
        """Queue one line, or several that belong together, with what ends them; or drop it where there is no room."""
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            self._full = self._full or (bool(self._lines) and self._size + len(data) > self._capacity)
            if self._full:
                self._drop()
            else:
                self._queue(data)

    def flush(self) -> None:
        """The thread does it."""

    def close(self, patience: float) -> None:
        """Wait until everything is written, for ``patience`` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines, patience)

    def _queue(self, data: bytes) -> None:
        self._lines.append(data)
        self._size += len(data)
        self._changed.notify_all()

    def _drop(self) -> None:
        self.dropped += 1
        self._untold += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                data = self._lines[0]
            written = self._write(data)
            with self._changed:
                del self._lines[0]
                self._size -= len(data)
                if not written:
                    self._drop()
                if self._size <= self._capacity // 2:
                    self._full = False
                    if written and self._untold:
                        told, self._untold = self._untold, 0
                        self._queue(self._tell(told).encode("utf-8", "backslashreplace"))
                self._changed.notify_all()

    def _write(self, data: bytes) -> bool:
        """Whether it went out, however long that took. A full disk or a reader who has left cost this line alone."""
        rest = memoryview(data)
        while rest:
            try:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # somebody who shares it made it non-blocking
                    select.select([], [self._descriptor], [])
            except OSError:
                return False
        return True
