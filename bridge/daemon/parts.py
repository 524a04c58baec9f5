"""Everything the process consists of, built from a configuration.

Owns the wiring: which part gets which callable of which other. Starts nothing.
"""

import os
import random
import secrets
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from bridge import __version__, logs
from bridge.config import Config, secrets_of
from bridge.core import commands_evi
from bridge.core.commands_cluster import cluster_commands
from bridge.core.commands_core import Process, core_commands
from bridge.core.commands_janus import janus_commands
from bridge.core.commands_maintenance import maintenance_commands
from bridge.core.commands_status import status_commands
from bridge.core.commands_store import store_commands
from bridge.core.environment import LinkCluster, LinkEnvironment, LinkSettings
from bridge.core.event_log_writer import LogWriter
from bridge.core.evi import EventInterface
from bridge.core.fenced_requests import FencedRequests
from bridge.core.metrics import Budgets, MetricsCollector
from bridge.core.mi import Registry
from bridge.core.registry import LinkRegistry
from bridge.core.stats import Stats
from bridge.core.table import ReadRows, Table
from bridge.core.timers import Timers
from bridge.daemon.database import database_of, secrets_of_rows
from bridge.daemon.events import EventParts
from bridge.daemon.gateways import Gateways
from bridge.daemon.held import HeldSockets
from bridge.protocol.backoff import Backoff
from bridge.protocol.budget import Budget
from bridge.protocol.event_payload import E_JANUS_EVENT
from bridge.protocol.gateway import Gateway, TableRow
from bridge.protocol.redaction import Redaction
from bridge.protocol.session import SavedSession
from bridge.transport.batch import Batch
from bridge.transport.cgroup import room
from bridge.transport.drained import DrainedGateways
from bridge.transport.fd_store import FdStore
from bridge.transport.saved_table import SavedTable
from bridge.transport.session_journal import SessionJournal
from bridge.transport.systemd import Notifier

if TYPE_CHECKING:
    from bridge.core.cluster_side import ClusterSide
    from bridge.daemon.cluster import ClusterParts, ClusterService

