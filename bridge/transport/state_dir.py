"""The state directory: the only place for data, 0700, and of one bridge alone.

Owns its creation and its lock. Must not know what lies in it. Authority: systemd.exec(5) StateDirectory=, flock(2),
open(2) O_TMPFILE.
"""

import errno
import fcntl
import os
import pwd
from pathlib import Path

from bridge.errors import ConfigError
from bridge.transport.unix_path import path_fault


class StateDir:
    """``take`` it once; it is held until the process ends. ``look`` says what ``take`` would, in the same words."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "lock"
        self._locked: int | None = None

    def take(self) -> None:
        """Create it if need be, and lock it. Raises ConfigError, also if another bridge has it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self._locked = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise self._fault(exc) from None
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise self._said("another janus-bridge is running with it") from None

    def look(self) -> None:
        """Raise ConfigError where it could not be taken, whoever has it now; nothing is made or changed."""
        try:
            there = next(path for path in (self.path, *self.path.absolute().parents) if _is_there(path))
            if not there.is_dir():
                raise _error(errno.ENOTDIR, there)
            if os.statvfs(there).f_flag & os.ST_RDONLY:
                raise _error(errno.EROFS, there)
            if there == self.path:
                self._look_inside()
            elif not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
                raise _error(errno.EACCES, there)
        except OSError as exc:
            raise self._fault(exc) from None

    def require_room(self, size: int) -> None:
        """For a file of so many bytes, which is made for a moment, without a name. Raises ConfigError."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError:  # whatever it is, or a file system that has no such files
            return
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise self._fault(exc) from None
        finally:
            os.close(file)

    def release(self) -> None:
        """Give it free."""
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    def _look_inside(self) -> None:
        if os.geteuid() not in (0, self.path.stat().st_uid):
            raise _error(errno.EPERM, self.path)  # its mode is its owner's to set, who may then do the rest
        if os.access(self.path, os.X_OK, effective_ids=True) and _is_there(self.lock):
            os.close(os.open(self.lock, os.O_RDWR | os.O_CLOEXEC))

    def _fault(self, exc: OSError) -> ConfigError:
        if exc.errno == errno.EEXIST:
            return self._said(os.strerror(errno.ENOTDIR))
        named = Path(exc.filename or self.path).absolute()
        if exc.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            return self._said(path_fault(exc, str(named)))
        there = next((path for path in (named, *named.parents) if os.path.lexists(path)), named)
        if exc.errno == errno.EROFS:
            return self._said(path_fault(exc, f"{there}/."))
        owner, own = os.lstat(there).st_uid, os.geteuid()
        if own in (0, owner):
            return self._said(os.strerror(exc.errno))
        return self._said(f"{there} belongs to {_user(owner)}, and this process runs as {_user(own)}")

    def _said(self, reason: str) -> ConfigError:
        return ConfigError(f"[state] dir {self.path}: {reason}")


def _is_there(path: Path) -> bool:
    """Raises OSError: a folder above it may not be searched, or is none."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
