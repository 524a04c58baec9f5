"""What systemd wants to hear: sd_notify(3), and sd_pid_notify_with_fds(3) for its store of file descriptors.

Owns the datagrams to ``$NOTIFY_SOCKET``, in their order. Does nothing where there is none.
"""

import os
import socket
from array import array
from collections import deque
from contextlib import suppress
from typing import NamedTuple

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.protocol.numbers import read_decimal

AGAIN = 0.002  # seconds until the next attempt, where the queue is full: 10 datagrams, or some hundred
HEARD = 2.0  # seconds that systemd has to read what was said, before the process ends
MOST_WAITING = 100_000  # datagrams; more come of nothing but a systemd that has stopped reading


class _Notice(NamedTuple):
    text: bytes
    fd: int | None  # a duplicate of ours, that goes along


class Notifier:
    """``environ`` is the process's environment. ``run`` sends what does not go at once."""

    def __init__(self, environ: "os._Environ[str] | dict[str, str]") -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if name else None
        usec = read_decimal(environ.get("WATCHDOG_USEC", ""), 2**64 - 1)
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Seconds between two signs of life: half of what systemd waits, as its manual advises.
        self.watchdog_interval = usec / 2_000_000 if usec and mine else None
        self._waiting: deque[_Notice] = deque()
        self._filled = AutoResetEvent()

    @property
    def present(self) -> bool:
        """Whether there is a systemd, or what stands for it, that is told."""
        return self._sender is not None

    def tell(self, *lines: str, fd: int | None = None) -> None:
        """Send ``READY=1``, ``STATUS=...``, ``FDSTORE=1`` ..., ``fd`` with it; never waits.

        A systemd that does not listen is no reason to stop.
        """
        text = "\n".join(lines).encode()
        if (self._waiting or not self._send(text, fd)) and len(self._waiting) < MOST_WAITING:
            with suppress(OSError):  # no descriptor is left for a duplicate
                self._waiting.append(_Notice(text, None if fd is None else os.dup(fd)))
                self._filled.set()

    async def run(self) -> None:
        """Send what waits, until cancelled."""
        while True:
            await self._filled.wait()
            await self._send_waiting()

    async def heard(self) -> None:
        """Wait for a moment until systemd has read all that was said: it ignores a process that is gone."""
        ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.tell("BARRIER=1", fd=theirs)
            os.close(theirs)
            with trio.move_on_after(HEARD):
                await self._send_waiting()
                while not _has_ended(ours):  # the other end is closed by whoever has read the line
                    await trio.lowlevel.wait_readable(ours)
        finally:
            os.close(ours)

    def close(self) -> None:
        """Say no more."""
        if self._sender is not None:
            self._sender.close()

    async def _send_waiting(self) -> None:
        while self._waiting:
            notice = self._waiting[0]
            if not self._send(notice.text, notice.fd):
                await trio.sleep(AGAIN)
                continue
            self._waiting.popleft()
            if notice.fd is not None:
                os.close(notice.fd)

    def _send(self, text: bytes, fd: int | None) -> bool:
        """False: there is no room now."""
        if self._sender is None:
            return True
        ancillary = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))]
        try:
            self._sender.sendmsg([text], ancillary, 0, self._address)
        except BlockingIOError:
            return False
        except OSError:  # nobody listens
            pass
        return True


def _has_ended(fd: int) -> bool:
    """Whether a pipe has. Being woken is no proof: what was closed here under this number, and systemd keeps, is in the
    loop's epoll still, and wakes whoever waits for that number.
    """
    try:
        return not os.read(fd, 1)
    except BlockingIOError:
        return False
