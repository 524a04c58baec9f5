"""Files that somebody named: read whole and bounded, and never waited for.

Owns what counts as a file. A FIFO without a writer would hold its reader for ever, a device such as /dev/zero has no
end; /dev/null is an empty file, as everywhere. Must not know what the content means. Authority: open(2), fifo(7).
"""

import errno
import os
import stat

_KINDS = {
    stat.S_IFDIR: (errno.EISDIR, os.strerror(errno.EISDIR)),
    stat.S_IFIFO: (errno.EINVAL, "a FIFO, not a file"),
    stat.S_IFSOCK: (errno.EINVAL, "a socket, not a file"),
    stat.S_IFCHR: (errno.EINVAL, "a device, not a file"),
    stat.S_IFBLK: (errno.EINVAL, "a device, not a file"),
}


def require_file(path: str | os.PathLike[str], limit: int) -> None:
    """For those who leave the reading to a library. Raises OSError with a ``strerror`` that says what it is instead,
    or that it has more than ``limit`` bytes.
    """
    _require(os.stat(path), limit)


def read_file(path: str | os.PathLike[str], limit: int) -> bytes:
    """The content, at most ``limit`` bytes. Raises OSError with a ``strerror`` fit for a person, also for a longer file
    and for what is not a file; returns at once in any case.
    """
    require_file(path, limit)  # to open a FIFO or a device may have an effect
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb", buffering=0) as file:
        _require(os.fstat(descriptor), limit)
        content = bytearray()
        while len(content) <= limit:
            part = file.read(limit + 1 - len(content))
            if not part:
                return bytes(content)
            content += part
    raise _too_long(limit)


def _require(status: os.stat_result, limit: int) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG and status.st_rdev != os.stat(os.devnull).st_rdev:
        raise OSError(*_KINDS.get(kind, (errno.EINVAL, "not a file")))
    if status.st_size > limit:
        raise _too_long(limit)


def _too_long(limit: int) -> OSError:
    return OSError(errno.EFBIG, f"longer than {limit:,} bytes")
