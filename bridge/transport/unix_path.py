"""Sockets and FIFOs that have a name in the file system: created with their permissions, never taken from the living.

Owns who a name belongs to: a lock file beside it settles that between bridges, a look at the thing itself settles it
with everybody else. What no process listens on is replaced; what is ours is removed at the end, unless somebody
has put something else there since. Must not know what is said through it.
Authority: unix(7), fifo(7); OpenSIPS mi_datagram and mi_fifo, which unlink whatever they find.
"""

import contextlib
import errno
import fcntl
import grp
import os
import socket
import stat
from collections.abc import Callable

from bridge.errors import ConfigError
from bridge.protocol.numbers import read_decimal

_LOCK = ".lock"


class OwnedPath:
    """A name in the file system that belongs to this process while the object is open."""

    def __init__(self, path: str) -> None:
        """Raises ConfigError if the name is in use by another bridge, or its directory is not ours to write to."""
        self.path = path
        self._identity: tuple[int, int] | None = None
        self._goes_on = False
        self._lock = _lock(lock_of(path))

    def take_over(self) -> None:
        """What stands there is ours: another process left it to this one."""
        self._identity = _identity(self.path)

    def leave(self) -> None:
        """It goes on without this process: ``close`` does not remove it."""
        self._goes_on = True

    def replace(
        self, is_live: Callable[[str], bool], is_kind: Callable[[int], bool], create: Callable[[], None]
    ) -> None:
        """Put a new thing in the place of a dead one. Raises ConfigError if something lives there.

        ``is_live`` tells whether anybody listens there, ``is_kind`` whether a mode is one of our kind of thing: what is
        not (a regular file, a link) is never removed.
        """
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            pass
        else:
            if not is_kind(found.st_mode):
                raise ConfigError(f"{self.path}: something else has that name")
            if is_live(self.path):
                raise ConfigError(f"{self.path}: another process listens there")
            os.unlink(self.path)
        create()
        self._identity = _identity(self.path)

    def is_ours(self) -> bool:
        """Whether the name still leads to what we put there."""
        return self._identity is not None and self._identity == _identity(self.path)

    def remove(self) -> None:
        """Remove what is ours, so that nobody finds it any more, unless it goes on without this process."""
        if self.is_ours() and not self._goes_on:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self._identity = None

    def close(self) -> None:
        """Remove what is ours, and give the name up."""
        self.remove()
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.unlink(lock_of(self.path))
            os.close(self._lock)
            self._lock = -1


def bind_datagram(
    path: str, mode: int, group: str | None, found: socket.socket | None = None
) -> tuple[socket.socket, OwnedPath]:
    """A bound, non-blocking unix datagram socket. Raises ConfigError with one line that says why it cannot be had.

    ``mode`` are the file's permissions (0o660), ``group`` the name or number of its group, None for the process's own.
    ``found`` is one that another process has bound there.
    """
    gid = gid_of(group)
    owned = OwnedPath(path)
    sock = found or socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        # Linux creates the file with the socket's own permissions less the umask: at no moment more than asked.
        os.fchmod(sock.fileno(), mode)
        # Before there is a name: every datagram says who sent it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        if found is None:
            owned.replace(socket_is_live, stat.S_ISSOCK, lambda: sock.bind(path))
        else:
            owned.take_over()
        _give(path, os.lstat(path).st_gid, gid)
        os.chmod(path, mode)
    except BaseException as exc:
        sock.close()
        if found is not None:  # whoever kept it has it still
            owned.leave()
        owned.close()
        if isinstance(exc, OSError):
            raise ConfigError(f"{path}: {path_fault(exc, path)}") from None
        raise
    return sock, owned


def path_of(fd: int) -> str | None:
    """The name in the file system of a FIFO or of a bound unix socket, None of what has none."""
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return os.readlink(f"/proc/self/fd/{fd}")
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
        name = sock.getsockname() if sock.family == socket.AF_UNIX else None
        return name if isinstance(name, str) and name else None
    return None


def remove_left(path: str) -> None:
    """Remove the name of a socket or FIFO that its owner has left, if nobody listens there now."""
    with contextlib.suppress(ConfigError, OSError), contextlib.closing(OwnedPath(path)) as owned:
        is_fifo = _is_kind(path, stat.S_ISFIFO)
        owned.replace(
            fifo_is_live if is_fifo else socket_is_live, stat.S_ISFIFO if is_fifo else stat.S_ISSOCK, lambda: None
        )


def leads_to(path: str, sock: socket.socket) -> bool:
    """Whether a unix datagram socket is bound there, and whoever writes to the name is heard by somebody."""
    bound = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_DGRAM and sock.getsockname() == path
    return bound and _is_kind(path, stat.S_ISSOCK) and socket_is_live(path)


