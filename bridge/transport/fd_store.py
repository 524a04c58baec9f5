"""Sockets that outlive the process: systemd's file descriptor store, and what is handed on where there is none.

Owns what was found at the start, what is in the store and under which name, and what this process holds without using
it. A socket that is held is open to its peer: Janus ends no session of it. Must not know what is carried, nor when a
socket may go. Authority: sd_listen_fds(3), sd_pid_notify_with_fds(3), FileDescriptorStoreMax= in systemd.service(5).

As long as anybody has a copy of a socket, ``close`` tells the peer nothing: so what ends is shut down.
"""

import fcntl
import hashlib
import logging
import os
import re
import resource
import socket
import struct
import termios
from collections.abc import Collection, Iterable, Iterator, MutableMapping
from contextlib import suppress
from itertools import chain, repeat
from typing import NamedTuple

from bridge.protocol.humanize import plural
from bridge.protocol.numbers import read_decimal
from bridge.throttle import Throttle
from bridge.transport.systemd import Notifier

log = logging.getLogger("bridge.state")

FIRST = 3  # the descriptors of systemd are numbered from here
_MOST = 1 << 20  # of them
_NAMES_ROOM = (
    131_072 - len("LISTEN_FDNAMES=") - 1
)  # bytes of one string of an environment: execve(2), systemd's as well
NEWEST = 4  # sockets of a row that may have sessions of which nobody has heard yet
_LISTEN = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")  # sd_listen_fds(3)
_HANDED_ON = ("HANDED_ON_PID", "HANDED_ON_FDS", "HANDED_ON_NAMES")  # the same, of any descriptors: "17:23"
_SPARE = 32  # descriptors that the end of a process may want for itself
# What this program calls its own: the stream of a socket to a Janus, which may go on; one that is only held, because
# nobody else can read or write it; a listener. Which of whom, and a number.
STREAM, HELD, LISTENER = "j", "h", "l"
_NAME = re.compile(r"([jhl])(\.[0-9a-f]{16})\.([1-9][0-9]{0,14})")


def base_of(*texts: str, kind: str = STREAM) -> str:
    """What the names of all sockets begin with that belong to this, such as the janus_id and janus_url of a row.

    systemd's names are 255 characters without control or colon, and may be seen by every user.
    """
    return f"{kind}." + hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


class HeldSocket(NamedTuple):
    """A descriptor of ours. ``name`` as it is in the store; ``base`` and ``number`` are what that says, or the name
    itself and 0 for a stranger's. ``goes_on``: whoever takes it can go on with it.
    """

    name: str
    fd: int
    base: str
    number: int
    goes_on: bool

    @classmethod
    def called(cls, name: str, fd: int) -> "HeldSocket":
        """One with this name."""
        found = _NAME.fullmatch(name)
        if found is None:
            return cls(name, fd, name, 0, goes_on=False)
        kind, whose, number = found.groups()
        return cls(name, fd, (STREAM if kind == HELD else kind) + whose, int(number), goes_on=kind != HELD)


