"""The connections of a gateway that were left, while another one is tried.

Owns what becomes of them (contract 5.3). Where Janus does not reclaim, it kills the sessions of a socket that closes:
so none is closed before another connection has every session, unless it ends by itself. One that was left for its
silence may be good again; one that was left by choice always is. Must not know when a connection is left, nor how
another one is opened.
"""

from collections.abc import Callable, Iterator

import trio

from bridge.core.connection import Cause, Connection
from bridge.core.traffic import Traffic
from bridge.protocol.gateway import Gateway
from bridge.protocol.session import JanusSession

RETIRE = 2.0  # seconds in which the answers of a connection that was left may still come
MOST = 4  # at once; each is a socket, and more than one only where attempts fail after claims went out


class Left:
    """Those that may still have sessions, the oldest first.

    ``stranded()`` is told when a session turned up on one of them after the others were claimed.
    """

    def __init__(self, traffic: Traffic, stranded: Callable[[], None]) -> None:
        self._traffic = traffic
        self._stranded = stranded
        self._connections: list[Connection] = []
        self._unknown_elsewhere: dict[Connection, list[int]] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections))

    def __len__(self) -> int:
        return len(self._connections)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._connections

    def add(self, connection: Connection, cause: Cause) -> None:
        """Keep it open and read. It is asked for a sign of life, which may bring it back."""
        connection.leave(cause)
        connection.ping()
        self._connections.append(connection)
        silent = [old for old in self._connections if old.left_for != "choice"]
        if len(silent) > MOST:
            self.remove(silent[0]).close()

    def carries(self, connection: Connection) -> bool:
        """Whether it was the last one known to have some session; a claim without success elsewhere changes nothing."""
        return any(session.session_id and session.carrier == connection.number for session in self._traffic.book)

    def keep_or_close(self, connection: Connection) -> None:
        """It could not be joined. Where a claim has no answer it may have sessions: it is left like one that has."""
        if not connection.ended.is_set() and (connection.claims_out or self.carries(connection)):
            self.add(connection, "silence" if connection.usable else "stall")
        else:
            connection.close()

    def remove(self, connection: Connection) -> Connection:
        """It ended, or is good again."""
        connection.left_for = None
        self._connections.remove(connection)
        self._unknown_elsewhere.pop(connection, None)
        return connection

    def clear(self) -> None:
        """None of them has any session."""
        for connection in self:
            self.remove(connection)

    def good_again(self) -> Connection | None:
        """One that could take its place again: left by choice, or else the newest that spoke since."""
        usable = [connection for connection in reversed(self._connections) if connection.usable]
        chosen = (c for c in usable if c.left_for == "choice")
        spoke = (c for c in usable if c.left_for == "silence" and c.last_received > c.left_at)
        return next(chosen, None) or next(spoke, None)

    def unknown(self, session: JanusSession, to: Gateway) -> None:
        """Janus at that gateway's URL does not know the session.

        Where one of ours was opened for another URL, another Janus stands behind it, which would keep the session.
        """
        for connection in self._connections:
            if (
                session.session_id is not None
                and session.carrier == connection.number
                and connection.gateway.janus_url != to.janus_url
            ):
                self._unknown_elsewhere.setdefault(connection, []).append(session.session_id)

    def retire(self, nursery: trio.Nursery, heir: Connection) -> None:
        """``heir`` has the sessions: read those that carry none until their answers have come, then close them."""
        for connection in self:
            if not self.carries(connection):
                unknown = self._unknown_elsewhere.get(connection, [])
                nursery.start_soon(self._retire, self.remove(connection), heir, unknown)

    def behind_another_url(self, gateway: Gateway) -> list[tuple[JanusSession, Gateway]]:
        """The sessions that stayed where the row no longer points, and where that is."""
        old = {c.number: c.gateway for c in self._connections if c.gateway.janus_url != gateway.janus_url}
        return [(one, old[one.carrier]) for one in self._traffic.book if one.live and one.carrier in old]

    async def _retire(self, connection: Connection, heir: Connection, unknown: list[int]) -> None:
        traffic = self._traffic
        traffic.move(connection, heir)
        with trio.move_on_after(RETIRE):
            # Janus answers in turn: with this answer everything has come that it had queued for this connection.
            await traffic.own(connection, {"janus": "ping"}).wait()
            await connection.idle()
        destroys = [traffic.own(connection, {"janus": "destroy", "session_id": one}) for one in unknown]
        with trio.move_on_after(RETIRE):
            for call in destroys:
                await call.wait()
        traffic.move(connection, heir)
        traffic.lose(connection, "its connection was left and gave no answer")
        if self.carries(connection):  # a caller's create was on its way when the others were claimed
            if not connection.ended.is_set():
                self.add(connection, "choice")
            self._stranded()
        else:
            connection.close()
