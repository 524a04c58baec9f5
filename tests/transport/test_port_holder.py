"""Who has the port that the bridge wants."""

import errno
import os
import socket
from pathlib import Path

import pytest

from bridge.transport.port_holder import WAY_OUT, Protocol, bind_fault, endpoint

IN_USE = OSError(errno.EADDRINUSE, "Address already in use")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_the_holder_is_named(protocol: Protocol, kind: socket.SocketKind, family: socket.AddressFamily) -> None:
    with socket.socket(family, kind) as sock:
        sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        if protocol == "tcp":
            sock.listen()
        comm = Path("/proc/self/comm").read_text().strip()
        words = bind_fault(IN_USE, endpoint(protocol, sock.getsockname()))
    assert words == f"Address already in use by {comm} (process {os.getpid()}); {WAY_OUT}"


@pytest.mark.parametrize("line", ["", "1: 0100007F:1F90 00000000:0000 0A", "nonsense x y z", "a 0:zz b 0A"])
def test_a_holder_that_cannot_be_seen(line: str, tmp_path: Path) -> None:
    (tmp_path / "self/net").mkdir(parents=True)
    for table in ("tcp", "tcp6"):
        (tmp_path / "self/net" / table).write_text(f"heads\n{line}\n")
    wanted = endpoint("tcp", ("127.0.0.1", 8080))
    words = bind_fault(IN_USE, wanted, tmp_path)
    assert words == "Address already in use; `ss -tlnp` as root shows by which process"
    assert bind_fault(IN_USE, wanted, tmp_path / "none") == words


def test_who_has_the_port_on_another_address_is_not_it() -> None:
    with socket.create_server(("127.0.0.2", 0)) as other:
        wanted = endpoint("tcp", ("127.0.0.1", other.getsockname()[1]))
        assert "ss -tlnp" in bind_fault(IN_USE, wanted)


@pytest.mark.parametrize(
    ("protocol", "wanted", "other", "said"),
    [
        ("tcp", "127.0.0.1", "127.0.0.1", True),
        ("tcp", "127.0.0.1", "127.0.0.2", False),
        ("tcp", "0.0.0.0", "127.0.0.2", True),
        ("tcp", "127.0.0.2", "0.0.0.0", True),
        ("tcp", "::", "::1", True),
        ("tcp", "127.0.0.1", "::", True),
        ("tcp", "127.0.0.1", "::1", False),
        ("tcp", "::", "127.0.0.1", False),
        ("udp", "::", "127.0.0.1", True),
        ("udp", "::1", "127.0.0.1", False),
        ("udp", "::ffff:127.0.0.1", "127.0.0.1", True),
        ("tcp", "fe80::1%lo", "fe80::1", True),
    ],
)
def test_who_is_in_whose_way(protocol: Protocol, wanted: str, other: str, said: bool) -> None:
    there = endpoint(protocol, (other, 5000))
    assert endpoint(protocol, (wanted, 5000)).overlaps(there) is said
    assert not endpoint(protocol, (wanted, 5001)).overlaps(there)


def test_other_faults_stay_as_they_are() -> None:
    wanted = endpoint("tcp", ("192.0.2.1", 80))
    refused = OSError(errno.EACCES, "Permission denied")
    assert bind_fault(refused, wanted) == "Permission denied; ports below 1024 are for root: set a higher one"
    assert bind_fault(refused, wanted._replace(port=8080)) == "Permission denied"
    assert bind_fault(refused) == "Permission denied"
    nowhere = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
    assert "this machine does not have 192.0.2.1;" in bind_fault(nowhere, wanted)
    assert bind_fault(UnicodeError("label too long")) == "label too long"
