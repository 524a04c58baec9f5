"""``run --check`` binds as a start would, beside the bridge that runs and beside whoever else does; nothing notices."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest
import trio

from bridge.errors import ConfigError
from bridge.transport.http_listener import try_listeners
from bridge.transport.mi_datagram import try_datagram
from bridge.transport.port_holder import WAY_OUT
from bridge.transport.trial import Trial
from bridge.transport.unix_path import OwnedPath
from tests.support.ports import free_port

pytestmark = pytest.mark.program

TAKEN = "Address already in use by "


def socket_at(kind: socket.SocketKind, host: str, port: int = 0) -> socket.socket:
    """Bound, and of TCP listening, where IPv6 leaves IPv4 to others."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if ":" in host:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host, port))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


class Runs(Protocol):
    def __call__(self, *fds: int) -> AbstractContextManager[None]: ...


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "state.lock"


@pytest.fixture
def running(lock: Path) -> Runs:
    """``with running(fds):`` another process has these, and the lock of the state directory."""

    @contextmanager
    def run(*fds: int) -> Iterator[None]:
        with lock.open("w") as file:
            process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[file.fileno(), *fds])
        for fd in fds:
            os.close(fd)
        with process:
            yield
            process.communicate()

    return run


async def attempt(trial: Trial, address: str) -> str:
    """What is said of it; empty where nothing speaks against it."""
    try:
        if address.startswith("/"):
            trial.name(address, fifo=True)
        elif address.startswith(("udp:", "unix:")):
            try_datagram(address, trial)
        else:
            await try_listeners(address, trial)
    except ConfigError as exc:
        return str(exc)
    return ""


def served(kind: str, folder: Path) -> tuple[str, int]:
    """An address of a kind, as the program has it; and a descriptor for the caller to close."""
    path = f"{folder}/name"
    if kind == "fifo":
        os.mkfifo(path)
        return path, os.open(path, os.O_RDWR)
    if kind == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(path)
        return f"unix:{path}", sock.detach()
    sock = socket_at(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM, "127.0.0.1")
    address = f"127.0.0.1:{sock.getsockname()[1]}"
    return address if kind == "http" else f"udp:{address}", sock.detach()


def two(kind: socket.SocketKind, mine: str, other: str) -> tuple[socket.socket, socket.socket]:
    """On one port."""
    for _ in range(20):
        first = socket_at(kind, mine)
        try:
            return first, socket_at(kind, other, first.getsockname()[1])
        except OSError:  # somebody else's test has that one
            first.close()
    raise AssertionError("no port is free at both")


@pytest.mark.parametrize("kind", ["http", "udp", "unix", "fifo"])
def test_what_the_running_bridge_has_is_no_obstacle_and_what_another_has_is(
    kind: str, lock: Path, running: Runs, tmp_path: Path
) -> None:
    address, fd = served(kind, tmp_path)
    names = sorted(tmp_path.iterdir())
    said = trio.run(attempt, Trial(lock), address)
    assert f"(process {os.getpid()})" in said
    assert said.endswith(WAY_OUT)
    with running(fd):
        assert trio.run(attempt, Trial(lock), address) == ""
    assert sorted(tmp_path.iterdir()) == sorted({*names, lock})
    assert trio.run(attempt, Trial(lock), address) == ""  # nobody is left; the names stay for a start to replace
    assert sorted(tmp_path.iterdir()) == sorted({*names, lock})


