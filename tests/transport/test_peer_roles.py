"""Who sends a datagram, and what that lets them do: over real sockets, as the kernel tells it."""

import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from bridge.errors import ConfigError
from bridge.protocol.caller import Caller, Role
from bridge.protocol.jsonrpc import TakeAnswer
from bridge.transport.mi_ask import Reception
from bridge.transport.mi_datagram import open_datagram, serve_mi_datagram
from bridge.transport.mi_fifo import MiFifo, serve_mi_fifo
from bridge.transport.peer_roles import Grant, PeerRoles
from tests.support.deadlines import HANG_SECONDS

STRANGER, STRANGE_GROUP = 12345, 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may send in another user's name")


def whoami(_body: bytes, caller: Caller, answer: TakeAnswer) -> None:
    answer(f"{caller.role} {caller.name}".encode())


@pytest.fixture
def client(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.bind(str(tmp_path / "client"))
        client.setblocking(False)
        yield client


async def answer(client: socket.socket) -> str:
    with trio.fail_after(HANG_SECONDS):
        await trio.lowlevel.wait_readable(client)
    return client.recv(4096).decode()


async def asked(client: socket.socket, path: Path, uid: int, gid: int, *more: tuple[int, int, bytes]) -> str:
    """What the bridge takes a sender with these numbers for."""
    credentials = (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", os.getpid(), uid, gid))
    client.sendmsg([b"x"], [credentials, *more], 0, str(path))
    return await answer(client)


async def serve(nursery: trio.Nursery, path: Path, roles: PeerRoles) -> None:
    await nursery.start(serve_mi_datagram, open_datagram(f"unix:{path}"), Reception(whoami, roles))


async def test_without_users_or_groups_the_file_decides(
    nursery: trio.Nursery, tmp_path: Path, client: socket.socket
) -> None:
    roles = PeerRoles()
    await serve(nursery, tmp_path / "mi", roles)
    for _ in range(2):
        client.sendto(b"x", str(tmp_path / "mi"))
        assert await answer(client) == f"everything uid {os.getuid()}"
        roles.replace({}, [Grant(Role.READ_ONLY, (), ())])


async def test_the_bridges_own_user_may_do_everything(
    nursery: trio.Nursery, tmp_path: Path, client: socket.socket
) -> None:
    roles = PeerRoles()
    roles.replace({}, [Grant(Role.READ_ONLY, [str(STRANGER)], [])])
    await serve(nursery, tmp_path / "mi", roles)
    client.sendto(b"x", str(tmp_path / "mi"))
    assert await answer(client) == f"everything uid {os.getuid()}"


@needs_root
async def test_users_and_groups(nursery: trio.Nursery, tmp_path: Path, client: socket.socket) -> None:
    roles = PeerRoles()
    grants = [Grant(Role.READ_ONLY, [str(STRANGER)], []), Grant(Role.COMMANDS, [], [str(STRANGE_GROUP)])]
    roles.replace({}, grants)
    path = tmp_path / "mi"
    await serve(nursery, path, roles)
    assert await asked(client, path, STRANGER, 1) == f"read-only uid {STRANGER}"
    assert await asked(client, path, STRANGER, STRANGE_GROUP) == f"commands uid {STRANGER}"  # the higher one
    assert await asked(client, path, STRANGER + 1, STRANGE_GROUP) == f"commands uid {STRANGER + 1}"
    assert await asked(client, path, STRANGER + 1, 1) == f"none uid {STRANGER + 1}"
    roles.replace({}, [])  # a reload holds for the next datagram
    assert await asked(client, path, STRANGER + 1, 1) == f"everything uid {STRANGER + 1}"


@needs_root
async def test_descriptors_that_are_sent_along_are_not_kept(
    nursery: trio.Nursery, tmp_path: Path, client: socket.socket
) -> None:
    path = tmp_path / "mi"
    await serve(nursery, path, PeerRoles())
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    await asked(client, path, 0, 0, (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", writer)))
    os.close(writer)
    assert os.read(reader, 1) == b""  # the end: no other process, and no other number of ours, holds it
    os.close(reader)


def test_names_are_users_and_groups_with_their_members(monkeypatch: pytest.MonkeyPatch) -> None:
    me, group = pwd.getpwuid(0), grp.getgrgid(0)
    others = {"sip": pwd.struct_passwd(("sip", "x", STRANGER, 1, "", "", ""))}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: others[name] if name != "root" else me)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((group.gr_name, "x", gid, ["sip", "gone"])))
    roles = PeerRoles()
    roles.replace({}, [Grant(Role.COMMANDS, ["root"], [group.gr_name])])
    credentials = (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", 1, STRANGER, 1))
    assert roles.of_unix([credentials]).role is Role.COMMANDS


@pytest.mark.parametrize(("users", "groups", "words"), [(["nobody-such"], [], "user"), ([], ["nobody-such"], "group")])
def test_a_name_that_is_not_there_changes_nothing(users: list[str], groups: list[str], words: str) -> None:
    roles = PeerRoles()
    with pytest.raises(ConfigError, match=f"^role commands: there is no {words} 'nobody-such'"):
        roles.replace({}, [Grant(Role.COMMANDS, users, groups)])
    assert roles == PeerRoles()


def test_a_sender_whom_the_kernel_does_not_name() -> None:
    roles = PeerRoles()
    assert roles.of_unix([]).role is Role.EVERYTHING
    roles.replace({}, [Grant(Role.COMMANDS, ["0"], [])])
    assert roles.of_unix([]).role is Role.NONE


async def test_udp_and_fifo_have_a_role_each(nursery: trio.Nursery, tmp_path: Path) -> None:
    roles = PeerRoles()
    roles.replace({"udp": Role.READ_ONLY, "fifo": Role.COMMANDS}, [])
    listener = open_datagram("udp:127.0.0.1:0")
    await nursery.start(serve_mi_datagram, listener, Reception(whoami, roles))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.sendto(b"x", ("127.0.0.1", int(listener.name.rpartition(":")[2])))
        assert await answer(client) == "read-only udp"
    seen: list[Caller] = []
    asked = trio.Event()

    def note(_body: bytes, caller: Caller, answer: TakeAnswer) -> None:
        seen.append(caller)
        answer(None)
        asked.set()
        answer(None)

    await nursery.start(serve_mi_fifo, MiFifo(str(tmp_path / "fifo"), 0o600, str(tmp_path)), Reception(note, roles))
    (tmp_path / "fifo").write_bytes(b"::{}")
    with trio.fail_after(HANG_SECONDS):
        await asked.wait()
    assert seen == [Caller(Role.COMMANDS, "fifo")]
