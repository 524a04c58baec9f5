"""What a cluster adds to the links of a bridge, put together: who has what, who adopts, who hands over.

Owns the MI method janus_cluster_drain. Must not know tables or sockets. Authority: contract 11.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from bridge.core.cluster_faces import AskPeer, ClusterPeers
from bridge.core.cluster_links import AdoptingLinks
from bridge.core.commands_peers import peer_commands
from bridge.core.environment import LinkEnvironment
from bridge.core.errands import Errands
from bridge.core.hand_over import HandOver
from bridge.core.mi import Command, MiRequest
from bridge.core.offers import Offers
from bridge.core.registry import LinkRegistry
from bridge.core.whereabouts import Whereabouts
from bridge.protocol.caller import Role
from bridge.protocol.plugin_types import PluginTypes


class ClusterSide:
    """``links`` is the cluster's ClusterLinks, ``errands`` what janus_send_request needs."""

    def __init__(
        self,
        environment: LinkEnvironment,
        registry: LinkRegistry,
        peers: ClusterPeers,
        ask: AskPeer,
        draining: Callable[[], Awaitable[None]],
        delivered: Callable[[], Awaitable[None]],
    ) -> None:
        """``draining()`` tells the peers that this bridge takes nothing more; ``delivered()`` waits until the events
        that were raised are with their subscribers.
        """
        assert environment.cluster is not None, "it is one in a cluster"
        whereabouts = Whereabouts(peers, ask)
        offers = Offers(environment.cluster, whereabouts, peers, ask)
        self.errands = Errands(environment, environment.cluster, whereabouts, ask)
        self.links = AdoptingLinks(registry, environment.cluster.node_id)
        self._hand_over = HandOver(environment, registry, self.errands, offers, ask, delivered)
        self._environment = environment
        self._registry = registry
        self._draining = draining
        self._leaving = False

    def commands(self, types_of: Callable[[str], PluginTypes]) -> tuple[Command, ...]:
        """The MI methods. ``types_of(janus_id)`` says what the gateway's plugins take."""
        return (
            Command(
                "janus_cluster_drain",
                "janus_cluster:drain",
                ((),),
                self._drain_command,
                "Hands all sessions over to the other bridges of the cluster, without loss; commands go there from "
                "then on, until this bridge starts again.",
                "janus",
                Role.EVERYTHING,
            ),
            *peer_commands(self._registry, self._environment, self.errands, types_of, lambda: self._leaving),
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Host commands that need the cluster, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.errands.run)
            nursery.start_soon(self._hand_over.settle)
            task_status.started()

    async def drain(self, patience: float = math.inf) -> dict[str, Any]:
        """Hand over what a peer takes, within so many seconds. ``kept``: the gateways whose sessions stay here."""
        deadline = trio.current_time() + patience
        self._leaving = True
        with trio.move_on_at(deadline):
            await self._draining()
        outcome = await self._hand_over.run(deadline)
        return {"gateways": outcome.gateways, "sessions": outcome.sessions, "kept": outcome.kept}

    async def _drain_command(self, _call: MiRequest) -> Any:
        with trio.CancelScope(shield=True):  # whoever asked may wait no more: what has begun is done
            return await self.drain()
