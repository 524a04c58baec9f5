"""Unix sockets that MI subscriptions may name: by path, and by what is there when events go."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.protocol.event_delivery import NotSent, Parcel
from bridge.protocol.event_payload import Event
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses
from bridge.transport.event_datagram import UnixSender
from bridge.transport.event_mi import MiSender
from bridge.transport.event_unix import UnixPaths


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with bound(tmp_path / "socket") as receiver:
        yield receiver


def bound(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(path))
    made.setblocking(False)
    return made


def refused(paths: UnixPaths, path: object, words: str = "is not in") -> None:
    with pytest.raises(NotSent, match=words):
        paths.admit(str(path))


def test_the_default_is_for_opensipss_own_tools() -> None:
    paths = UnixPaths(["/tmp/*"])
    paths.admit("/tmp/opensips_event_no_such_socket")
    for path in ("/run/systemd/notify", "/dev/log", "/run/mysqld/mysqld.sock", "/run/opensips/mi", "/tmp/x/y", "/tmp"):
        refused(paths, path)
    refused(paths, "/tmp/../run/systemd/notify")
    refused(paths, "/tmp/..")


def test_some_are_never_sent_to(tmp_path: Path, receiver: socket.socket) -> None:
    for path in ("/run/systemd/notify", "/dev/log", "/var/run/systemd/notify"):
        refused(UnixPaths(["/*", "/*/*", "/*/*/*", "/*/*/*/*"]), path)
    paths = UnixPaths([f"{tmp_path}/*"], never=[f"{tmp_path}/socket"])
    refused(paths, tmp_path / "socket")
    paths.admit(str(tmp_path / "other"))


def test_what_is_there_has_to_be_a_socket_and_the_only_name_of_it(tmp_path: Path, receiver: socket.socket) -> None:
    paths = UnixPaths([f"{tmp_path}/*"])
    paths.admit(f"{tmp_path}/socket")
    (tmp_path / "file").touch()
    refused(paths, tmp_path / "file", "is not a socket")
    (tmp_path / "link").symlink_to(tmp_path / "socket")
    refused(paths, tmp_path / "link", "is not a socket")
    os.link(tmp_path / "socket", tmp_path / "second")
    refused(paths, tmp_path / "socket", "has a second name")


def test_a_folder_that_leads_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "allowed" / "out").symlink_to(tmp_path / "other")
    with bound(tmp_path / "other" / "socket"):
        refused(UnixPaths([f"{tmp_path}/allowed/*/*"]), tmp_path / "allowed" / "out" / "socket")
    (tmp_path / "run").symlink_to(tmp_path / "allowed")  # as /var/run leads to /run: the pattern itself names it
    with bound(tmp_path / "allowed" / "socket"):
        UnixPaths([f"{tmp_path}/run/*"]).admit(f"{tmp_path}/run/socket")


def parcel(text: bytes) -> Parcel:
    return Parcel(Event("E", [], "1", 1, None, None), text, float("inf"))


async def test_events_go_to_the_socket_that_was_looked_at(tmp_path: Path, receiver: socket.socket) -> None:
    where = Addresses([], lambda socket: False, UnixPaths([f"{tmp_path}/*"]))
    sender = UnixSender(ReplySocket("unix", path=str(tmp_path / "socket")), where)
    await sender.send(parcel(b"1"), 1)
    assert receiver.recv(10) == b"1"
    sender.close()
    (tmp_path / "socket").rename(tmp_path / "elsewhere")
    (tmp_path / "socket").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotSent, match="is not a socket"):
        await sender.send(parcel(b"2"), 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
async def test_another_users_socket_of_that_name_gets_nothing(tmp_path: Path, receiver: socket.socket) -> None:
    where = Addresses([], lambda socket: False, UnixPaths([f"{tmp_path}/*"]))
    sender = UnixSender(ReplySocket("unix", path=str(tmp_path / "socket")), where)
    await sender.send(parcel(b"1"), 1)
    sender.close()
    (tmp_path / "socket").unlink()
    with bound(tmp_path / "socket"):
        os.chown(tmp_path / "socket", 12345, -1)
        with pytest.raises(NotSent, match="belongs to another user than before"):
            await sender.send(parcel(b"2"), 1)


async def test_an_mi_socket_is_reached_the_same_way(tmp_path: Path, receiver: socket.socket) -> None:
    where = Addresses([], lambda socket: False, UnixPaths([f"{tmp_path}/*"]))
    sender = MiSender(ReplySocket("mi:unix", path=str(tmp_path / "socket")), where)
    with pytest.raises(NotSent, match="did not answer"):
        await sender.send(parcel(b"1"), 0)
    assert receiver.recv(10) == b"1"
    sender.close()
    elsewhere = MiSender(ReplySocket("mi:unix", path="/run/systemd/notify"), where)
    with pytest.raises(NotSent, match="is not in"):
        await elsewhere.send(parcel(b"1"), 0)
    elsewhere.close()
