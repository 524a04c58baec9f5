"""All connections of an HTTP listener: accepting, how many there may be, how long each may take, stopping.

Owns what one client may cost another. Must not know requests or routes.
"""

import errno
import logging
import math
import os
from collections import Counter
from collections.abc import Sequence

import trio

from bridge.protocol.budget import Budget, Holding
from bridge.protocol.caller import client_of
from bridge.throttle import Throttle
from bridge.transport.direct_stream import direct
from bridge.transport.http_connection import HttpConnection, HttpHandler, HttpLimits, Stream
from bridge.transport.http_hangup import HangupWatch
from bridge.transport.http_stream import Listener, bound_address, listening_socket
from bridge.transport.ration import Ration

log = logging.getLogger("bridge.mi")

# accept(2) fails with these while descriptors or memory are short; the client stays in the backlog.
_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SHORTAGE_PAUSE = 0.1
_PATROL = 1.0  # seconds between two looks at the deadlines, at most


class HttpServer:
    """Serves ``listeners`` once. ``addresses`` are what they are bound to, as ``HOST:PORT``."""

    def __init__(
        self, listeners: Sequence[Listener], service: HttpHandler, limits: HttpLimits, pending: Budget | None = None
    ) -> None:
        self.addresses = [bound_address(listener) for listener in listeners]
        self._listeners = listeners
        self._service = service
        self._limits = limits
        self._pending = pending if pending is not None else Budget(4 * limits.max_connections * limits.max_body)
        self._pending.relief = self._relieve
        self._connections: set[HttpConnection] = set()
        self._clients: Counter[str] = Counter()  # connections by client
        self._hangups = HangupWatch()
        self._ration = Ration()
        self._accepting = trio.CancelScope()
        self._shortage = Throttle()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    async def serve(self, task_status: trio.TaskStatus["HttpServer"] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, or until ``stop()`` and the requests in flight are answered. Closes the listeners.

        Reports itself by ``started``. No error of a client leaves here; an OSError of ``accept`` that is neither a
        client's nor a shortage does.
        """
        try:
            async with trio.open_nursery() as watchers:
                watchers.start_soon(self._hangups.run)
                watchers.start_soon(self._patrol)
                async with trio.open_nursery() as connections:
                    task_status.started(self)
                    with self._accepting:
                        async with trio.open_nursery() as doors:
                            for listener in self._listeners:
                                doors.start_soon(self._accept, listener, connections)
                watchers.cancel_scope.cancel()
        finally:
            self._hangups.close()

    def stop(self) -> None:
        """Accept nobody any more, drop who asks nothing, and let ``serve`` return when the others are answered."""
        self._accepting.cancel()
        for connection in self._connections:
            connection.finish()

    async def _accept(self, listener: Listener, connections: trio.Nursery) -> None:
        sock = listening_socket(listener)
        async with listener:
            while True:
                await trio.lowlevel.wait_readable(sock)  # without descriptors, accept(2) fails even if nobody knocks
                try:
                    accepted = await listener.accept()
                except OSError as error:
                    if error.errno not in _SHORTAGE:
                        raise
                    self._note_shortage(os.strerror(error.errno))
                    self._make_room()
                    await trio.sleep(_SHORTAGE_PAUSE)
                    continue
                below = accepted.transport_stream if isinstance(accepted, trio.SSLStream) else accepted
                try:
                    peer = below.socket.getpeername()[0]
                except OSError:  # reset before we looked
                    below.socket.close()
                    continue
                if self._has_room(client_of(peer)):
                    stream = accepted if isinstance(accepted, trio.SSLStream) else direct(accepted)
                    self._open(stream, peer, connections)
                else:
                    await trio.aclose_forcefully(accepted)

    def _has_room(self, client: str) -> bool:
        if self._clients[client] >= self._limits.max_of_client and not self._make_room(client):
            self._note_shortage(f"all {self._clients[client]} of {client} are waiting for answers")
            return False
        if len(self._connections) >= self._limits.max_connections and not self._make_room():
            self._note_shortage("all are waiting for answers")
            return False
        return True

    def _open(self, stream: Stream, peer: str, nursery: trio.Nursery) -> None:
        held = Holding(self._pending, client_of(peer))
        connection = HttpConnection(stream, peer, self._service, self._limits, self._hangups, held, self._ration)
        self._connections.add(connection)
        self._clients[held.owner] += 1
        nursery.start_soon(self._serve, connection, stream)

    async def _serve(self, connection: HttpConnection, stream: Stream) -> None:
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            client = connection.held.owner
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
            await trio.aclose_forcefully(stream)

    async def _patrol(self) -> None:
        limits = self._limits
        pause = min(_PATROL, min(limits.head, limits.body, limits.idle, limits.write, limits.linger) / 4)
        while True:
            await trio.sleep(pause)
            self._shortage.over()
            now = trio.current_time()
            for connection in self._connections:
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
            log.warning("HTTP: no room for more than %d connections: %s", len(self._connections), what)
