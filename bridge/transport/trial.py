"""Whether addresses could be had by a bridge that takes the place of the one that runs now.

Owns the trial for ``run --check``: bound as a start would bind, and let go at once. What the bridge that runs with the
same state directory has (it holds the lock there) is no obstacle; what any other process has, is. Nothing is made,
removed or listened on. Authority: bind(2), unix(7), fifo(7).
"""

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from bridge.errors import ConfigError
from bridge.transport.port_holder import (
    WAY_OUT,
    Endpoint,
    bound_there,
    in_use,
    links_of,
    named_so,
    with_file,
    with_socket,
)
from bridge.transport.unix_path import fifo_is_live, lock_of, path_fault, socket_is_live


class Once:
    """All addresses of a configuration, of which no two may be in each other's way."""

    def __init__(self) -> None:
        self._ports: list[Endpoint] = []
        self._paths: set[str] = set()

    def port(self, wanted: Endpoint, _bind: Callable[[], socket.socket]) -> None:
        """Raises OSError with the words for it."""
        if wanted.port:
            if any(map(wanted.overlaps, self._ports)):
                raise OSError(errno.EBUSY, f"{wanted} is given twice; remove one of them")
            self._ports.append(wanted)

    def name(self, path: str, *, fifo: bool) -> None:
        """Raises ConfigError, without the key."""
        folder, name = os.path.split(path)
        place = os.path.join(os.path.realpath(folder), name)
        if place in self._paths:
            raise ConfigError(f"{path} is given twice; remove one of them")
        self._paths.add(place)


class Trial(Once):
    """Whether each could be had, too."""

    def __init__(self, state_lock: Path) -> None:
        """``state_lock`` is the lock of the state directory (transport/state_dir.py), which need not be there."""
        super().__init__()
        self._own = set(with_file(state_lock))
        self._sockets = set[str]().union(*(links_of(process) for process in self._own))

    def port(self, wanted: Endpoint, bind: Callable[[], socket.socket]) -> None:
        """Raises OSError as ``bind`` does, or with the words that say who is in the way."""
        super().port(wanted, bind)
        try:
            bind().close()
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise
            found = bound_there(wanted)
            own = [one for one in found if one.served and one.link in self._sockets]
            others = [one for one in found if one not in own]
            if own and wanted.host.version == 4:  # what is IPv6 and stands beside ours leaves IPv4 to others
                others = [one for one in others if one.place.host.version == 4]
            if others or not own:
                raise OSError(errno.EBUSY, in_use(wanted, {one.link for one in others})) from None

    def name(self, path: str, *, fifo: bool) -> None:
        """Raises ConfigError, without the key: a socket, or a FIFO, cannot be made there."""
        super().name(path, fifo=fifo)
        try:
            self._name(path, fifo=fifo)
        except OSError as exc:
            raise self._fault(exc, path) from None

    def _fault(self, exc: OSError, path: str) -> ConfigError:
        return ConfigError(f"{path}: {path_fault(exc, path)}")

    def _name(self, path: str, *, fifo: bool) -> None:
        self._lock(path)
        if not fifo:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
                probe.connect_ex(path)  # raises OSError for a path that is too long
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return
        if not (stat.S_ISFIFO if fifo else stat.S_ISSOCK)(found.st_mode):
            raise ConfigError(f"{path}: something else has that name")
        if self._is_dead(path, fifo=fifo):
            folder = os.stat(os.path.dirname(path))
            if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, folder.st_uid, found.st_uid):
                raise ConfigError(f"{path}: it is another user's, who alone may remove it; remove it as root")

    def _lock(self, path: str) -> None:
        """What stands beside the name, and the folder, where it is made. Opened as for a start, and not locked."""
        lock = lock_of(path)
        try:
            os.close(os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
        except FileNotFoundError:
            folder = os.path.dirname(path)
            if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
                read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
                number = errno.EROFS if read_only else errno.EACCES
                raise self._fault(OSError(number, os.strerror(number)), lock) from None
        except OSError as exc:
            raise self._fault(exc, lock) from None
        for process in with_file(lock):
            if process not in self._own:
                raise ConfigError(f"{lock}: {process} holds it; {WAY_OUT}")

    def _is_dead(self, path: str, *, fifo: bool) -> bool:
        """False: the bridge that runs now serves it. Raises ConfigError where another process does."""
        who = set(with_file(path) if fifo else with_socket(named_so(path)))
        if who & self._own:
            return False
        # Whoever has a FIFO open may read it. Some cannot be seen: another user's, one that has not got it open yet; a
        # reader of the FIFO does not notice as long as it has a writer, and a start would do the same.
        if (fifo and who) or (fifo_is_live if fifo else socket_is_live)(path):
            by = min(who, default="another process")
            raise ConfigError(f"{path}: {by} listens there; {WAY_OUT}")
        return True
