"""The end of a listener: who is refused, who gets in, and that nobody is reset. Real sockets."""

import errno
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bridge.transport.batch import Batch
from bridge.transport.http_accepter import Accepter
from bridge.transport.http_listener import Listener, open_listeners
from tests.support.deadlines import HANG_SECONDS


class Watched(socket.socket):
    """A listening socket in which ``alone`` is called whenever nobody waits there any more."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(fileno=listener.sock.detach())
        self.setblocking(False)
        self.alone: Callable[[], None] = lambda: None
        self.faults: list[int] = []  # of accept(2), to come
        self.hides = True

    def accept(self) -> Any:
        if self.faults:
            raise OSError(self.faults.pop(), "")
        try:
            return super().accept()
        except BlockingIOError:
            self.alone()
            raise

    def setsockopt(self, *arguments: Any) -> None:
        if not self.hides:
            raise PermissionError(errno.EPERM, "")
        super().setsockopt(*arguments)


class Bed:
    """An accepter of such a socket, and callers."""

    def __init__(self, listener: Listener) -> None:
        self.sock = Watched(listener)
        self.callers: list[socket.socket] = []
        self.refused = 0
        self.accepted: list[socket.socket] = []
        self.batch = Batch()
        self.accepter = Accepter(
            Listener(self.sock), self.batch, lambda sock, *_: self.accepted.append(sock), lambda *_: None
        )

    def call(self) -> None:
        """Somebody connects and asks, or is refused."""
        caller = socket.socket()
        try:
            caller.connect(self.sock.getsockname())
        except ConnectionRefusedError:
            self.refused += 1
            caller.close()
        else:
            caller.sendall(b"asked")
            self.callers.append(caller)

    def end(self) -> None:
        """As a server ends it."""
        self.accepter.hide()
        self.accepter.accept_all()
        self.accepter.close()

    def answered(self) -> int:
        """How many callers have an answer; nobody who could connect has none."""
        for sock in self.accepted:
            sock.settimeout(HANG_SECONDS)
            assert sock.recv(100) == b"asked"
            sock.sendall(b"answered")
        for caller in self.callers:
            caller.settimeout(HANG_SECONDS)
            assert caller.recv(100) == b"answered"  # else a reset
        return len(self.callers)


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    [listener] = await open_listeners("127.0.0.1:0")
    made = Bed(listener)
    yield made
    for sock in (*made.callers, *made.accepted, made.sock):
        sock.close()
    made.batch.close()


async def test_who_comes_between_the_last_accept_and_the_close_is_refused_and_not_reset(bed: Bed) -> None:
    bed.call()
    bed.sock.alone = bed.call
    bed.end()
    assert (bed.answered(), bed.refused) == (1, 1)


async def test_a_client_that_has_gone_is_not_the_end_of_those_behind_it(bed: Bed) -> None:
    for _ in range(3):
        bed.call()
    bed.sock.faults = [errno.ECONNABORTED, errno.EPROTO]
    bed.end()
    assert bed.answered() == 3


async def test_where_the_kernel_hides_no_listener_all_who_wait_get_in(bed: Bed) -> None:
    bed.call()
    bed.sock.hides = False
    bed.end()
    assert (bed.answered(), bed.sock.fileno()) == (1, -1)
