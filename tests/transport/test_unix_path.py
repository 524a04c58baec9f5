import errno
import fcntl
import grp
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.transport.unix_path import OwnedPath, bind_datagram, make_fifo, require_member


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mi"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def fault(path: Path, mode: int = 0o600, group: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        bind_datagram(str(path), mode, group)
    return str(caught.value)


def no_chown(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")  # as under a filter of system calls


def test_a_socket_has_the_mode_and_group_that_were_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "chown", no_chown)  # the group is ours already
    group = grp.getgrgid(os.getgid()).gr_name
    sock, owned = bind_datagram(str(path), 0o660, group)
    found = path.lstat()
    assert stat.S_ISSOCK(found.st_mode)
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, os.getgid())
    sock.close()
    owned.close()
    assert list(path.parent.iterdir()) == []


def test_a_group_may_be_a_number(path: Path) -> None:
    sock, owned = bind_datagram(str(path), 0o660, str(os.getgid()))
    assert path.stat().st_gid == os.getgid()
    sock.close()
    owned.close()


def test_a_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crashed:
        crashed.bind(str(path))
    sock, owned = bind_datagram(str(path), 0o600, None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", str(path))
    assert sock.recv(10) == b"x"
    sock.close()
    owned.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_live_socket_is_never_taken(path: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_UNIX, kind) as live:
        live.bind(str(path))
        if kind == socket.SOCK_STREAM:
            live.listen()
        before = path.lstat().st_ino
        assert fault(path) == f"{path}: another process listens there"
        assert path.lstat().st_ino == before
    assert list(path.parent.iterdir()) == [path]


def test_what_is_no_socket_is_never_taken(path: Path) -> None:
    path.write_text("precious")
    assert fault(path) == f"{path}: something else has that name"
    (path.parent / "target").write_text("precious too")
    link = path.parent / "link"
    link.symlink_to("target")
    assert "something else" in fault(link)
    assert (path.read_text(), link.read_text()) == ("precious", "precious too")


def test_two_bridges_do_not_share_a_name(path: Path) -> None:
    sock, owned = bind_datagram(str(path), 0o600, None)
    sock.close()  # stale for a moment, as in a crash of the other's task: the lock alone keeps the name
    assert fault(path) == f"{path}.lock: another janus-bridge holds it"
    owned.close()
    again, owned = bind_datagram(str(path), 0o600, None)
    again.close()
    owned.close()


def test_only_what_is_ours_is_removed(path: Path) -> None:
    sock, owned = bind_datagram(str(path), 0o600, None)
    assert owned.is_ours()
    path.unlink()
    path.write_text("somebody else's")
    assert not owned.is_ours()
    sock.close()
    owned.close()
    assert path.read_text() == "somebody else's"


@pytest.mark.parametrize(
    ("name", "group", "reason"),
    [
        ("no_dir/mi", None, "there is no folder FOLDER/no_dir"),
        ("x" * 120, None, "AF_UNIX path too long"),
        ("mi", "no_such_group", "there is no group 'no_such_group'"),
    ],
)
def test_reasons_are_one_line(path: Path, name: str, group: str | None, reason: str) -> None:
    text = fault(path.parent / name, group=group)
    assert text.endswith(reason.replace("FOLDER", str(path.parent)))
    assert "\n" not in text
    assert list(path.parent.iterdir()) == []


def test_a_stale_fifo_is_replaced_and_a_live_one_is_not(path: Path) -> None:
    os.mkfifo(path)
    owned = OwnedPath(str(path))
    fd = make_fifo(owned, 0o622)
    assert stat.S_IMODE(path.stat().st_mode) == 0o622
    owned.close()
    os.close(fd)

    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    owned = OwnedPath(str(path))
    with pytest.raises(ConfigError, match="another process listens there"):
        make_fifo(owned, 0o622)
    owned.close()
    os.close(reader)
    assert path.exists()


def test_a_fifo_that_cannot_have_its_mode_is_one_line_and_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int, _mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    before = os.listdir("/proc/self/fd")
    owned = OwnedPath(str(path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", refuse)
        with pytest.raises(ConfigError, match=f"^{path}: Operation not permitted$"):
            make_fifo(owned, 0o622)
    owned.close()
    assert list(path.parent.iterdir()) == []
    assert os.listdir("/proc/self/fd") == before


def test_a_lock_on_a_file_that_its_former_holder_removed_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our open and our lock the other bridge ended: what we locked has no name any more."""
    lock, flock = path.with_name("mi.lock"), fcntl.flock
    removed: list[int] = []

    def slow(fd: int, operation: int) -> None:
        if not removed:
            removed.append(lock.stat().st_ino)
            lock.unlink()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", slow)
    owned = OwnedPath(str(path))
    assert removed
    with pytest.raises(ConfigError, match="another janus-bridge holds it"):
        OwnedPath(str(path))
    owned.close()


def test_what_another_process_left_and_cannot_be_used_keeps_its_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has a copy of it still."""
    group = str(os.getgid() + 1)
    sock, owned = bind_datagram(str(path), 0o600, None)
    owned.leave()
    owned.close()
    monkeypatch.setattr(os, "chown", no_chown)
    with pytest.raises(ConfigError, match="can only be given by one of its members"):
        bind_datagram(str(path), 0o600, group, sock)
    assert path.is_socket()
    path.unlink()
    owned = OwnedPath(str(path))
    fd = make_fifo(owned, 0o600)
    with pytest.raises(ConfigError, match="can only be given by one of its members"):
        make_fifo(owned, 0o600, group, fd)
    owned.close()
    assert path.is_fifo()


def test_a_group_of_others_is_told_before_anything_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may give to any; a set-group-id folder gives its own."""
    group = max([os.getegid(), *os.getgroups()]) + 1
    require_member(str(path), str(os.getgid()))
    require_member(str(path), None)
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    with pytest.raises(ConfigError, match=f"^{path}: group {group} can only be given by one of its members"):
        require_member(str(path), str(group))
    if os.getuid() == 0:
        os.chown(path.parent, -1, group)
        path.parent.chmod(0o2700)
        require_member(str(path), str(group))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    require_member(str(path), str(group))
