"""The MI methods that bridges of a cluster call at each other: janus_cluster_find, _send, _take and _taken.

Owns their parameters and results. They are not for operators; whoever calls them has the role `everything`. Authority:
contract 11. janus_cluster_find says whether this bridge has a session or handle; _send executes a command here, and
goes no further, which is the mark that forbids a second hop; _take claims the sessions of a gateway that its bridge
hands over; _taken says that all events of theirs that it had heard are delivered.

Bridges of different releases understand each other: a parameter is only ever added, as the last one and with a default,
as is a member of a result; what cannot be said so is a new method.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from bridge.core.environment import LinkCluster, LinkEnvironment
from bridge.core.errand import Errand, Order
from bridge.core.errands import Errands
from bridge.core.link import JanusLink
from bridge.core.mi import Command, MiRequest
from bridge.core.registry import LinkRegistry
from bridge.core.whereabouts import Wanted
from bridge.errors import LinkDown, TakeOverPending, UnknownJanusId
from bridge.protocol import codec
from bridge.protocol.caller import Role
from bridge.protocol.cluster import FIND, SEND, TAKE, TAKEN, Life
from bridge.protocol.codec import JsonObject
from bridge.protocol.command import read_command
from bridge.protocol.janus import member_id
from bridge.protocol.numbers import read_decimal
from bridge.protocol.plugin_types import PluginTypes
from bridge.protocol.recipe import PeerParameter, Recipe, bad_type
from bridge.protocol.session import SavedSession, SessionState

PATIENCE = 5.0  # seconds for the claims of a hand-over


def peer_commands(
    registry: LinkRegistry,
    environment: LinkEnvironment,
    errands: Errands,
    types_of: Callable[[str], PluginTypes],
    leaving: Callable[[], bool],
) -> tuple[Command, ...]:
    """``types_of(janus_id)`` says what the gateway's plugins take (contract 5.6); ``leaving()`` whether this bridge
    hands its own sessions over.
    """
    methods = _PeerMethods(registry, environment, errands, types_of, leaving)
    janus_id = PeerParameter("janus_id")
    node = PeerParameter("node_id", "int")

    def command(name: str, recipe: Recipe, handler: Callable[[MiRequest], Any], words: str) -> Command:
        text = f"For the other bridges of the cluster: {words}"
        alias = name.replace("janus_cluster_", "janus_cluster:")
        return Command(name, alias, (recipe,), handler, text, "janus", Role.EVERYTHING)

    ids = (PeerParameter("session_id", default=""), PeerParameter("handle_id", default=""))
    order = (PeerParameter("number", default=""), PeerParameter("after", default=""))
    sent = (PeerParameter("janus_command", "json"), PeerParameter("timeout", "int"), *order)
    given = (
        node,
        PeerParameter("epoch", "int"),
        janus_id,
        PeerParameter("janus_url"),
        PeerParameter("sessions", "any"),
    )
    return (
        command(FIND, (janus_id, *ids), methods.find, "whether this one has a session or handle."),
        command(
            SEND,
            (janus_id, *sent, PeerParameter("notification", "int", 0)),
            methods.send,
            "executes a command here, and nowhere else.",
        ),
        command(TAKE, given, methods.take, "claims the sessions that one of them hands over."),
        command(TAKEN, (node, janus_id), methods.taken, "raises the events of these sessions from now on."),
    )


@dataclass(frozen=True, slots=True)
class _PeerMethods:
    registry: LinkRegistry
    environment: LinkEnvironment
    errands: Errands
    types_of: Callable[[str], PluginTypes]
    leaving: Callable[[], bool]

    async def find(self, call: MiRequest) -> Any:
        """{"here": whether it lives here, "node_id": where else, as far as is known}. 503 where that is not sure."""
        link = self.registry.get(call.arguments["janus_id"])
        if link is None:  # also at the end of a stop: what it had is handed over, or ends
            raise UnknownJanusId
        ids = [read_decimal(call.arguments[name], codec.INT64_MAX) for name in ("session_id", "handle_id")]
        if link.book.find(ids[0]) is None and link.transfer.coming[ids[0] or 0]:
            # Who offered it and waits no more would take it back, and it would be claimed here all the same.
            raise TakeOverPending("it is about to be claimed here")
        place = await self.errands.whereabouts.find_for_peer(link, Wanted(link.gateway.janus_id, *ids))
        return {"here": place.session_id is not None, "node_id": None if place.node is None else place.node.node_id}

    def send(self, call: MiRequest) -> Any:
        """Janus's answer, as that of janus_send_request. 421: it has no place here, nothing was sent."""
        arguments = call.arguments
        link = self.registry.find(arguments["janus_id"])
        value = arguments["janus_command"]
        command = read_command(value, self.types_of(link.gateway.janus_id), link.book.plugin_of, clean=call.clean)
        deadline = trio.current_time() + max(arguments["timeout"], 1) / 1000
        errand = Errand(call, link, command, value, deadline)
        errand.notification = bool(arguments["notification"])
        self.errands.accept(errand, Order(arguments["number"], arguments["after"]))
        return call.leave

    async def take(self, call: MiRequest) -> Any:
        """{"sessions": how many live here now, "claiming": how many are still to be claimed}. 503 where this bridge
        cannot claim them: it has none of them. What it has already by an answer that was lost is claimed once more.
        """
        arguments = call.arguments
        link, giver = self.registry.find(arguments["janus_id"]), Life(arguments["node_id"], arguments["epoch"])
        records = _records(arguments["sessions"])
        ids = [record.session_id for record in records]
        link.transfer.coming.update(ids)
        try:
            with trio.CancelScope(shield=True):  # whoever asked may wait no more: what has begun is done
                return await self._take(link, giver, arguments["janus_url"], records)
        finally:
            link.transfer.coming -= Counter(ids)

    async def _take(self, link: JanusLink, giver: Life, janus_url: str, records: list[SavedSession]) -> Any:
        cluster = self.environment.cluster
        if cluster is None:
            raise LinkDown("this bridge is in no cluster")
        # Who has one of them, by an answer that was lost, cannot refuse: that would mean that it has none.
        free = not any(link.book.find(record.session_id) for record in records)
        if free:
            self._able(cluster, link, janus_url)
        link.transfer.withhold(giver.node_id, (record.session_id for record in records))
        ours: list[SavedSession] = []

        async def reserve(record: SavedSession) -> None:
            if await cluster.sessions.reserve(link.gateway, record.session_id, managed=record.managed, giver=giver):
                ours.append(record)

        async with trio.open_nursery() as nursery:  # from now on they are this bridge's, whoever dies
            for record in records:
                nursery.start_soon(reserve, record)
        if free:
            try:
                self._able(cluster, link, janus_url)  # still
            except LinkDown:  # their rows are this bridge's, or will be: who hands over writes his own again
                for record in ours:
                    cluster.sessions.save(link.gateway, record._replace(ended=True))
                raise
        told = not all(link.book.find(record.session_id) for record in ours)
        sessions = await link.inherit(giver.node_id, ours, PATIENCE)
        alive = sum(session.live for session in sessions)
        if told:
            link.status.taken_over(giver.node_id, alive, f"node {giver.node_id} hands over")
        return {"sessions": alive, "claiming": sum(session.state is SessionState.ADRIFT for session in sessions)}

    def _able(self, cluster: LinkCluster, link: JanusLink, janus_url: str) -> None:
        """Raises LinkDown where it can take nothing."""
        if self.registry.get(link.gateway.janus_id) is not link:
            raise LinkDown("its row has changed here")
        if link.gateway.janus_url != janus_url:
            raise LinkDown("its row has another URL here")
        if self.leaving():
            raise LinkDown("this bridge is handing over its own sessions")
        if not cluster.fenced.fence.valid():
            raise LinkDown("this bridge has no valid beat")
        if link.shown_state != "ready":
            raise LinkDown(f"the gateway is not ready here: {link.roster.down_because}")

    def taken(self, call: MiRequest) -> Any:
        """What was heard before is delivered."""
        self.registry.find(call.arguments["janus_id"]).transfer.delivered(call.arguments["node_id"])
        return "OK"


def _records(value: Any) -> list[SavedSession]:
    """Raises RpcError (-32602) where it is no list of ``shown``."""
    try:
        return [_record(row) for row in value]
    except (TypeError, ValueError, KeyError, AttributeError):
        raise bad_type("sessions") from None


def _record(row: JsonObject) -> SavedSession:
    handles = [(int(handle), plugin) for handle, plugin in row.get("handles", {}).items()]
    session_id = member_id(int(row["session_id"]))
    if session_id is None or not all(isinstance(plugin, str | None) for _, plugin in handles):
        raise ValueError
    return SavedSession(session_id, bool(row["managed"]), handles=tuple(handles))


def shown(session_id: int, managed: bool, handles: dict[int, str | None]) -> JsonObject:
    """A session as janus_cluster_take has it: ids as text, {handle_id: plugin}."""
    return {"session_id": str(session_id), "managed": managed, "handles": {str(h): p for h, p in handles.items()}}
