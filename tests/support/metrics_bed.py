"""The figures of a bridge whose parts work: its links, its events and its table."""

import time

import trio

from bridge.core.commands_core import Process
from bridge.core.event_sender import QueueLimits
from bridge.core.evi import EventInterface
from bridge.core.metrics import Budgets, MetricsCollector
from bridge.core.table import Table
from bridge.errors import TableUnavailable
from bridge.protocol.backoff import Backoff
from bridge.protocol.budget import Budget
from bridge.protocol.event_delivery import NotSent, Parcel
from bridge.protocol.gateway import TableRow
from bridge.protocol.snapshot import GatewaySnapshot, Room
from tests.support.linkbed import LinkBed


class Nowhere:
    """A sender that reaches nobody."""

    def try_send(self, parcel: Parcel) -> bool:
        return False

    async def send(self, parcel: Parcel, patience: float) -> None:
        await trio.lowlevel.checkpoint()
        raise NotSent("nobody is there")

    def close(self) -> None:
        pass


class MetricsBed:
    """The collector over the parts of a bed. ``rows`` is what the database answers, or why it does not."""

    def __init__(self, bed: LinkBed) -> None:
        self.bed = bed
        self.now = 5000.0
        self.rows: list[TableRow] | TableUnavailable = []
        self.budget, self.room = Budget(2**20), Room()
        self.evi = EventInterface(lambda socket: Nowhere(), bed.stats, QueueLimits(queue_events=2), clock=time.time)
        backoff = Backoff(1, 1, lambda low, high: low)
        self.table = Table(bed.registry, self.read, self.keep, backoff, lambda: self.now)
        process = Process("1.2.3", [], "/", 1, 4000.0, now=lambda: self.now)
        budgets = Budgets(self.budget, Budget(2**20), self.evi.pools)
        self.metrics = MetricsCollector(
            process, bed.stats, bed.registry, self.evi, self.table, budgets, lambda: self.room
        )

    async def read(self) -> list[TableRow]:
        await trio.lowlevel.checkpoint()
        if isinstance(self.rows, TableUnavailable):
            raise self.rows
        return self.rows

    async def keep(self, rows: list[TableRow]) -> None:
        await trio.lowlevel.checkpoint()

    def gateway(self, janus_id: str = "gw") -> GatewaySnapshot:
        [found] = [item for item in self.metrics.figures().gateways if item.janus_id == janus_id]
        return found