SESSION_BITS = 52  # of a session id, as Janus makes them
DELIVERED = 2.0  # seconds for events that were raised before a hand-over


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service starts, stops and reloads."""

    batch: Batch
    stats: Stats
    timers: Timers
    journal: SessionJournal
    events: EventParts
    evi: EventInterface
    log_writer: LogWriter | None
    gateways: Gateways
    held: HeldSockets
    links: LinkRegistry
    table: Table
    saved_table: SavedTable
    mi: Registry
    pending: Budget
    metrics: MetricsCollector
    cluster: "ClusterService | None"  # None: this bridge is alone


def build(config: Config, redaction: Redaction | None = None, store: FdStore | None = None) -> Parts:
    """All parts, not running yet. Reads nothing but what the state directory has of sessions, of drained gateways and
    of the last epoch. ``redaction`` learns the secrets of the configuration and of the table, and takes them out of
    whatever is shown. ``store`` keeps the sockets to Janus; None: they end with the process.
    """
    hide = redaction = redaction or Redaction()
    redaction.know("configuration", secrets_of(config))
    stats, timers = Stats(), Timers()
    journal = SessionJournal(config.state.dir / "sessions.jsonl")
    journal.load()
    cluster = None if config.cluster.cluster_id is None else _cluster(config, stats, journal)
    events = EventParts(config, stats, redaction, 0 if cluster is None else cluster.newest)
    evi, writer = events.evi, events.log_writer
    store = store or FdStore(Notifier({}), {})
    batch = Batch()

    def raise_status(gateway: Gateway, status: str, reason: str, detail: str) -> None:
        evi.gateway_status(gateway.janus_id, gateway.told_url, status, hide(reason), detail)

    def left_behind(gateway: Gateway) -> None:
        links.left_behind(gateway, journal.saved(gateway))

    def save(gateway: Gateway, session: SavedSession) -> None:
        journal.save(gateway, session)
        if cluster is not None:
            cluster.sessions.save(gateway, session)

    held = HeldSockets(store, raise_status, journal.gateways, journal.saved, left_behind)
    if cluster is None:
        gateways = Gateways(config, batch, held)
    else:
        gateways = Gateways(config, batch, held, cluster.lease, cluster.fence.open)
    environment = LinkEnvironment(
        start=secrets.token_hex(6),
        connect=gateways.connect,
        timers=timers,
        stats=stats,
        wanted=lambda: evi.wanted(E_JANUS_EVENT),
        raise_event=lambda gateway, *body: evi.gateway_event(gateway.janus_id, gateway.told_url, *body),
        raise_status=raise_status,
        save=save,
        sockets=held.sockets,
        ready=held.ready,
        uniform=random.uniform,
        wall=time.time,
        hide=hide,
        settings=link_settings(config),
        cluster=None if cluster is None else _link_cluster(cluster),
    )
    drained = DrainedGateways(config.state.dir / "drained.json")
    links = LinkRegistry(environment, gateways.credentials, journal.saved, drained.load())
    database = database_of(config)
    saved_table = SavedTable(config.state.dir / "table.json", *database.sources)
    retry = Backoff(1.0, 30.0, random.uniform)
    rows = noted(database.rows, redaction)

    async def keep(rows: list[TableRow]) -> None:
        if not links.stopping:  # then there are no links, and what is held is the next process's
            held.table(link.gateway for link in links)
        await saved_table.save(rows)

    table = Table(links, rows, keep, retry, time.time, config.janus.db_poll_interval, hide)
    side = None if cluster is None else _side(environment, links, cluster, evi)
    pending = Budget(config.mi.pending_bytes)
    mi = Registry(stats, pending, hide)
    process = Process(__version__, sys.argv, os.getcwd(), os.getpid(), time.time())
    mi.add(
        *core_commands(mi, stats, process),
        *janus_commands(
            links,
            table.reload,
            config.janus.janus_cmd_timeout / 1000,
            gateways.types,
            None if side is None else side.errands,
        ),
        *maintenance_commands(links, drained.save),
        *commands_evi.commands(evi, events.admit),
        *store_commands(writer),
    )
    budgets = Budgets(mi=pending, janus=gateways.unfinished, events=evi.pools)
    kept = None if writer is None else writer.figures
    view = None if cluster is None else cluster.cluster
    nodes = None if view is None else view.figures
    metrics = MetricsCollector(process, stats, links, evi, table, budgets, room, logs.dropped, kept, nodes)
    mi.add(*status_commands(metrics.figures), *cluster_commands(view))
    if side is not None:
        mi.add(*side.commands(gateways.types))
    return Parts(
        *(batch, stats, timers, journal, events, evi, writer, gateways, held, links, table),
        *(saved_table, mi, pending, metrics),
        None if cluster is None or side is None else _service(cluster, side, links),
    )


# What a bridge that is alone need not load is loaded here.


def _cluster(config: Config, stats: Stats, journal: SessionJournal) -> "ClusterParts | None":
    from bridge.daemon.cluster import cluster_of

    return cluster_of(config, stats, journal)


def _service(cluster: "ClusterParts", side: "ClusterSide", links: LinkRegistry) -> "ClusterService":
    from bridge.daemon.cluster import ClusterService

    return ClusterService(cluster, side, links)


def _link_cluster(cluster: "ClusterParts") -> LinkCluster:
    node_id = cluster.cluster.life.settings.node_id
    return LinkCluster(
        node_id, FencedRequests(cluster.fence), cluster.sessions, lambda: secrets.randbits(SESSION_BITS) + 1
    )


def _side(
    environment: LinkEnvironment, links: LinkRegistry, cluster: "ClusterParts", evi: EventInterface
) -> "ClusterSide":
    from bridge.core.cluster_side import ClusterSide

    async def delivered() -> None:
        await evi.drain(trio.current_time() + DELIVERED)

    return ClusterSide(environment, links, cluster.cluster, cluster.ask, cluster.cluster.draining, delivered)


def noted(rows: ReadRows, redaction: Redaction) -> ReadRows:
    """The rows, whose URLs may hold secrets, which are known from then on."""

    async def read() -> list[TableRow]:
        found = await rows()
        redaction.know("table", secrets_of_rows(found))
        return found

    return read


def link_settings(config: Config) -> LinkSettings:
    """The settings of all links, in seconds."""
    janus = config.janus
    return LinkSettings(
        ping_interval=janus.janus_ping_interval,
        max_in_flight=janus.max_in_flight,
        reconnect_min=janus.reconnect_min,
        reconnect_max=janus.reconnect_max,
        wide_strings=janus.wide_integers == "string",
    )
