"""Who listens on a port that cannot be had.

Owns the look into /proc, once, before the program ends for it. Authority: proc(5), /proc/net/tcp and /proc/PID/fd.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

Protocol: TypeAlias = Literal["tcp", "udp"]

PROC = Path("/proc")
_STATES = {"tcp": "0A", "udp": "07"}  # of a socket that listens, of one that is bound


def bind_fault(exc: OSError | UnicodeError, protocol: Protocol, port: int, proc: Path = PROC) -> str:
    """Why an address cannot be bound, in words; with the program that has its port, where that may be known."""
    words = getattr(exc, "strerror", None) or str(exc)
    if not isinstance(exc, OSError) or exc.errno != errno.EADDRINUSE:
        return words
    try:
        holder = _holder(protocol, port, proc)
    except (OSError, ValueError, IndexError):
        holder = None
    if holder is None:
        return f"{words}; `ss -{protocol[0]}lnp` as root shows by which process"
    return f"{words} by {holder}"


def _holder(protocol: Protocol, port: int, proc: Path) -> str | None:
    """``opensips (process 123)``; None where it is another user's."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(protocol, port, proc)}
    for process in proc.iterdir():
        if process.name.isdecimal() and not sockets.isdisjoint(_open_files(process)):
            return f"{(process / 'comm').read_text(errors='replace').strip()} (process {process.name})"
    return None


def _inodes(protocol: Protocol, port: int, proc: Path) -> Iterator[str]:
    for table in (protocol, f"{protocol}6"):
        for line in (proc / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == _STATES[protocol]:
                yield fields[9]


def _open_files(process: Path) -> Iterator[str]:
    try:
        for descriptor in (process / "fd").iterdir():
            yield os.readlink(descriptor)
    except OSError:  # another user's, or it has ended
        return
