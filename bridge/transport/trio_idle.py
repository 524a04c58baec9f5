"""Whether trio has anything to do beside the one task that asks, and the sleep of that task while it has not.

Owns that question, answered by what trio tells its instruments (what became runnable, how long it would sleep) and what
the kernel tells of the epoll that it sleeps in. Must not know what the task serves. Authority: trio's manual,
"Instrument API"; proc_pid_fdinfo(5), epoll(7).

From one's own epoll back to trio's and again into one's own are two changes of tasks and all that trio looks at in a
turn: as much as half of a command. A task that is alone may as well sleep for its own sockets and for trio's at once,
until something is ready, runnable or due. Nothing of trio's waits for it.

One thing trio tells nobody: that a deadline was moved. What the task moves itself (``CancelScope.deadline``) is LONGEST
late at worst; so it wakes another task that does, as ``Timers`` has one.
"""

import os
import select
import time
from contextlib import suppress
from typing import Final

import trio

LONGEST: Final = 0.5  # seconds until trio has a turn whatever is seen of it


class TrioIdle(trio.abc.Instrument):
    """For the task that waits for ``epoll``, by its descriptor, and has done so once: in it trio's is recognised.

    ``found``: it was, and this is to be added to trio's instruments. Without that, trio is never taken for idle.
    """

    def __init__(self, epoll: int) -> None:
        theirs = _epoll_around(epoll)
        self.found = theirs is not None
        self._epoll = epoll
        self._poll = select.poll()
        self._poll.register(epoll, select.POLLIN)
        if theirs is not None:
            self._poll.register(theirs, select.POLLIN)
        self._runnable = 0  # tasks, since trio slept last
        self._until = 0.0  # time.monotonic() when something is due

    def before_io_wait(self, timeout: float) -> None:
        """As Instrument has it: for so many seconds; 0 where something is runnable."""
        self._runnable = 0
        self._until = time.monotonic() + min(timeout, LONGEST)

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """As Instrument has it."""
        self._runnable += 1

    def alone(self, *, wait: bool) -> bool:
        """Whether nothing but this task can go on. ``wait``: until its epoll is ready, or that is no longer so."""
        left = int((self._until - time.monotonic()) * 1000)  # whole ms: what is due is never late
        if self._runnable > 1 or left <= 0:
            return False
        for fd, _ in self._poll.poll(left if wait else 0):
            if fd != self._epoll:
                return False
            wait = False
        return not wait


def _epoll_around(fd: int) -> int | None:
    """The epoll of this process that has this descriptor in it."""
    with suppress(OSError):  # no /proc
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # closed since
                if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                    with open(f"/proc/self/fdinfo/{name}", encoding="ascii") as info:
                        if any(line.split()[:2] == ["tfd:", str(fd)] for line in info):
                            return int(name)
    return None