class FdStore:
    """``environ`` is the process's environment; what it says of descriptors is taken out of it."""

    def __init__(self, notifier: Notifier, environ: MutableMapping[str, str]) -> None:
        self._notifier = notifier
        self._held: dict[str, list[HeldSocket]] = {}  # by their bases: there may be thousands
        for held in _found(environ):
            self._held.setdefault(held.base, []).append(held)
        self._aside: list[HeldSocket] = []
        self._last = max((held.number for held in self.held), default=0)
        self._stored = {held.name for held in self.held}  # what the next process is told of, used or only held
        self._names_room = _NAMES_ROOM - sum(len(held.name) + 1 for held in self.held if not held.number)
        room = environ.get("FDSTORE", environ.get("FDSTORE_MAX", ""))  # of systemd from 254 on; of the unit
        self._room = read_decimal(room, 2**32) or 0
        self._expected = 0
        self._warned = Throttle()

    @property
    def outlives(self) -> bool:
        """Whether anybody keeps the sockets when the process ends. Those without room there end then by themselves."""
        return self._notifier.present

    @property
    def held(self) -> list[HeldSocket]:
        """The sockets that nobody uses."""
        return list(chain.from_iterable(self._held.values()))

    def keep(self, base: str, fd: int, *, goes_on: bool = True, number: int = 0) -> "KeptSocket":
        """Put a socket into the store, while its owner goes on using it; ``goes_on``: so may the next one. ``number``:
        it has one already.
        """
        if not number:
            number = self._last = self._last + 1
        name = f"{base if goes_on else HELD + base[1:]}.{number}"
        if not self.outlives or len(self._stored) < self._most:  # with more systemd could start nobody
            self._notifier.tell("FDSTORE=1", f"FDNAME={name}", fd=fd)
        self._stored.add(name)
        self._look()
        return KeptSocket(self, base, number, name, fd)

    def hold(self, name: str, fd: int) -> None:
        """Its owner goes, and the socket stays open: by a duplicate of our own."""
        with suppress(OSError):  # no descriptor is left: the store has one
            held = HeldSocket.called(name, os.dup(fd))
            self._held.setdefault(held.base, []).append(held)

    def drop(self, name: str) -> None:
        """It is over: out of the store."""
        self._stored.discard(name)
        self._notifier.tell("FDSTOREREMOVE=1", f"FDNAME={name}")

    async def heard(self) -> None:
        """Wait for a moment until systemd has done what it was told."""
        await self._notifier.heard()

    def streams(self, base: str) -> list[int]:
        """The numbers of all that are held under this base and go on, the oldest first."""
        return sorted(held.number for held in self._held.get(base, ()) if held.goes_on)

    def take(self, base: str, number: int) -> HeldSocket | None:
        """The one with this number that is held under this base and goes on, for a new owner; it stays in the store."""
        found = self._held.get(base, [])
        taken = next((held for held in found if held.goes_on and held.number == number), None)
        if taken is not None:
            found.remove(taken)
        return taken

    def end(self, base: str, but: Collection[int] = ()) -> int:
        """Shut down all that is held under this base, ``but`` these numbers; how many bytes nobody had read. One that
        bears no name of ours is given back untouched.
        """
        unread = 0
        stay = [held for held in self._held.get(base, ()) if held.number in but]
        for held in self._held.pop(base, ()):
            if held in stay:
                continue
            if held.number:
                unread += _unread(held.fd)
                shut_down(held.fd)
            os.close(held.fd)
            self.drop(held.name)
        if stay:
            self._held[base] = stay
        return unread

    def set_aside(self) -> None:
        """What is held to a Janus is nobody's to use or to end until ``end_aside``."""
        for base in [base for base in self._held if base.startswith(f"{STREAM}.")]:
            self._aside += self._held.pop(base)

    def end_aside(self) -> None:
        """Shut that down."""
        self._held["aside"], self._aside = self._aside, []  # no base is called so
        self.end("aside")

    def surplus(self, base: str, in_use: Collection[int]) -> None:
        """Before one more is opened: let go of what is held under this base, but for those ``in_use``, and the newest,
        of which that may not be known yet. Lives that end soon, one after the other, leave one each.
        """
        others = sorted(held.number for held in self._held.get(base, ()) if held.number not in in_use)
        if len(others) > NEWEST:
            self.end(base, {*in_use, *others[-NEWEST:]})

    @property
    def _most(self) -> int:
        """Names of ours that fit into an environment, however their sockets are left."""
        return self._names_room // len(f"{base_of()}.{2 * self._last}:")

    def fault(self) -> str | None:
        """Why not all sockets could be handed on as they are now, else None. For each that is in use a second
        descriptor is needed meanwhile: the limit of this process is raised as far as it may.
        """
        number = len(self._stored)
        if number > self._most:
            return f"of {plural(number, 'socket')} to be handed on, the names of {self._most} fit into its environment"
        _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        needed = len(os.listdir("/proc/self/fd")) + number + _SPARE
        if 0 <= limit < needed:  # negative: there is none
            return f"to hand on {plural(number, 'socket')} takes {needed} descriptors; raise the hard limit of {limit}"
        return None

    def hand_on(self) -> dict[str, str]:
        """Let the program that this process becomes have all that is held; returns what its environment has to say.

        Each keeps its descriptor: threads that end with this program may open and close others until then.
        """
        going = [*self.held, *self._aside]
        for held in going:
            os.set_inheritable(held.fd, True)
        fds, names = ":".join(str(held.fd) for held in going), ":".join(held.name for held in going)
        return dict(zip(_HANDED_ON, (str(os.getpid()), fds, names), strict=True))

    def expect(self, rows: int) -> None:
        """Each of so many rows is to have a socket, beside the listeners: say so where that many do not fit."""
        self._expected = rows + sum(name.startswith(f"{LISTENER}.") for name in self._stored)
        self._look()

    def _look(self) -> None:
        number, room = max(self._expected, len(self._stored)), min(self._room, self._most)
        if not self.outlives or number <= room:
            self._warned.over()
        elif self._warned.due(str(room)):
            log.warning(
                "systemd keeps %d of %s over a restart of the bridge; calls on the others end with it where "
                "Janus does not reclaim; print the unit anew (janus-bridge unit), or raise FileDescriptorStoreMax= and "
                "FDSTORE_MAX= in it (%d is the most)",
                room,
                plural(number, "socket"),
                self._most,
            )


