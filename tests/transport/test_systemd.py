"""Datagrams to $NOTIFY_SOCKET: in order, however many, with descriptors, and none lost at the end."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from bridge.transport import systemd as module
from bridge.transport.systemd import Notifier
from tests.support.deadlines import HANG_SECONDS
from tests.support.fake_systemd import FakeSystemd

MANY = 300  # more than the kernel queues for a socket where systemd has not told it to queue more


async def test_more_than_fits_is_said_all_the_same_and_heard_before_the_end(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    systemd = FakeSystemd(tmp_path)  # which does not read yet
    notifier = Notifier(systemd.environ)
    nursery.start_soon(notifier.run)
    with ExitStack() as files:
        for number in range(MANY):
            if number % 10 == 0:
                fd = os.memfd_create("")
                files.callback(os.close, fd)
                notifier.tell("FDSTORE=1", f"FDNAME={number}", fd=fd)
            notifier.tell(str(number))
        with systemd:
            await notifier.heard()
            assert systemd.names == [str(number) for number in range(0, MANY, 10)]
            assert [systemd.hears() for _ in range(MANY)] == [[str(number)] for number in range(MANY)]
    nursery.cancel_scope.cancel()
    notifier.close()


async def test_who_does_not_read_is_waited_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARD", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        with trio.fail_after(HANG_SECONDS):
            await notifier.heard()
        notifier.close()


async def test_nobody_there_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARD", 10 * HANG_SECONDS)
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        notifier = Notifier(environ)
        notifier.tell("READY=1")
        with trio.fail_after(HANG_SECONDS):
            await notifier.heard()
        notifier.close()
