"""All hot sockets in one epoll, served in batches by one task of trio: callbacks, without a turn of a task for each.

Owns who is served when, how much of a turn all of them together may take, and that a fault of one ends one. Must not
know what is carried. Authority: epoll(7).

A task that waits for a socket costs two turns of the event loop, two calls of epoll_ctl and a change of tasks for each
message. Here a socket is registered once, edge-triggered, for all that can happen to it: bytes, room, the peer's
leaving. trio watches the epoll itself, whose descriptor is readable while anything is ready, and everything else of
trio (nurseries, deadlines, signals) has its turn between two turns of the batch, whenever there is anything else.

Edge-triggered means: what is left unread makes no noise, and whoever leaves something says so (``again``).
"""

import logging
import os
import select
import time
from collections import deque
from typing import Final

import trio

from bridge.native import mypyc_attr
from bridge.throttle import Throttle
from bridge.transport.trio_idle import TrioIdle

log = logging.getLogger("bridge")

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT
HUNG_UP: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR  # by the peer: a shut side, an end, a reset
SHARE: Final = 65_536  # work of a turn, in bytes: some ms where each of them is an element of JSON
PIECE: Final = 1024  # what a request or a frame counts for at the least, however short it is
_HARVEST: Final = 256  # sockets that the kernel is asked for at once
_QUIET: Final = 60.0  # seconds between two tracebacks


@mypyc_attr(allow_interpreted_subclasses=True)  # of tests
class Member:
    """One socket of a batch. What derives from it says what is done when it is ready."""

    __slots__ = ("_events", "_fd", "_waits")

    def __init__(self) -> None:
        self._fd = -1  # while it is in no batch
        self._events = 0  # that came since it was served
        self._waits = False  # to be served

    def serve(self, events: int) -> int:
        """Do what there is to do, one portion at most; returns the work that it was, in bytes or PIECEs.

        ``events``: READABLE, WRITABLE and HUNG_UP as they came since the last time; 0 after ``again``. To be expected:
        one that is no longer true, and WRITABLE beside any other. What raises here ends this member alone. Must not set
        a ``CancelScope.deadline``: trio may hear of it late (``trio_idle``).
        """
        raise NotImplementedError

    def fail(self) -> None:
        """``serve`` raised, which was logged: let go of everything. It is in no batch any more."""
        raise NotImplementedError


class Batch:
    """``add`` members, ``run`` it as a task."""

    def __init__(self, share: int = SHARE) -> None:
        """``share``: work of all members together in one turn."""
        self._share = share
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC)  # edge-triggered as well: it is rung, and never read
        self._epoll.register(self._bell, READABLE | select.EPOLLET)
        self._members: dict[int, Member] = {}
        self._queue: deque[Member] = deque()  # served from the left; those who left meanwhile are among them
        self._later: list[Member] = []  # who asked for another turn in this one
        self._busy = False  # in a turn
        self._trouble = Throttle(_QUIET, repeat=True)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Member, fd: int, events: int = READABLE | WRITABLE) -> None:
        """Serve it when its socket, which does not block, is ready; at once where it is already. It has to ``remove``
        itself before the descriptor is closed: the kernel keeps what has a copy elsewhere, under the old number.

        Without READABLE in ``events``, bytes do not wake it; HUNG_UP always does.
        """
        self._epoll.register(fd, events | select.EPOLLRDHUP | select.EPOLLET)
        self._members[fd] = member
        member._fd = fd

    def remove(self, member: Member) -> None:
        """Never serve it again, not for what came already either. Twice is the same as once."""
        fd, member._fd, member._events = member._fd, -1, 0
        if fd != -1:
            del self._members[fd]
            self._epoll.unregister(fd)

    def again(self, member: Member) -> None:
        """Serve it in the next turn, after the others: it has left something to do."""
        self._later.append(member)
        if not self._busy:
            os.eventfd_write(self._bell, 1)

    def next(self, member: Member, events: int) -> None:
        """Serve it before all others, in a turn that is under way or the next one."""
        member._events |= events
        if not member._waits:
            member._waits = True
            self._queue.appendleft(member)

    def end(self, member: Member) -> None:
        """To be called in an ``except Exception``: end the member that has raised. One traceback a minute is logged."""
        self.remove(member)
        if times := self._trouble.due("", time.monotonic()):
            log.exception("%r failed and is closed (%d since the last such line)", member, times)
        try:
            member.fail()
        except Exception:  # what is half broken may not be able to end in order
            log.exception("%r failed again while it was closed", member)

    async def run(self) -> None:
        """Serve until cancelled."""
        epoll = self._epoll.fileno()
        os.eventfd_write(self._bell, 1)
        await trio.lowlevel.wait_readable(epoll)
        idle = TrioIdle(epoll)
        if idle.found:
            trio.lowlevel.add_instrument(idle)
        try:
            while True:
                self.turn()
                if not idle.alone(wait=not (self._queue or self._later)):
                    if self._queue or self._later:
                        await trio.lowlevel.checkpoint()
                    else:
                        await trio.lowlevel.wait_readable(epoll)
        finally:
            if idle.found:
                trio.lowlevel.remove_instrument(idle)

    def turn(self) -> None:
        """One turn: whoever is ready or has waited, until the share is spent."""
        members, queue, left = self._members, self._queue, self._share
        self._busy = True
        try:
            # Events are given to members before any is served: a descriptor that is closed and used anew meanwhile
            # gets none of another's.
            for fd, events in self._epoll.poll(0, _HARVEST):
                member = members.get(fd)
                if member is not None:  # the bell has none
                    member._events |= events
                    if not member._waits:
                        member._waits = True
                        queue.append(member)
            if self._later:
                later, self._later = self._later, []
                for member in later:
                    if not member._waits:
                        member._waits = True
                        queue.append(member)
            while queue and left > 0:
                member = queue.popleft()
                events, member._events, member._waits = member._events, 0, False
                if member._fd == -1:
                    continue
                try:
                    work = member.serve(events)
                except Exception:  # noqa: BLE001 - end() logs it; a callback has no task of its own that could end
                    self.end(member)
                    work = 0
                left -= work if work > PIECE else PIECE
        finally:
            self._busy = False

    def close(self) -> None:
        """To be called when ``run`` has ended and no member is left."""
        self._epoll.close()
        os.close(self._bell)
