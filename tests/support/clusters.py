"""A cluster as links see it, without a database: its clock stands still until a test moves it."""

from bridge.core.environment import LinkCluster
from bridge.core.fence import CLOSED, FOREVER, Fence
from bridge.core.fenced_requests import FencedRequests
from bridge.protocol.cluster import Life
from bridge.protocol.gateway import Gateway
from bridge.protocol.session import SavedSession

NODE = 1


class KeptSessions:
    """A ClusterSessions in memory. ``told``: what was reserved or saved, in its order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.kept: dict[int, bool] = {}  # id -> managed
        self.others: set[int] = set()  # that are another node's

    async def reserve(self, gateway: Gateway, session_id: int, *, managed: bool, giver: Life | None = None) -> bool:
        self.told.append(("reserve", session_id))
        if session_id in self.others:
            return False
        self.kept[session_id] = managed
        return True

    def save(self, gateway: Gateway, session: SavedSession) -> None:
        if session.gone:
            return
        self.told.append(("end" if session.ended else "save", session.session_id))
        if session.ended:
            self.kept.pop(session.session_id, None)
        else:
            self.kept[session.session_id] = session.managed

    def let_go(self, gateway: Gateway, session_id: int, taker: Life | None = None) -> None:
        self.told.append(("let go", session_id))
        self.kept.pop(session_id, None)


class ClusterBed:
    """``links`` is for a LinkBed. ``now`` is CLOCK_BOOTTIME; the fence is open at first."""

    def __init__(self, first: int = 5_000_000_001) -> None:
        self.now = 100.0
        self.sessions = KeptSessions()
        self.fence = Fence(lambda: self.now)
        self.fence.move(FOREVER)
        self._next = first - 1
        self.links = LinkCluster(NODE, FencedRequests(self.fence), self.sessions, self.new_id)

    def new_id(self) -> int:
        self._next += 1
        return self._next

    def close(self) -> None:
        """No beat for long."""
        self.fence.move(CLOSED)

    def open(self) -> None:
        """A beat."""
        self.fence.move(FOREVER)
