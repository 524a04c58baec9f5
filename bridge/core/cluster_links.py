"""All links, as the cluster sees them: who adopts the sessions of a bridge that is over, and gives up its own.

Owns what is claimed where, and how it is told. Must not know who decides that a bridge is over (``cluster``).
Authority: contract 11. It is the ``ClusterLinks`` of cluster_faces.py.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence

import trio

from bridge.core.link import JanusLink
from bridge.core.registry import LinkRegistry
from bridge.protocol.cluster import NodeSession
from bridge.protocol.gateway import Gateway
from bridge.protocol.humanize import plural
from bridge.protocol.session import JanusSession, SavedSession

log = logging.getLogger("bridge.cluster")

PATIENCE = 10.0  # seconds for the answers to claims; what has none then is claimed later
TURN = 16  # gateways whose claims go out before other tasks run


class AdoptingLinks:
    """``node_id`` is this bridge's."""

    def __init__(self, registry: LinkRegistry, node_id: int) -> None:
        self._registry = registry
        self._node_id = node_id

    async def adopt(self, node_id: int, sessions: Sequence[NodeSession], silent_for: float) -> int:
        """Claim the sessions of a bridge that is over; returns how many live here. ``silent_for``: seconds since its
        last sign of life. Of a gateway that is down they are claimed when it is back.
        """
        began = trio.current_time() - silent_for
        rows: defaultdict[tuple[str, str], list[SavedSession]] = defaultdict(list)
        for one in sessions:
            rows[one.janus_id, one.janus_url].append(SavedSession(one.session_id, one.managed))
        counts: list[int] = []
        async with trio.open_nursery() as nursery:
            for number, (row, records) in enumerate(rows.items(), 1):
                gateway = Gateway(0, *row, None)
                nursery.start_soon(self._adopt, node_id, gateway, records, began, counts)
                if number % TURN == 0:
                    await trio.lowlevel.checkpoint()
        return sum(counts)

    async def _adopt(
        self, node_id: int, gateway: Gateway, records: list[SavedSession], began: float, counts: list[int]
    ) -> None:
        link = self._registry.get(gateway.janus_id)
        if link is None or link.gateway.janus_url != gateway.janus_url or link.gateway.fault is not None:
            text = "%s: node %d had %s at %s, which no row here leads to: nothing is claimed there"
            log.warning(text, gateway.janus_id, node_id, plural(len(records), "session"), gateway.told_url)
            self._registry.left_behind(gateway, records)
            return
        alive = sum(session.live for session in await link.inherit(node_id, records, PATIENCE))
        counts.append(alive)
        link.status.taken_over(node_id, alive, f"node {node_id} is over")
        link.status.gap(trio.current_time() - began)

    def give_up(self, reason: str) -> None:
        """All sessions are a peer's: they are forgotten without a word to Janus that ends them, and new ones made."""
        for link in self._registry:
            self._give_up(link, [session for session in link.book if session.session_id is not None], reason)

    def lose(self, sessions: Sequence[NodeSession]) -> None:
        """As ``give_up``, of these alone."""
        lost = {(one.janus_id, one.janus_url, one.session_id) for one in sessions}
        for link in self._registry:
            row = link.gateway.janus_id, link.gateway.janus_url
            found = [one for one in link.book if (*row, one.session_id) in lost]
            if found:
                self._give_up(link, found, "the cluster's database has them as another node's")

    def _give_up(self, link: JanusLink, sessions: list[JanusSession], reason: str) -> None:
        link.give_up(sessions, reason)
        if sessions:
            link.status.taken_over(self._node_id, len(sessions), reason)