def _is_fifo_of(path: str, fd: int) -> bool:
    found = os.fstat(fd)
    return stat.S_ISFIFO(found.st_mode) and _identity(path) == (found.st_dev, found.st_ino)


def make_fifo(owned: OwnedPath, mode: int, group: str | None = None, found: int | None = None) -> int:
    """Create the FIFO and open it for reading: a non-blocking file descriptor that never sees an end of file.

    ``mode`` and ``group`` as for ``bind_datagram``; ``found`` is one that another process has made and opened so.
    Raises ConfigError with one line that says why it cannot be had.
    """
    gid = gid_of(group)
    if found is not None and not _is_fifo_of(owned.path, found):
        os.close(found)
        found = None
    try:
        if found is None:
            owned.replace(fifo_is_live, stat.S_ISFIFO, lambda: os.mkfifo(owned.path, mode & 0o600))
            # Opened for writing too: with a writer that never leaves, a read waits instead of reporting the end.
            fd = os.open(owned.path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        else:
            owned.take_over()
            fd = found
        try:
            _give(fd, os.fstat(fd).st_gid, gid)
            os.fchmod(fd, mode)
        except BaseException:
            os.close(fd)
            if found is not None:  # as above
                owned.leave()
            raise
    except OSError as exc:
        raise ConfigError(f"{owned.path}: {path_fault(exc, owned.path)}") from None
    return fd


def lock_of(path: str) -> str:
    """The file beside a name whose lock says which bridge it belongs to."""
    return path + _LOCK


def _lock(path: str) -> int:
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{path.removesuffix(_LOCK)}: there is no folder {os.path.dirname(path)}") from None
        except OSError as exc:
            raise ConfigError(f"{path}: {path_fault(exc, path)}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(fd)
            held = isinstance(exc, BlockingIOError)
            raise ConfigError(f"{path}: {'another janus-bridge holds it' if held else exc.strerror}") from None
        # Its former holder may have removed the file between our open and our lock: then nobody else will see our lock.
        found = os.fstat(fd)
        if _identity(path) == (found.st_dev, found.st_ino):
            return fd
        os.close(fd)


def path_fault(exc: OSError, path: str) -> str:
    """Why nothing can be made there, with the way out where it is the unit that forbids it."""
    if exc.errno != errno.EROFS:
        return exc.strerror or str(exc)
    return (
        f"{os.path.dirname(path)} is read-only for this process; systemd's unit lets it write in /run/janus-bridge and "
        "its state directory alone: use these, or add a folder by ReadWritePaths= (systemctl edit janus-bridge)"
    )


def _give(file: str | int, has: int, gid: int | None) -> None:
    """Give it to a group, where it has another one: a filter of system calls may forbid to."""
    if gid is None or gid == has:
        return
    try:
        os.chown(file, -1, gid)
    except OSError as exc:
        if exc.errno not in (errno.EPERM, errno.EINVAL):  # EINVAL: one that PrivateUsers= hides
            raise
        raise _stranger(gid) from None


def require_member(path: str, group: str | None) -> None:
    """Of what is to be made there: whoever is not root gives it to his own groups alone, or to that of a set-group-id
    folder. Raises ConfigError.
    """
    gid, folder = gid_of(group), os.stat(os.path.dirname(path))
    own = {os.getegid(), *os.getgroups(), *([folder.st_gid] if folder.st_mode & stat.S_ISGID else [])}
    if gid is not None and os.geteuid() != 0 and gid not in own:
        raise ConfigError(f"{path}: {_stranger(gid).strerror}")


def _stranger(gid: int) -> OSError:
    return OSError(
        errno.EPERM,
        f"group {gid} can only be given by one of its members; under systemd make the service one by "
        "SupplementaryGroups= (systemctl edit janus-bridge)",
    )


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_kind(path: str, is_kind: Callable[[int], bool]) -> bool:
    try:
        return is_kind(os.lstat(path).st_mode)
    except OSError:
        return False


def socket_is_live(path: str) -> bool:
    """Whether somebody reads a unix socket, or may."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        # Anything but "refused" (no permission, a stream socket) means that we cannot tell, and so must not touch it.
        return probe.connect_ex(path) != errno.ECONNREFUSED


def fifo_is_live(path: str) -> bool:
    """Whether somebody reads a FIFO, or may."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError as exc:
        return exc.errno != errno.ENXIO  # no reader
    return True


def gid_of(group: str | None) -> int | None:
    """Of a name or a number, None of None. Raises ConfigError where there is no such group."""
    if group is None:
        return None
    number = read_decimal(group, 2**32 - 2)
    if number is not None:
        return number
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"there is no group {group!r}") from None
