"""All connections of an HTTP listener: accepting, how many there may be, how long each may take, stopping.

Owns what one client may cost another. Must not know requests or routes.
"""

import logging
import math
import socket
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

import trio

from bridge.protocol.budget import Budget, Holding
from bridge.protocol.caller import client_of
from bridge.protocol.humanize import plural
from bridge.throttle import Throttle
from bridge.transport.batch import READABLE, Batch
from bridge.transport.http_accepter import Accepter
from bridge.transport.http_connection import HttpConnection
from bridge.transport.http_ends import HttpHandler, HttpLimits
from bridge.transport.http_listener import Listener, bound_address
from bridge.transport.http_wire import PlainWire
from bridge.transport.http_wire_tls import TlsWire

log = logging.getLogger("bridge.mi")

_LOOK = 0.01  # seconds between two looks at them when it stops
_PATROL = 1.0  # seconds between two looks at the deadlines, at most


class HttpServer:
    """Serves ``listeners`` once. ``addresses`` are what they are bound to, as ``HOST:PORT``."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        handler: HttpHandler,
        limits: HttpLimits,
        batch: Batch,
        pending: Budget | None = None,
    ) -> None:
        self.addresses = [bound_address(listener) for listener in listeners]
        self._handler = handler
        self._limits = limits
        self._batch = batch
        self._pending = pending if pending is not None else Budget(4 * limits.max_connections * limits.max_body)
        self._pending.relief = self._relieve
        self._connections: set[HttpConnection] = set()
        self._clients: Counter[str] = Counter()  # connections by client
        self._accepters = [Accepter(listener, batch, self._accepted, self._cannot_accept) for listener in listeners]
        self._nursery: trio.Nursery | None = None
        self._stopping = False
        self._heard = trio.Event()
        self._over = trio.Event()
        self._shortage = Throttle()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    async def serve(self, task_status: trio.TaskStatus["HttpServer"] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, or until ``stop()`` and the requests in flight are answered. Closes the listeners.

        Reports itself by ``started``. No error of a client leaves here.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._patrol)
                for accepter in self._accepters:
                    accepter.open()
                task_status.started(self)
                await self._over.wait()
                nursery.cancel_scope.cancel()
        finally:
            for accepter in self._accepters:
                accepter.close()
            for connection in list(self._connections):
                connection.end()

    def stop(self, *, left: bool = False) -> None:
        """Refuse who comes from now on. ``heard`` then returns once all who have connected have asked, or had their
        time to; ``serve`` once they are answered. ``left``: the listeners live on elsewhere, with who waits there.
        """
        self._stopping = True
        if self._nursery is None:
            self._heard.set()
            self._over.set()
            return
        for accepter in self._accepters:
            if left:
                accepter.close()
            else:
                accepter.hide()
        for connection in self._connections:
            connection.finish()
        self._nursery.start_soon(self._finish)

    async def heard(self) -> None:
        """Wait until nobody is about to ask any more, ``HttpLimits.last`` at most behind ``stop``."""
        await self._heard.wait()

    async def _finish(self) -> None:
        """A connection that is closed with a request on its way is reset, and so is one that is being made."""
        until = time.monotonic() + self._limits.last
        listening = True
        while not self._over.is_set():
            await trio.sleep(self._limits.crossing if listening else _LOOK)
            now = time.monotonic()
            if listening and (now >= until or not any(accepter.expects() for accepter in self._accepters)):
                listening = False
                for accepter in self._accepters:
                    accepter.accept_all()
                    accepter.close()
            asking = listening
            for connection in list(self._connections):
                if connection.deadline < now:
                    connection.end()
                elif now < until and connection.asks():
                    asking = True
                else:
                    connection.part()
            if not asking:
                self._heard.set()
                if not self._connections:
                    self._over.set()

    def _accepted(self, sock: socket.socket, peer: str, listener: Listener) -> None:
        client = client_of(peer)
        if not self._has_room(client):
            sock.close()
            return
        make = partial(
            HttpConnection,
            peer=peer,
            handler=self._handler,
            limits=self._limits,
            held=Holding(self._pending, client),
            secure=listener.tls is not None,
        )
        wire: PlainWire | TlsWire
        if listener.tls is None:
            wire = PlainWire(sock, self._batch, make, self._closed)
        else:
            wire = TlsWire(sock, listener.tls, self._batch, make, self._closed)
            assert self._nursery is not None
            self._nursery.start_soon(wire.run)
        self._connections.add(wire.connection)
        self._clients[client] += 1
        if self._stopping:
            wire.connection.finish()
        if isinstance(wire, PlainWire):  # before the next one looks for room: its request may be there already
            self._batch.next(wire, READABLE)

    def _closed(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        client = connection.held.owner
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        if self._heard.is_set() and not self._connections:
            self._over.set()

    def _cannot_accept(self, accepter: Accepter, shortage: str | None) -> None:
        if shortage is not None:
            self._note_shortage(shortage)
            self._make_room()
        if self._nursery is not None:
            self._nursery.start_soon(accepter.reopen)

    def _has_room(self, client: str) -> bool:
        if self._clients[client] >= self._limits.max_of_client and not self._make_room(client):
            self._note_shortage(f"all {self._clients[client]} of {client} are waiting for answers")
            return False
        if len(self._connections) >= self._limits.max_connections and not self._make_room():
            self._note_shortage("all are waiting for answers")
            return False
        return True

    async def _patrol(self) -> None:
        limits = self._limits
        pause = min(_PATROL, min(limits.head, limits.body, limits.idle, limits.write, limits.linger) / 4)
        while True:
            await trio.sleep(pause)
            self._shortage.over()
            now = time.monotonic()
            for connection in list(self._connections):
                if connection.deadline < now:
                    connection.end()

    def _make_room(self, client: str | None = None) -> bool:
        """Drop the connection whose time is up first: it is idle or slow, never one that waits for us. One of this
        client; else one of the client with the most, so that a crowd makes room for others by itself.
        """
        slow = [connection for connection in self._connections if connection.deadline < math.inf]
        if client is not None:
            slow = [connection for connection in slow if connection.held.owner == client]
        victim = min(slow, key=lambda one: (-self._clients[one.held.owner], one.deadline), default=None)
        if victim is None:
            return False
        victim.end()
        return True

    def _relieve(self, wanting: Holding, size: int) -> bool:
        """Drop the slow connection that holds the most, if that is more than the ``size`` that is wanted."""
        alone = self._pending.crowded(wanting, size)
        victim = max(
            (
                connection
                for connection in self._connections
                if connection.held is not wanting
                and connection.deadline < math.inf
                and connection.held.size > size
                and (not alone or connection.held.owner == wanting.owner)
            ),
            key=lambda connection: connection.held.size,
            default=None,
        )
        if victim is None:
            return False
        log.warning(
            "HTTP: shed a slow client (%s, %d bytes held) to make room",
            victim.held.owner,
            victim.held.size,
        )
        victim.shed()
        return True

    def _note_shortage(self, what: str) -> None:
        if self._shortage.due("no room"):  # once a patrol: it may last
            log.warning("HTTP: no room for more than %s: %s", plural(len(self._connections), "connection"), what)