class KeptSocket:
    """A socket in use that is in the store, too. One of ``end`` and ``leave`` is its last."""

    def __init__(self, store: FdStore, base: str, number: int, name: str, fd: int) -> None:
        self._store = store
        self._base = base
        self.number = number
        self.name = name
        self._fd = fd

    def end(self) -> None:
        """The connection is over, for its peer as well."""
        shut_down(self._fd)
        self._store.drop(self.name)

    def leave(self, *, goes_on: bool = True) -> None:
        """Only its owner goes: it is held. ``goes_on``: it is in a state in which the next one may go on with it."""
        if not goes_on and self.name.startswith(self._base):
            self._store.drop(self.name)  # first: systemd stores a socket once, whatever its name
            self.name = self._store.keep(self._base, self._fd, goes_on=False, number=self.number).name
        self._store.hold(self.name, self._fd)


def shut_down(fd: int) -> None:
    """Let the peer know that it is over, whoever else has the socket."""
    with suppress(OSError):
        sock = socket.socket(fileno=fd)
        try:
            sock.shutdown(socket.SHUT_RDWR)
        finally:
            sock.detach()


def _unread(fd: int) -> int:
    try:
        (number,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    except OSError:
        return 0
    return int(number)


def _found(environ: MutableMapping[str, str]) -> Iterator[HeldSocket]:
    """What the last process left, as far as it is for us and is there."""
    number = read_decimal(environ.get("LISTEN_FDS", ""), _MOST) or 0
    yield from _inherited(
        environ.get("LISTEN_PID", ""), range(FIRST, FIRST + number), environ.get("LISTEN_FDNAMES", "")
    )
    fds = [read_decimal(one, _MOST) or 0 for one in environ.get("HANDED_ON_FDS", "").split(":")]
    yield from _inherited(environ.get("HANDED_ON_PID", ""), fds, environ.get("HANDED_ON_NAMES", ""))
    for name in (*_LISTEN, *_HANDED_ON):
        environ.pop(name, None)


def _inherited(pid: str, fds: Iterable[int], names: str) -> Iterator[HeldSocket]:
    strange = 0
    called = chain(names.split(":"), repeat("unknown"))
    for fd, name in zip(fds, called, strict=False):
        try:
            if fd < FIRST or not os.get_inheritable(fd):  # one of our own: it was opened in this process
                continue
            os.set_inheritable(fd, False)
        except OSError:  # not open
            continue
        if pid == str(os.getpid()):
            yield HeldSocket.called(name, fd)
        else:
            os.close(fd)  # whoever it is for has it
            strange += 1
    if strange:
        text = "systemd kept %s for process %s, which is not this one: the unit has to start janus-bridge itself (exec)"
        log.warning(text, plural(strange, "socket"), pid)
