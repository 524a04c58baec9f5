"""Who has the port that the bridge wants."""

import errno
import os
import socket
from pathlib import Path

import pytest

from bridge.transport.port_holder import Protocol, bind_fault

IN_USE = OSError(errno.EADDRINUSE, "Address already in use")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_the_holder_is_named(protocol: Protocol, kind: socket.SocketKind, family: socket.AddressFamily) -> None:
    with socket.socket(family, kind) as sock:
        sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        if protocol == "tcp":
            sock.listen()
        comm = Path("/proc/self/comm").read_text().strip()
        words = bind_fault(IN_USE, protocol, sock.getsockname()[1])
    assert words == f"Address already in use by {comm} (process {os.getpid()})"


@pytest.mark.parametrize("line", ["", "1: 0100007F:1F90 00000000:0000 0A", "nonsense x y z", "a 0:zz b 0A"])
def test_a_holder_that_cannot_be_seen(line: str, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    for table in ("tcp", "tcp6"):
        (tmp_path / "net" / table).write_text(f"heads\n{line}\n")
    words = bind_fault(IN_USE, "tcp", 8080, tmp_path)
    assert words == "Address already in use; `ss -tlnp` as root shows by which process"
    assert bind_fault(IN_USE, "tcp", 8080, tmp_path / "none") == words


def test_other_faults_stay_as_they_are() -> None:
    assert bind_fault(OSError(errno.EACCES, "Permission denied"), "tcp", 80) == "Permission denied"
    assert bind_fault(UnicodeError("label too long"), "udp", 80) == "label too long"
