"""Bridges of one cluster in this process, with real links: only the table and the network between them are missing."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import trio

from bridge.core.cluster_side import ClusterSide
from bridge.core.commands_janus import janus_commands
from bridge.core.environment import LinkCluster
from bridge.core.fence import FOREVER, Fence
from bridge.core.fenced_requests import FencedRequests
from bridge.core.mi import Registry
from bridge.errors import PeerNotReached, PeerSilent
from bridge.protocol import codec
from bridge.protocol.caller import Caller, Role
from bridge.protocol.cluster import ALIVE, Life, Node, NodeSession, NodeState
from bridge.protocol.jsonrpc import Abandon, RpcError, TakeAnswer, render_request
from bridge.protocol.plugin_types import UNKNOWN
from tests.support.clusters import KeptSessions
from tests.support.deadlines import HANG_SECONDS
from tests.support.linkbed import LinkBed, running

CALLER = Caller(Role.EVERYTHING, "test")


class Site:
    """All bridges, by node_id. ``dead``: those that cannot be reached; ``mute``: those that take a request and say
    nothing, but that they are there; ``hanging``: those whose answers never come; ``silent``: those whose beat stands
    still; ``unread``: those that have begun since anybody looked; ``unreadable``: nobody can; ``idle``: those that
    were taken over; ``junk``: what is answered in place of a bridge's answers, by method.
    """

    def __init__(self) -> None:
        self.bridges: dict[int, Bridge] = {}
        self.dead: set[int] = set()
        self.mute: set[int] = set()
        self.hanging: set[int] = set()
        self.silent: set[int] = set()
        self.unread: set[int] = set()
        self.unreadable = False
        self.idle: set[int] = set()
        self.draining: set[int] = set()
        self.asked: list[tuple[int, str]] = []
        self.junk: dict[str, Any] = {}


class Bridge:
    """One bridge: a LinkBed, and the MI that callers and peers ask."""

    def __init__(self, site: Site, node_id: int) -> None:
        self.site = site
        self.node_id = node_id
        self.sessions = KeptSessions()
        self.delivered: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        self.hangs: Callable[[str, Sequence[Any]], bool] = lambda method, params: False  # at a question of a peer
        self.fence = Fence(trio.current_time)
        self.fence.move(FOREVER)
        self._next = node_id * 10_000_000_000
        cluster = LinkCluster(node_id, FencedRequests(self.fence), self.sessions, self._new_id)
        self.bed = LinkBed(start=f"node{node_id}", cluster=cluster)
        self.mi = Registry(self.bed.stats)
        self.side = ClusterSide(self.bed.environment, self.bed.registry, self, self.ask, self._drain, self._delivered)
        self.links = self.side.links
        self.mi.add(
            *janus_commands(self.bed.registry, self._no_table, HANG_SECONDS, lambda _: UNKNOWN, self.side.errands),
            *self.side.commands(lambda _: UNKNOWN),
        )

    def _new_id(self) -> int:
        self._next += 1
        return self._next

    async def _delivered(self) -> None:
        await self.delivered()

    async def _drain(self) -> None:
        self.site.draining.add(self.node_id)

    async def _no_table(self) -> Any:
        raise AssertionError

    # ClusterPeers

    def _node(self, node_id: int) -> Node:
        state = NodeState.DRAINING if node_id in self.site.draining else NodeState.ACTIVE
        return Node(node_id, f"node:{node_id}", node_id, 1, state)

    def living(self) -> list[Node]:
        unknown = (self.node_id, *self.site.silent, *self.site.unread, *self.site.idle)
        return [self._node(one) for one in self.site.bridges if one not in unknown]

    def silent(self) -> list[Node]:
        return [self._node(one) for one in self.site.silent]

    @property
    def life_of_ours(self) -> Life:
        return Life(self.node_id, self.node_id)

    async def reconcile(self) -> bool:
        if not self.site.unreadable:
            gateway = self.bed.registry.find("gw").gateway
            lost = [one for one in self.sessions.kept if one in self.sessions.others]
            self.links.lose([NodeSession(gateway.janus_id, gateway.janus_url, one, False) for one in lost])
        return not self.site.unreadable

    def idle(self) -> list[Node]:
        return [self._node(one) for one in self.site.idle]

    def all_known(self) -> bool:
        return not self.site.unread

    async def look(self) -> bool:
        if not self.site.unreadable:
            self.site.unread.clear()
        return not self.site.unreadable

    # AskPeer

    async def ask(self, url: str, method: str, params: Sequence[Any], patience: float) -> Any:
        node_id = int(url.partition(":")[2])
        self.site.asked.append((node_id, method))
        if node_id in self.site.dead:
            raise PeerNotReached(f"{url}: Connection refused")
        if method in self.site.junk:
            return self.site.junk[method]
        peer = self.site.bridges[node_id]
        if node_id in self.site.hanging or peer.hangs(method, params):
            await trio.sleep(patience)
            raise PeerSilent(f"{url}: no answer within {patience:g} s")
        # Who does not hang is in time, however long a busy machine takes.
        return await peer.call(method, *params, mute=node_id in self.site.mute and method != ALIVE)

    async def call(self, method: str, *params: Any, mute: bool = False) -> Any:
        """The result of an MI method here. Raises RpcError; PeerSilent where it is ``mute``."""
        answered = trio.Event()
        answers: list[bytes | None] = []

        def take(answer: bytes | None) -> None:
            answers.append(answer)
            answered.set()

        abandon = self.dispatch(render_request(method, list(params), "1"), take)
        if mute:
            raise PeerSilent("no answer")
        try:
            await answered.wait()
        finally:
            if abandon is not None:
                abandon()
        return _result(answers[0])

    def dispatch(self, body: bytes, take: TakeAnswer) -> Abandon | None:
        """Ask at once; ``take`` gets the answer."""
        return self.mi.dispatch(body, CALLER, take)

    async def send(self, janus: str, timeout: int = int(HANG_SECONDS * 1000), **members: Any) -> Any:
        """Janus's answer to a command of a caller."""
        return await self.call("janus_send_request", "gw", {"janus": janus, **members}, timeout)

    async def attach(self, plugin: str, **members: Any) -> str:
        answer = await self.send("attach", plugin=plugin, **members)
        return str(answer["data"]["id"])

    def node_sessions(self) -> list[NodeSession]:
        """What the table has of this bridge."""
        gateway = self.bed.registry.find("gw").gateway
        return [
            NodeSession(gateway.janus_id, gateway.janus_url, session_id, managed)
            for session_id, managed in self.sessions.kept.items()
        ]


def _result(answer: bytes | None) -> Any:
    assert answer is not None
    value = codec.parse(answer.decode())
    if "error" in value:
        error = value["error"]
        raise RpcError(error["code"], error["message"], error.get("data"))
    return value["result"]


@asynccontextmanager
async def running_bridge(site: Site, node_id: int, url: str, *more: str) -> AsyncIterator[Bridge]:
    """A bridge with one ready gateway, "gw", and ``more`` to the same Janus. At its end it is gone as by SIGKILL."""
    bridge = site.bridges[node_id] = Bridge(site, node_id)
    site.dead.discard(node_id)
    async with running(bridge.bed, dict.fromkeys(("gw", *more), url)), trio.open_nursery() as nursery:
        await nursery.start(bridge.mi.run)
        await nursery.start(bridge.side.run)
        for janus_id in ("gw", *more):
            await bridge.bed.ready(janus_id)
        yield bridge
        site.dead.add(node_id)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def running_site(url: str, count: int = 2, *more: str) -> AsyncIterator[list[Bridge]]:
    """Bridges 1 to ``count``, each with one ready gateway to the same Janus, and ``more``."""
    site = Site()
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_bridge(site, n, url, *more)) for n in range(1, count + 1)]
