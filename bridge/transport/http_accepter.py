"""A listener in the batch: who is accepted, when nobody can be, and its end without a reset.

Owns accept(2) and its errors. Must not know what becomes of a connection. Authority: accept(2), ip(7).
"""

import errno
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress

import trio

from bridge.transport.batch import PIECE, Batch, Member
from bridge.transport.http_listener import Listener, close_listener, hide_listener, shakes_hands

# accept(2) fails with these for what happened to the client, or to the network on its way.
_CLIENT_GONE = {errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.ENETUNREACH, errno.ENOPROTOOPT}
_CLIENT_GONE |= {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENONET, errno.EOPNOTSUPP}
_SHORTAGE_PAUSE = 0.1  # seconds, while descriptors or memory are short; clients stay in the backlog


class Accepter(Member):
    """A listener in the batch."""

    __slots__ = ("_accepted", "_batch", "_cannot", "_listener")

    def __init__(
        self,
        listener: Listener,
        batch: Batch,
        accepted: Callable[[socket.socket, str, Listener], None],
        cannot: Callable[["Accepter", str | None], None],
    ) -> None:
        """``cannot`` is told that nobody can be accepted now, and of what there is a shortage, if it is one; it has
        this ``reopen``.
        """
        super().__init__()
        self._listener = listener
        self._batch = batch
        self._accepted = accepted
        self._cannot = cannot

    def __repr__(self) -> str:
        return f"the HTTP listener on {self._listener}"

    def open(self) -> None:
        """Accept from now on."""
        self._batch.add(self, self._listener.sock.fileno())

    async def reopen(self) -> None:
        """Accept again after a pause, or another one where nothing can be watched, unless it was closed meanwhile."""
        opened = False
        while not opened:
            await trio.sleep(_SHORTAGE_PAUSE)
            with suppress(OSError):
                if self._listener.sock.fileno() != -1:
                    self.open()
                opened = True

    def close(self) -> None:
        """Stop accepting. Twice is the same as once."""
        self._batch.remove(self)
        close_listener(self._listener)

    def serve(self, events: int) -> int:
        """Accept one who waits: to make room for one is dear."""
        try:
            sock, address = self._listener.sock.accept()
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in _CLIENT_GONE:
                self._batch.again(self)
            elif self._somebody_knocks():  # without descriptors, accept(2) fails even if nobody does
                self._batch.remove(self)
                self._cannot(self, os.strerror(error.errno or 0))
            return 0
        self._batch.again(self)
        self._accepted(sock, address[0], self._listener)
        return PIECE

    def hide(self) -> None:
        """Refuse who comes from now on, and accept who has connected or is about to: ``close`` would reset them."""
        if not hide_listener(self._listener):
            self.accept_all()
            self.close()

    def expects(self) -> bool:
        """Whether, though hidden, somebody is still connecting."""
        return shakes_hands(self._listener)

    def accept_all(self) -> None:
        """Accept those who wait. Who is refused for a shortage is reset by ``close``."""
        while self._listener.sock.fileno() != -1:
            try:
                sock, address = self._listener.sock.accept()
            except OSError as error:
                if error.errno in _CLIENT_GONE:
                    continue
                return
            self._accepted(sock, address[0], self._listener)

    def _somebody_knocks(self) -> bool:
        look = select.poll()
        look.register(self._listener.sock, select.POLLIN)
        return bool(look.poll(0))

    def fail(self) -> None:
        """A fault of ours, which was logged: it must not be the end of the listener."""
        self._cannot(self, None)
