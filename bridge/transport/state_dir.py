"""The state directory: the only place for data, 0700, and of one bridge alone.

Owns its creation and its lock. Must not know what lies in it. Authority: systemd.exec(5) StateDirectory=, flock(2).
"""

import errno
import fcntl
import os
from pathlib import Path

from bridge.errors import ConfigError
from bridge.transport.unix_path import path_fault


class StateDir:
    """``take`` it once; it is held until the process ends."""

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
        except FileExistsError:
            raise self._fault("Not a directory") from None
        except OSError as exc:
            raise self._fault(path_fault(exc, str(self.path))) from None
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise self._fault("another janus-bridge is running with it") from None

    def look(self) -> None:
        """Raise ConfigError where it could not be taken, whoever has it now; nothing is made or changed."""
        there = next(path for path in (self.path, *self.path.absolute().parents) if self._is_there(path))
        if not there.is_dir():
            raise self._fault(os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
            raise self._fault(os.strerror(errno.EACCES))

    def _is_there(self, path: Path) -> bool:
        try:
            path.lstat()
        except FileNotFoundError:
            return False
        except OSError as exc:  # a folder above it that may not be searched, or is none
            raise self._fault(exc.strerror) from None
        return True

    def release(self) -> None:
        """Give it free."""
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    def _fault(self, reason: str | None) -> ConfigError:
        return ConfigError(f"[state] dir {self.path}: {reason}")
