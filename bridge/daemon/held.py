"""The sockets that an earlier process, or an earlier link, left open to a Janus: whose each is, and when it may go.

Owns the two reasons to let one go: its gateway is ready, so that every session has moved or is told as lost; or no row
is left that could claim what lives there. Must not know sockets (transport/fd_store.py) nor sessions.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterable
from functools import partial

import trio

from bridge.errors import ConnectFailed
from bridge.protocol.gateway import Gateway
from bridge.protocol.humanize import plural
from bridge.protocol.session import SavedSession
from bridge.transport.fd_store import FdStore, KeptSocket, base_of
from bridge.transport.janus_connect import KeepSocket

log = logging.getLogger("bridge.link")

# raise_status(gateway, status, reason, detail)
RaiseStatus = Callable[[Gateway, str, str, str], None]
# (janus_id, janus_url) of all rows that have saved sessions
SavedRows = Callable[[], Iterable[tuple[str, str]]]
SavedOf = Callable[[Gateway], Iterable[SavedSession]]


class HeldSockets:
    """``saved(gateway)`` are the sessions of a row; ``left_behind(gateway)`` is told of each row that is gone, with
    what lived on its sockets.

    A gateway whose URL changes in this life may be the same Janus under another name: what is held for the old URL goes
    when the new one is ready.
    """

    def __init__(
        self,
        store: FdStore,
        raise_status: RaiseStatus,
        saved_rows: SavedRows,
        saved: SavedOf,
        left_behind: Callable[[Gateway], None],
    ) -> None:
        self._store = store
        self._raise_status = raise_status
        self._saved_rows = saved_rows
        self._saved = saved
        self._left_behind = left_behind
        self._bases: dict[str, set[str]] = {}  # of a janus_id, by what its row said since it was last ready
        self._awaited = {held.base for held in store.held}
        self._settled = trio.Event()

    def sockets(self, gateway: Gateway) -> list[int]:
        """The numbers of those that are held for it and whose streams go on, the oldest first."""
        return self._store.streams(_base(gateway))

    def connects(self, gateway: Gateway, number: int) -> tuple[KeepSocket, socket.socket | None]:
        """What ``open_and_run`` needs of a store: how a socket to this gateway is kept; and the one with that number,
        none with 0. Raises ConnectFailed where it is no longer there, or no socket.
        """
        base, encrypted = _base(gateway), gateway.url is not None and gateway.url.tls
        if not number:
            self._store.surplus(base, {session.socket for session in self._saved(gateway) if not session.ended})
            return partial(self._store.keep, base, goes_on=not encrypted), None
        held = self._store.take(base, number)
        if held is None:
            raise ConnectFailed("the socket that the last process left is gone")
        try:
            return partial(KeptSocket, self._store, base, number, held.name), socket.socket(fileno=held.fd)
        except OSError as exc:
            os.close(held.fd)
            self._store.drop(held.name)
            raise ConnectFailed(f"what the last process left is no socket: {exc.strerror}") from None

    def table(self, gateways: Iterable[Gateway]) -> None:
        """These are the rows now, as the database says."""
        before, self._bases = self._bases, {}
        for gateway in gateways:
            base = _base(gateway)
            self._bases[gateway.janus_id] = before.get(gateway.janus_id, set()) | {base}
        self._store.expect(len(self._bases))
        self._awaited &= set[str]().union(*self._bases.values())
        self._look()
        gone = {held.base for held in self._store.held}.difference(*self._bases.values())
        for base in gone:
            self._store.end(base)
        for row in self._saved_rows() if gone else ():
            if base_of(*row) in gone:
                self._left_behind(Gateway(0, *row, None))

    def ready(self, gateway: Gateway) -> None:
        """Its sessions live on a connection of this process, or are lost."""
        base = _base(gateway)
        bases = self._bases.get(gateway.janus_id, set()) | {base}
        if gateway.janus_id in self._bases:
            self._bases[gateway.janus_id] = {base}
        self._awaited -= bases  # in place: there may be ten thousand
        self._look()
        unread = sum(map(self._store.end, bases))
        if unread:
            log.warning("%s: Janus sent %s meanwhile, which nobody read", gateway.janus_id, plural(unread, "byte"))
            self._raise_status(gateway, "events_lost", "restart", '{"lost":null}')

    async def settled(self) -> None:
        """Wait until no gateway of the last process is still to be ready again."""
        self._look()
        await self._settled.wait()

    def _look(self) -> None:
        if not self._awaited:
            self._settled.set()


def _base(gateway: Gateway) -> str:
    return base_of(gateway.janus_id, gateway.janus_url)
