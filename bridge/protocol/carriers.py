"""Which connection has which session of one gateway: by the numbers of the connections that are open.

Owns where a session may live: on the connection that was the last to have it, and where a claim of it is out. Must not
know which sessions there are, nor what becomes of a connection.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bridge.protocol.gateway import Gateway
from bridge.protocol.session import JanusSession, SessionStep


class Carrier(NamedTuple):
    """An open connection: where it leads, its socket's number, and what may live there."""

    gateway: Gateway
    socket: int
    sessions: set[JanusSession]


class Carriers:
    """All open connections of a gateway."""

    def __init__(self) -> None:
        self._open: dict[int, Carrier] = {}

    def opened(self, number: int, gateway: Gateway, socket: int = 0) -> None:
        """That connection is open, to this gateway, by the socket with this number."""
        self._open[number] = Carrier(gateway, socket, set())

    def inherited(self, gateway: Gateway, sockets: Mapping[int, int], sessions: Iterable[JanusSession]) -> None:
        """Another process, or another life of the link, opened these connections, the oldest first, by these sockets.

        Each carries the sessions that are saved as living there, the newest whatever else there is. A session may live
        on any newer one as well: its claim may have gone out there, and the answer was not heard.
        """
        for number, socket in sockets.items():
            self.opened(number, gateway, socket)
        known = {socket: number for number, socket in sockets.items()}
        for session in sessions if sockets else ():
            if session.session_id is not None:
                session.carrier = known.get(session.socket, max(sockets))
                for number, socket in sockets.items():
                    if number == session.carrier or session.socket <= socket:
                        self.on(number).add(session)

    def confirmed(self, number: int) -> None:
        """Its Janus answers on that connection, and nobody has asked yet whether it knows them: what is saved as living
        there lives. Anything else that is there is still to be claimed: a claim may have been refused.
        """
        carrier = self.find(number)
        if carrier is None:
            return
        for session in carrier.sessions:
            if session.carrier == number and session.socket == carrier.socket:
                session.step(SessionStep.GRANT)

    def disown(self, number: int) -> None:
        """What that connection carries may live there still, but it will not say so: anybody's word counts."""
        for session in self.on(number):
            if session.carrier == number:
                session.step(SessionStep.DOUBT)
                session.carrier = None

    def cut(self, number: int) -> None:
        """The connection with that number ended, or was given up."""
        for session in self.on(number):
            if session.carried_by(number):
                session.step(SessionStep.DOUBT)
        self._open.pop(number, None)

    def find(self, number: int) -> Carrier | None:
        """The connection with that number, while it is open."""
        return self._open.get(number)

    def on(self, number: int) -> set[JanusSession]:
        """What may live on that connection. Of one that is not open, nothing is kept."""
        return self._open[number].sessions if number in self._open else set()

    def is_open(self, number: int | None) -> bool:
        """Whether the connection with this number is open."""
        return number in self._open

    def somewhere(self, session: JanusSession) -> bool:
        """Whether it may live on any that is open."""
        return any(session in carrier.sessions for carrier in self._open.values())

    def carries(self, number: int) -> bool:
        """Whether some session may live on that connection: it was the last to have it, or a claim has no answer."""
        return bool(self.on(number))

    def may_end(self, session: JanusSession, number: int) -> bool:
        """Whether that connection's word that a session is over counts: it may live there, or its carrier is gone."""
        return session in self.on(number) or not self.is_open(session.carrier)

    def misplaced(self, gateway: Gateway, sessions: Iterable[JanusSession]) -> list[JanusSession]:
        """Those of these that live behind another URL than this gateway's."""
        others = {number for number, carrier in self._open.items() if carrier.gateway.janus_url != gateway.janus_url}
        return [session for session in sessions if session.live and session.carrier in others]

    def remove(self, session: JanusSession) -> None:
        """It lives nowhere."""
        for carrier in self._open.values():
            carrier.sessions.discard(session)
