"""Which unix sockets MI subscriptions may send events to, and the way to one that cannot be swapped on the way.

Owns ``[events].allow_unix``, and what no pattern opens: a notify socket, the database's, the bridge's own. Looked at
when somebody subscribes and again at every opening: a name in /tmp may be another thing tomorrow, or a link.
Authority: path_resolution(7), openat(2) O_PATH, proc(5) /proc/self/fd.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Final

from bridge.protocol.event_delivery import NotSent

# Of the system: they act on what they are sent.
_NEVER: Final = ("/run/systemd", "/run/dbus", "/run/mysqld", "/var/lib/mysql", "/dev", "/proc", "/sys")
_FORBIDDEN: Final = "is not in [events].allow_unix"


class UnixPaths:
    """``allow`` are patterns of whole paths, ``*`` in them for anything within one folder."""

    def __init__(self, allow: Sequence[str], never: Iterable[str] = ()) -> None:
        """``never``: paths that are not sent to whatever ``allow`` says."""
        # As written, and as the system leads there: /var/run is a link to /run.
        self._allow = {*allow, *map(_real, allow)}
        never = tuple(never)
        self._never = tuple({*_NEVER, *never, *map(_real, never)})

    def admit(self, path: str) -> None:
        """Raise NotSent if events may not go there now. What is not there yet may come."""
        try:
            with self.reach(path):
                pass
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise NotSent(f"cannot be reached: {exc.strerror}") from None

    @contextmanager
    def reach(self, path: str, owner: int | None = None) -> Iterator[tuple[str, int]]:
        """A path to the very socket that was looked at, while the block runs, and whose it is.

        ``owner``: whose it was before; another's is refused. Raises NotSent, OSError.
        """
        self._match(path)
        folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._match(os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.path.basename(path)))
            found = os.open(os.path.basename(path), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            status = os.fstat(found)
            if not stat.S_ISSOCK(status.st_mode):
                raise NotSent("is not a socket")
            if status.st_nlink != 1:
                raise NotSent("has a second name")
            if owner not in (None, status.st_uid):
                raise NotSent("belongs to another user than before")
            yield f"/proc/self/fd/{found}", status.st_uid
        finally:
            os.close(found)

    def _match(self, path: str) -> None:
        pure = PurePosixPath(path)
        if ".." in pure.parts or any(pure.is_relative_to(one) for one in self._never):
            raise NotSent(_FORBIDDEN)
        if not any(pure.match(pattern) for pattern in self._allow):
            raise NotSent(_FORBIDDEN)


def _real(pattern: str) -> str:
    """With the part before the first ``*`` as it is without links."""
    head, star, rest = pattern.partition("*")
    folder, slash, name = head.rpartition("/")
    return os.path.realpath(folder or "/").rstrip("/") + slash + name + star + rest
