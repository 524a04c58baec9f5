"""systemd's end of $NOTIFY_SOCKET, and its store of file descriptors.

What a service says, what it gives, and the start of the next one with that.

Owns the socket and the descriptors. As systemd 252: a name may be stored twice, a file only once; what has no room is
closed without a word, and so is what hangs up; LISTEN_FDS begin at 3. Unlike it, it does not look who speaks.
"""

import array
import fcntl
import os
import queue
import select
import socket
import struct
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.support.deadlines import HANG_SECONDS

_MOST = 16  # descriptors with a datagram

# Puts the descriptors where sd_listen_fds(3) looks for them, and becomes the service.
_SHIM = """
import fcntl, os, sys
names, fds, command = sys.argv[1], [int(fd) for fd in sys.argv[2].split(",") if fd], sys.argv[3:]
aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 1000) for fd in fds]
for number, fd in enumerate(aside, 3):
    os.dup2(fd, number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""


class Stored(NamedTuple):
    name: str
    fd: int


class FakeSystemd:
    """``with FakeSystemd(tmp_path) as systemd: Bridge(..., systemd=systemd)``. ``room``: FileDescriptorStoreMax=."""

    def __init__(self, folder: Path, room: int = 4096) -> None:
        self.environ = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "FDSTORE": str(room)}
        self._room = room
        self._stored: list[Stored] = []
        self._lock = threading.Lock()
        self._said: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._seen = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.environ["NOTIFY_SOCKET"])
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell_self("END")
        self._thread.join(HANG_SECONDS)
        self.lose()
        self._socket.close()

    def hears(self, seconds: float = HANG_SECONDS) -> list[str]:
        """The lines of the next notification, what concerns descriptors left out. Raises queue.Empty."""
        return self._said.get(timeout=seconds)

    @property
    def names(self) -> list[str]:
        """Of what is stored, when all that was said so far is done."""
        self._tell_self("SEEN")
        assert self._seen.wait(HANG_SECONDS)
        self._seen.clear()
        with self._lock:
            self._drop([stored for stored in self._stored if _hung_up(stored.fd)])
            return [stored.name for stored in self._stored]

    @property
    def unread(self) -> int:
        """Bytes that came to sockets of the store and were read by nobody."""
        with self._lock:
            sizes = [fcntl.ioctl(stored.fd, termios.FIONREAD, bytes(4)) for stored in self._stored]
        return sum(struct.unpack("i", size)[0] for size in sizes)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """It does nothing of what it is told meanwhile."""
        with self._lock:
            yield

    def lose(self) -> None:
        """Close everything: the unit was stopped."""
        with self._lock:
            self._drop(list(self._stored))

    def add(self, name: str, fd: int) -> None:
        """Store a duplicate of this one, as if a service had given it."""
        with self._lock:
            self._stored.append(Stored(name, os.dup(fd)))

    def command(self, command: Sequence[str]) -> tuple[list[str], list[int]]:
        """The command that starts a service with what is stored, and the descriptors that it has to inherit."""
        names = ":".join(self.names)
        fds = [stored.fd for stored in self._stored]
        return [sys.executable, "-ISc", _SHIM, names, ",".join(map(str, fds)), *command], fds

    def _tell_self(self, text: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), self.environ["NOTIFY_SOCKET"])

    def _read(self) -> None:
        while True:
            text, ancillary, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(_MOST * 4))
            fds = array.array("i")
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            lines = text.decode().splitlines()
            if lines == ["END"]:
                return
            if lines == ["SEEN"]:
                self._seen.set()
            else:
                self._obey(lines, list(fds))

    def _obey(self, lines: list[str], fds: list[int]) -> None:
        name = next((line.removeprefix("FDNAME=") for line in lines if line.startswith("FDNAME=")), "stored")
        with self._lock:
            if "FDSTORE=1" in lines:
                fds = [fd for fd in fds if not self._has(fd)]
                free = max(self._room - len(self._stored), 0)
                self._stored += [Stored(name, fd) for fd in fds[:free]]
                fds = fds[free:]
            elif "FDSTOREREMOVE=1" in lines:
                self._drop([stored for stored in self._stored if stored.name == name])
            elif lines != ["BARRIER=1"]:
                self._said.put(lines)
        for fd in fds:
            os.close(fd)

    def _has(self, fd: int) -> bool:
        """Whether this very file is stored; then the descriptor is closed."""
        if any(os.path.sameopenfile(stored.fd, fd) for stored in self._stored):
            os.close(fd)
            return True
        return False

    def _drop(self, gone: list[Stored]) -> None:
        self._stored = [stored for stored in self._stored if stored not in gone]
        for stored in gone:
            with suppress(OSError):
                os.close(stored.fd)


def _hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))
