"""The MI's ways in: a row a transport.

Owns what each needs of ``[mi]``, how it is bound, and what the log calls it. Must not know methods. A new transport is
a file in transport/, a door here, and its row in ``DOORS``.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import trio

from bridge.config import MiSettings
from bridge.daemon.held_doors import HeldDoors
from bridge.protocol.caller import ROLES, Role
from bridge.transport.batch import Batch
from bridge.transport.http_access import Access
from bridge.transport.http_ends import HttpLimits
from bridge.transport.http_listener import (
    Listener,
    bound_address,
    close_listener,
    found_listeners,
    open_listeners,
    try_listeners,
)
from bridge.transport.mi_ask import Reception
from bridge.transport.mi_datagram import MiSocket, open_datagram, serve_mi_datagram, try_datagram
from bridge.transport.mi_fifo import MiFifo, serve_mi_fifo
from bridge.transport.mi_http import Page, serve_mi_http
from bridge.transport.trial import Once

if TYPE_CHECKING:
    from bridge.transport.http_server import HttpServer


class Hall(NamedTuple):
    """What all doors lead to. ``batch`` serves their hot sockets; ``access`` judges HTTP clients."""

    reception: Reception
    batch: Batch
    pages: Mapping[str, Page]
    access: Access


class Door(Protocol):
    """``bind``, then ``serve``; ``close`` what is not served. Or only ``look``."""

    def addresses(self) -> Iterable[str]:
        """As configured: under these texts its sockets are held. What is held for none of any door is let go."""

    async def look(self, trial: Once) -> None:
        """Raise ConfigError where ``bind`` would in place of the bridge that runs now, as far as ``trial`` looks;
        nothing is left or changed.
        """

    async def bind(self, held: HeldDoors, tls: ssl.SSLContext | None) -> None:
        """``held`` has what another process has bound. Raises ConfigError that names the address at fault; what is
        bound by then, ``close`` closes.
        """

    async def serve(self, nursery: trio.Nursery, hall: Hall) -> None:
        """Answer from now on, in this nursery."""

    def names(self) -> Iterable[str]:
        """What is listened on, for the log."""

    def check(self) -> None:
        """A reload: see that what stands in the file system is still there."""

    def leave(self) -> None:
        """What is bound goes on without this process, and its name with it."""

    async def stop(self) -> None:
        """Refuse who comes from now on, as far as that can be said; return when who had come has asked."""

    def end(self) -> None:
        """Hear nothing more; ``serve``'s tasks end when the requests in flight are answered."""

    def close(self) -> None:
        """Close what was bound; twice is the same as once."""


class HttpDoor:
    """All HTTP listeners, which share one server and its limits."""

    def __init__(self, mi: MiSettings) -> None:
        self._mi = mi
        self._listeners: list[Listener] = []
        self._server: HttpServer | None = None
        self._left = False

    def addresses(self) -> Iterable[str]:
        return self._mi.http

    async def look(self, trial: Once) -> None:
        for address in self._mi.http:
            await try_listeners(address, trial)

    async def bind(self, held: HeldDoors, tls: ssl.SSLContext | None) -> None:
        for address in self._mi.http:
            opened = found_listeners(held.take(address), tls) or await open_listeners(address, tls)
            for listener in opened:
                held.keep(address, listener.sock.fileno())
            self._listeners += opened

    async def serve(self, nursery: trio.Nursery, hall: Hall) -> None:
        reception = hall.reception
        limits = HttpLimits(max_body=min(self._mi.max_body, reception.pending.largest))
        serve = partial(
            serve_mi_http,
            root=self._mi.http_root,
            limits=limits,
            pages=hall.pages,
            pending=reception.pending,
            refused=reception.refused,
        )
        self._server = await nursery.start(serve, self._listeners, reception.dispatch, hall.access, hall.batch)

    def names(self) -> Iterator[str]:
        for listener in self._listeners:
            scheme = "http" if listener.tls is None else "https"
            yield f"{scheme}://{bound_address(listener)}/{self._mi.http_root}"

    def check(self) -> None:
        pass

    def leave(self) -> None:
        self._left = True

    async def stop(self) -> None:
        if self._server is not None:
            self._server.stop(left=self._left)
            await self._server.heard()

    def end(self) -> None:
        pass

    def close(self) -> None:
        for listener in self._listeners:
            close_listener(listener)


class DatagramDoor:
    """One UDP or unix socket."""

    def __init__(self, address: str, mi: MiSettings) -> None:
        self._address = address
        self._mi = mi
        self._socket: MiSocket | None = None

    def addresses(self) -> Iterable[str]:
        return (self._address,)

    async def look(self, trial: Once) -> None:
        try_datagram(self._address, trial)

    async def bind(self, held: HeldDoors, _tls: ssl.SSLContext | None) -> None:
        fd = held.take_one(self._address)
        found = None if fd is None else socket.socket(fileno=fd)
        self._socket = open_datagram(self._address, self._mi.unix_mode, self._mi.unix_group, found)
        held.keep(self._address, self._socket.fileno())

    async def serve(self, nursery: trio.Nursery, hall: Hall) -> None:
        await nursery.start(serve_mi_datagram, self._socket, hall.reception)

    def names(self) -> Iterator[str]:
        if self._socket is not None:
            yield self._socket.name

    def check(self) -> None:
        pass

    def leave(self) -> None:
        if self._socket is not None:
            self._socket.leave()

    async def stop(self) -> None:
        if self._socket is not None:
            self._socket.stop()

    def end(self) -> None:
        if self._socket is not None:
            self._socket.end()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class FifoDoor:
    """The FIFO."""

    def __init__(self, path: str, mi: MiSettings) -> None:
        self._path = path
        self._mi = mi
        self._fifo: MiFifo | None = None

    def addresses(self) -> Iterable[str]:
        return (self._path,)

    async def look(self, trial: Once) -> None:
        trial.name(self._path, fifo=True)

    async def bind(self, held: HeldDoors, _tls: ssl.SSLContext | None) -> None:
        mi = self._mi
        found = held.take_one(self._path)
        self._fifo = MiFifo(self._path, mi.fifo_mode, mi.fifo_reply_dir, mi.unix_group, found)
        held.keep(self._path, self._fifo.fileno())

    async def serve(self, nursery: trio.Nursery, hall: Hall) -> None:
        await nursery.start(serve_mi_fifo, self._fifo, hall.reception)

    def names(self) -> Iterator[str]:
        yield f"fifo {self._path}"

    def check(self) -> None:
        if self._fifo is not None:
            self._fifo.check()

    def leave(self) -> None:
        if self._fifo is not None:
            self._fifo.leave()

    async def stop(self) -> None:
        if self._fifo is not None:
            self._fifo.stop()

    def end(self) -> None:
        if self._fifo is not None:
            self._fifo.end()

    def close(self) -> None:
        if self._fifo is not None:
            self._fifo.close()


def kinds_of_senders(mi: MiSettings) -> Mapping[str, Role]:
    """What those may do of whom the kernel says nothing, by the kind that their door calls them."""
    return {"udp": ROLES[mi.udp_role], "fifo": ROLES[mi.fifo_role]}


# The key of [mi] that asks for it -> the doors that are configured.
DOORS: Final[Mapping[str, Callable[[MiSettings], Iterable[Door]]]] = {
    "http": lambda mi: [HttpDoor(mi)] if mi.http else [],
    "datagram": lambda mi: [DatagramDoor(address, mi) for address in mi.datagram],
    "fifo": lambda mi: [] if mi.fifo is None else [FifoDoor(mi.fifo, mi)],
}