@pytest.mark.parametrize(
    ("protocol", "mine", "other", "wanted", "refused"),
    [
        ("tcp", "127.0.0.1", "127.0.0.2", "127.0.0.1", False),
        ("tcp", "127.0.0.1", "127.0.0.2", "0.0.0.0", True),
        ("tcp", "127.0.0.1", "::", "0.0.0.0", False),  # which leaves IPv4 to others: ours is there
        ("tcp", "127.0.0.1", "::1", "[::]", True),
        ("udp", "127.0.0.1", "127.0.0.2", "0.0.0.0", True),
        ("udp", "127.0.0.1", "127.0.0.2", "[::]", True),
        ("udp", "::1", "127.0.0.2", "[::1]", False),
    ],
)
def test_another_program_beside_the_running_bridge(
    lock: Path, running: Runs, protocol: str, mine: str, other: str, wanted: str, refused: bool
) -> None:
    """Whoever widens an address meets who was no neighbour before."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    first, second = two(kind, mine, other)
    address = f"{wanted}:{first.getsockname()[1]}"
    with second, running(first.detach()):
        said = trio.run(attempt, Trial(lock), address if protocol == "tcp" else f"udp:{address}")
    assert (TAKEN in said) is refused
    assert (f"(process {os.getpid()})" in said) is refused


def test_two_addresses_of_one_configuration(lock: Path, tmp_path: Path) -> None:
    with lock.open("w"), socket_at(socket.SOCK_STREAM, "127.0.0.1") as sock:  # ours, so that nobody else takes it
        port = sock.getsockname()[1]
        trial = Trial(lock)
        assert trio.run(attempt, trial, f"127.0.0.1:{port}") == ""
        assert "is given twice" in trio.run(attempt, trial, f"0.0.0.0:{port}")
    assert [trio.run(attempt, trial, "127.0.0.1:0") for _ in range(2)] == ["", ""]
    assert trio.run(attempt, trial, f"unix:{tmp_path}/one") == ""
    assert "is given twice" in trio.run(attempt, trial, f"{tmp_path}/one")


def test_an_outgoing_connection_of_our_own_is_in_the_way(lock: Path) -> None:
    """Its local port cannot be listened on, and it goes on with the next program."""
    with (
        lock.open("w"),
        socket_at(socket.SOCK_STREAM, "127.0.0.1") as janus,
        socket.create_connection(janus.getsockname()) as link,
    ):
        said = trio.run(attempt, Trial(lock), f"127.0.0.1:{link.getsockname()[1]}")
    assert f"(process {os.getpid()})" in said


def test_connections_that_are_ending_are_none(lock: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        address = server.getsockname()
        with socket.create_connection(address), server.accept()[0] as served:
            served.shutdown(socket.SHUT_WR)  # so that TIME_WAIT is at this end
    assert trio.run(attempt, Trial(lock), f"127.0.0.1:{address[1]}") == ""


def test_an_address_of_another_machine(lock: Path) -> None:
    for address in ("192.0.2.1:8889", "udp:192.0.2.1:8889"):
        assert "this machine does not have 192.0.2.1;" in trio.run(attempt, Trial(lock), address)


def test_what_stands_in_the_file_system(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for address in (f"unix:{tmp_path}/file", f"{tmp_path}/file"):
        assert "something else has that name" in trio.run(attempt, Trial(lock), address)
    long = f"unix:{tmp_path}/{'x' * 120}"
    assert "too long" in trio.run(attempt, Trial(lock), long)
    (tmp_path / "linked.lock").symlink_to(tmp_path / "file")
    assert "linked.lock: Too many levels of symbolic links" in trio.run(attempt, Trial(lock), f"{tmp_path}/linked")
    owned = OwnedPath(f"{tmp_path}/held")  # another bridge, which has no socket there
    assert f"(process {os.getpid()}) holds it" in trio.run(attempt, Trial(lock), f"unix:{tmp_path}/held")
    owned.close()


def test_a_reader_who_waits_for_a_writer_of_a_fifo(lock: Path, tmp_path: Path) -> None:
    """It has not got it open yet, so that nobody can see who it is."""
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(["cat", tmp_path / "fifo"]):
        said = ""
        while not said:
            said = trio.run(attempt, Trial(lock), f"{tmp_path}/fifo")
    assert "fifo: another process listens there" in said or "fifo: cat (process" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_another_user_may_not_do() -> None:
    """Make something in a folder, remove what is not his, take a low port: said as by a start."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        folder = Path(made)
        sticky = folder / "sticky"
        sticky.mkdir()
        sticky.chmod(0o1777)
        folder.chmod(0o755)
        sock.bind(f"{sticky}/stale")
        sock.close()
        os.chmod(f"{sticky}/stale", 0o666)
        os.seteuid(65534)
        try:
            assert "new.lock: Permission denied" in trio.run(attempt, Trial(folder / "lock"), f"unix:{folder}/new")
            assert "another user's" in trio.run(attempt, Trial(folder / "lock"), f"unix:{sticky}/stale")
            assert trio.run(attempt, Trial(folder / "lock"), f"unix:{sticky}/new") == ""
        finally:
            os.seteuid(0)
