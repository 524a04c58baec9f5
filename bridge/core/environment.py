"""What all links share, handed to each at its birth.

Owns nothing but the list: settings as plain values, and the callables through which a link reaches the world.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.core.cluster_faces import ClusterSessions
from bridge.core.connection import Connect
from bridge.core.fence import Fence
from bridge.core.fenced_requests import FencedRequests
from bridge.core.stats import Stats
from bridge.core.timers import Timers
from bridge.protocol.codec import JsonObject
from bridge.protocol.gateway import Gateway
from bridge.protocol.managed_ids import ManagedIds
from bridge.protocol.redaction import unchanged
from bridge.protocol.session import SavedSession


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Times in seconds. ``wide_strings``: wide integers become strings in answers and events (contract 5.6)."""

    ping_interval: float = 5.0
    max_in_flight: int = 1024
    reconnect_min: float = 0.5
    reconnect_max: float = 15.0
    wide_strings: bool = True


@dataclass(frozen=True, slots=True)
class LinkCluster:
    """What links need of a cluster of bridges. ``new_id()`` is a session id that nobody has, and nobody can guess."""

    node_id: int
    fenced: FencedRequests
    sessions: ClusterSessions
    new_id: Callable[[], int]


@dataclass(frozen=True, slots=True)
class LinkEnvironment:
    """``start`` is random for each start of the bridge; ``uniform`` its random source; ``wall`` gives unix seconds.

    ``raise_event(gateway, body, members)`` and ``raise_status(gateway, status, reason, detail)`` lead to the Event
    Interface; ``wanted()`` says whether anybody subscribed to E_JANUS_EVENT. ``save(gateway, session)`` keeps a session
    for the next bridge process; ``sockets(gateway)`` are the numbers of those that the last one left open and that go
    on, the oldest first; ``ready(gateway)`` is told when all else that it left of its sessions is settled. ``news`` is
    set where a gateway may look different from outside.
    """

    start: str
    connect: Connect
    timers: Timers
    stats: Stats
    wanted: Callable[[], bool]
    raise_event: Callable[[Gateway, str, JsonObject], None]
    raise_status: Callable[[Gateway, str, str, str], None]
    save: Callable[[Gateway, SavedSession], None]
    uniform: Callable[[float, float], float]
    wall: Callable[[], float]
    sockets: Callable[[Gateway], Sequence[int]] = lambda gateway: ()
    ready: Callable[[Gateway], None] = lambda gateway: None
    hide: Callable[[str], str] = unchanged  # a text of Janus or of the network, without secrets
    settings: LinkSettings = field(default_factory=LinkSettings)
    news: AutoResetEvent = field(default_factory=AutoResetEvent)
    parsing: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))  # of long messages
    managed_ids: ManagedIds = field(default_factory=ManagedIds)  # of all gateways: see KnownSessions
    cluster: LinkCluster | None = None  # None: this bridge is alone

    @property
    def fence(self) -> Fence | None:
        """What says whether a Janus may be written to; None: it always may."""
        return None if self.cluster is None else self.cluster.fenced.fence
