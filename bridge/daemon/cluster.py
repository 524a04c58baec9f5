"""A cluster's parts, where the configuration has one: the tables, the life of this node, the other bridges.

Owns which part gets which, and the order in which the cluster begins and ends beside the service. Must not know what a
beat or a take-over is. Authority: contract 11.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from bridge.config import Config
from bridge.core.cluster import Cluster
from bridge.core.cluster_faces import ClusterLinks, NodeSettings
from bridge.core.cluster_life import NodeLife
from bridge.core.cluster_sessions import SessionKeeper
from bridge.core.cluster_side import ClusterSide
from bridge.core.evi import EventInterface
from bridge.core.fence import Fence
from bridge.core.registry import LinkRegistry
from bridge.core.stats import Stats
from bridge.core.supervise import supervise
from bridge.daemon.database import cluster_database_of
from bridge.errors import ConfigError, ConnectFailed, TableRefused, TableUnavailable
from bridge.protocol.cluster import NodeSession
from bridge.protocol.gateway import Gateway
from bridge.protocol.roster import PATIENCE as SESSION_TIMEOUT
from bridge.protocol.session import SavedSession
from bridge.transport.cluster_db import ClusterDb
from bridge.transport.cluster_session_table import SessionTable
from bridge.transport.cluster_tables import NodeTable
from bridge.transport.epoch import take_epoch
from bridge.transport.fd_store import FdStore, base_of
from bridge.transport.node_file import NodeFile
from bridge.transport.peer_client import PeerClient
from bridge.transport.session_journal import SessionJournal
from bridge.transport.steady_clock import boottime
from bridge.transport.tls import client_context

log = logging.getLogger("bridge.cluster")

# Of node_timeout, for a visit to the database: a round of two is less than half of what a beat is worth.
PATIENCE = 0.15
LEAST_PATIENCE = 0.3  # seconds
HAND_OVER = 10.0  # seconds at a stop; the unit gives the whole of it TimeoutStopSec=
LEAVE = 2.0  # seconds for the database to hear that this bridge is over


@dataclass(frozen=True, slots=True)
class ClusterParts:
    """What there is of the cluster before there are links."""

    fence: Fence
    memory: NodeFile
    nodes: NodeTable
    sessions: SessionKeeper
    cluster: Cluster
    ask: PeerClient
    databases: tuple[ClusterDb, ...]

    @property
    def newest(self) -> int:
        """The largest epoch that this node had."""
        return max(self.memory.epochs, default=0)

    def lease(self) -> float:
        """Until which unix second this bridge may write to a Janus."""
        return time.time() + (self.fence.deadline - boottime())


@dataclass(frozen=True, slots=True)
class ClusterService:
    """A cluster beside the service: its parts, and what they add to the links."""

    parts: ClusterParts
    side: ClusterSide
    registry: LinkRegistry
    _away: set[tuple[str, str]] = field(default_factory=set)  # rows whose sessions nobody heard since the last process

    async def begin(self, evi: EventInterface, journal: SessionJournal, store: FdStore, epoch_file: Path) -> None:
        """Begin this node's life, before any session is claimed: they may be a peer's by now. Events have its epoch;
        where the database is away, that of the start. Raises TableRefused, WrongTableVersion, AnotherNode.
        """
        life = self.parts.cluster.life
        try:
            await self.parts.nodes.check()
        except TableRefused:
            raise
        except TableUnavailable:
            pass  # the next question has no answer either, and says so
        epoch, lost = await self.parts.cluster.begin(evi.epoch)
        if epoch is not None and epoch != evi.epoch:
            evi.begin(take_epoch(epoch_file, life=epoch))
        held = {one.base for one in store.held}
        if life.inherited_at_start:
            for one in lost:
                journal.save(Gateway(0, one.janus_id, one.janus_url, None), SavedSession.elsewhere(one.session_id))
            self._away.update((one.janus_id, one.janus_url) for one in _left(journal))
            self._away.difference_update({row for row in self._away if base_of(*row) in held})
        else:
            journal.forget()
            store.set_aside()

    async def run(self, first_table: trio.Event, store: FdStore) -> None:
        """Beat and watch until cancelled; what is adopted waits for the first table. What the last process left open to
        a Janus for a peer that took it over stays so until that has claimed it, or Janus has ended it: where Janus
        reclaims nothing, an end before would end the calls.
        """
        links = _LinksOfATable(self.side.links, first_table)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, self.parts.sessions.run, "the sessions in the cluster's database", log)
            nursery.start_soon(supervise, partial(self.parts.cluster.run, links), "the cluster", log)
            await first_table.wait()
            for link in self.registry:
                if (link.gateway.janus_id, link.gateway.janus_url) in self._away:
                    link.status.events_lost("this bridge was away")
            await trio.sleep(SESSION_TIMEOUT)
            store.end_aside()

    async def hand_over(self) -> None:
        """At a stop: to the peers, what they take."""
        self.parts.cluster.life.stopping = True
        await self.side.drain(HAND_OVER)

    async def leave(self) -> None:
        """At the end of a stop: whatever is still here, is to be taken."""
        with trio.move_on_after(LEAVE) as patience:
            await self.parts.cluster.leave()
        if patience.cancelled_caught:
            why = f"no answer within {LEAVE:g} s"
            log.warning("cannot tell the cluster's database that this bridge stops: %s", why)

    def close(self) -> None:
        """At the end of the process, within trio."""
        self.parts.ask.close()
        for database in self.parts.databases:
            database.close()


@dataclass(frozen=True, slots=True)
class _LinksOfATable:
    """ClusterLinks that have a link for each row."""

    links: ClusterLinks
    first_table: trio.Event

    async def adopt(self, node_id: int, sessions: Sequence[NodeSession], silent_for: float) -> int:
        began = trio.current_time()
        await self.first_table.wait()
        return await self.links.adopt(node_id, sessions, silent_for + trio.current_time() - began)

    def give_up(self, reason: str) -> None:
        self.links.give_up(reason)

    def lose(self, sessions: Sequence[NodeSession]) -> None:
        self.links.lose(sessions)


def cluster_of(config: Config, stats: Stats, journal: SessionJournal) -> ClusterParts | None:
    """None: this bridge is alone. ``journal`` has been loaded. Raises ConfigError for a CA file that cannot be used."""
    section = config.cluster
    cluster_id, node_id, url = section.cluster_id, section.my_node_id, section.my_node_url
    if cluster_id is None or node_id is None or url is None:
        return None
    patience = max(PATIENCE * section.node_timeout, LEAST_PATIENCE)

    def opened() -> ClusterDb:
        return ClusterDb(cluster_database_of(config, patience), patience)

    databases = opened(), opened()  # so that a beat never waits for sessions
    nodes = NodeTable(databases[0], cluster_id, node_id, config.janus.db_version_table)
    memory = NodeFile(config.state.dir, cluster_id, node_id)
    memory.load()
    try:
        tls = client_context(section.tls_ca, None, None)
    except ConnectFailed as exc:
        raise ConfigError(f"[cluster] {exc.reason}") from None
    ask = PeerClient(config.peers_token, tls)
    fence = Fence(boottime)
    sessions = SessionKeeper(SessionTable(databases[1], cluster_id, node_id), fence, _left(journal))
    settings = NodeSettings(
        cluster_id, node_id, str(url), section.ping_interval, section.node_timeout, section.db_outage == "serve"
    )
    life = NodeLife(settings, nodes, sessions, memory, ask, fence, stats, boottime)
    return ClusterParts(fence, memory, nodes, sessions, Cluster(life, nodes, stats, boottime), ask, databases)


def _left(journal: SessionJournal) -> list[NodeSession]:
    """What the last process left."""
    return [
        NodeSession(janus_id, janus_url, session.session_id, session.managed)
        for janus_id, janus_url in journal.gateways()
        for session in journal.saved(Gateway(0, janus_id, janus_url, None))
        if not session.ended
    ]
