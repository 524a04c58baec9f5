"""What is to be written to a socket: at once what the kernel takes, the rest when there is room, and in time.

Owns what waits, and the clock for it. Must not know what is written. Authority: contract 5.9.
"""

import socket
from collections.abc import Callable
from typing import Final

import trio

from bridge.auto_reset_event import AutoResetEvent

WRITE_SIZE: Final = 262_144  # bytes of what waits that have a deadline of their own


class Outbox:
    """``waits``: bytes that found no room; the owner lets somebody ``watch`` them. ``timeout`` in seconds. While
    ``may_write`` says no, they wait on, as if there were no room.
    """

    def __init__(self, sock: socket.socket, timeout: float, may_write: Callable[[], bool] | None = None) -> None:
        self.waits = bytearray()
        self._sock = sock
        self._timeout = timeout
        self._may_write = may_write
        self._gone = 0  # bytes that waited once
        self._moved = AutoResetEvent()  # some of them

    def write(self, data: bytes) -> bool:
        """At once, where nothing waits before it. Returns whether something waits now."""
        if not self.waits:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False  # the reader sees the end, too
            if sent == len(data):
                return False
            data = data[sent:]
        self.waits += data
        return True

    def flush(self) -> None:
        """There may be room."""
        if self._may_write is not None and not self._may_write():
            return
        try:
            while self.waits:
                sent = self._sock.send(self.waits)
                del self.waits[:sent]
                self._gone += sent
        except BlockingIOError:
            pass
        except OSError:  # the reader sees the end, too
            self.waits.clear()
        self._moved.set()

    async def watch(self) -> bool:
        """As long as something waits: each portion has its time. False: that was not enough, and nothing may be written
        any more: part of a frame may have left, and what was written behind it would be read as its rest.
        """
        while self.waits:
            goal = self._gone + min(len(self.waits), WRITE_SIZE)
            with trio.move_on_after(self._timeout) as scope:
                while self.waits and self._gone < goal:
                    await self._moved.wait()
            if scope.cancelled_caught:
                self.waits.clear()
                return False
        return True
