"""A cluster in memory: nodes that share a table, whose database, MI and processes fail as they are told to.

    site = MemorySite()
    async with site.running(1, 2) as (one, two): ...

A fake, for what real servers cannot be made to do at a given moment: an outcome that is lost, a peer that is cut off.
The loop's clock is CLOCK_BOOTTIME here.
"""

from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from bridge.core.cluster import Cluster
from bridge.core.cluster_faces import NodeSettings
from bridge.core.cluster_life import NodeLife
from bridge.core.cluster_sessions import SessionKeeper
from bridge.core.commands_cluster import cluster_commands
from bridge.core.fence import Fence
from bridge.core.mi import Registry
from bridge.core.stats import Stats
from bridge.errors import PeerNotReached, PeerRefused, TableRefused, TableUnavailable
from bridge.protocol.cluster import ALIVE, OWN, Node, NodeSession, NodeState, Right
from tests.support.callers import ask_by_name

PING, TIMEOUT = 1.0, 10.0
LONGEST = 2000  # sessions that a server writes in time


class MemoryNodes:
    """NodeStore and SessionStore of one node. ``away``: nothing is reached; ``hangs``: not in time; ``denied``: it may
    not enter; ``unsure``: what is done has no outcome, of these statements.
    """

    def __init__(self, site: "MemorySite", node_id: int) -> None:
        self._site = site
        self._me = node_id
        self.away = self.hangs = self.denied = False
        self.unsure: Container[str] = ()
        self.lags: dict[int, Node] | None = None
        self.commits = 0
        self.newest = 0

    async def nodes(self, *, as_of_now: bool = False) -> list[Node]:
        await self._reach()
        table = self._site.table if self.lags is None or as_of_now else self.lags
        self.newest = max((node.epoch for node in table.values()), default=0)
        return list(table.values())

    async def enter(self, url: str, epoch: int, seen: Node | None) -> int | None:
        await self._reach()
        if self.denied:
            raise TableRefused("INSERT command denied")
        newest = max((node.epoch for node in self._site.table.values()), default=0)
        if epoch <= newest or self._site.table.get(self._me) != seen:
            return None
        beat = 1 if seen is None else seen.beat + 1
        self._site.table[self._me] = Node(self._me, url, epoch, beat, NodeState.ACTIVE)
        self._done("enter")
        return beat

    async def beat(self, epoch: int, beat: int, state: NodeState) -> bool:
        await self._reach()
        row = self._site.table.get(self._me)
        counts = row is not None and (row.epoch, row.beat) == (epoch, beat)
        if row is not None and counts:
            self._site.table[self._me] = row._replace(beat=beat + 1, state=state)
        self._done("beat")
        return counts

    async def enter_again(self, url: str, epoch: int, beat: int, state: NodeState) -> bool:
        await self._reach()
        if self._me in self._site.table:
            return False
        self._site.table[self._me] = Node(self._me, url, epoch, beat + 1, state)
        self._done("enter_again")
        return True

    async def take(self, node: Node, epoch: int, beat: int) -> list[NodeSession] | None:
        await self._reach()
        table, mine = self._site.table, self._site.table[self._me]
        if table.get(node.node_id) != node or (mine.epoch, mine.beat) != (epoch, beat):
            return None
        table[self._me] = mine._replace(beat=beat + 1)
        newest = max(one.epoch for one in table.values())
        table[node.node_id] = node._replace(epoch=newest + 1, state=NodeState.TAKEN)
        sessions = [one for one, owner in self._site.sessions.items() if owner == node.node_id][: self._site.page]
        self._site.sessions |= dict.fromkeys(sessions, self._me)
        self._done("take")
        return sessions

    async def rest(self, node: Node, epoch: int) -> list[NodeSession]:
        await self._reach()
        mine = self._site.table[self._me]
        over = self._site.table[node.node_id]
        alike = mine.epoch == epoch and (over.epoch, over.state) == (node.epoch, NodeState.TAKEN)
        sessions = [one for one, owner in self._site.sessions.items() if alike and owner == node.node_id]
        sessions = sessions[: self._site.page]
        self._site.sessions |= dict.fromkeys(sessions, self._me)
        self._done("rest")
        return sessions

    async def release(self, epoch: int, state: NodeState) -> bool:
        await self._reach()
        row = self._site.table[self._me]
        self._site.table[self._me] = row._replace(state=state) if row.epoch == epoch else row
        self._done("release")
        return row.epoch == epoch

    async def write(self, sessions: Sequence[NodeSession], epoch: int, right: Right = OWN) -> list[NodeSession]:
        await self._reach()
        if self._site.table[self._me].epoch != epoch:
            raise TableUnavailable("another epoch")
        if len(sessions) > LONGEST:
            raise TableUnavailable("no answer in time")
        others = [one for one in sessions if not self._may_have(one, right)]
        self._site.sessions |= dict.fromkeys([one for one in sessions if one not in others], self._me)
        self._done("write")
        return others

    def _may_have(self, session: NodeSession, right: Right) -> bool:
        owner = self._site.sessions.get(session)
        if right.giver is not None and owner == right.giver.node_id:
            return self._site.table[owner].epoch == right.giver.epoch
        return right.anybody or owner in (None, self._me)

    async def end(self, sessions: Sequence[NodeSession]) -> None:
        await self._reach()
        for one in sessions:
            if self._site.sessions.get(one) == self._me:
                del self._site.sessions[one]
        self._done("end")

    async def ours(self) -> list[NodeSession]:
        await self._reach()
        return [one for one, owner in self._site.sessions.items() if owner == self._me]

    async def _reach(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep(1.5)
        if self.away or self.hangs:
            raise TableUnavailable("away")

    def _done(self, what: str) -> None:
        self.commits += 1
        if what in self.unsure:
            raise TableUnavailable("Lost connection during query")


class MemoryFile:
    """A NodeMemory."""

    def __init__(self) -> None:
        self.epochs: Sequence[int] = ()
        self.nodes: Sequence[Node] | None = None

    async def keep(self, epochs: Sequence[int], nodes: Sequence[Node]) -> None:
        self.epochs, self.nodes = list(epochs), list(nodes)


class MemoryLinks:
    """ClusterLinks that note what they are told; ``claiming``: seconds until the claims are answered."""

    def __init__(self) -> None:
        self.claiming = 0.0
        self.adopted: list[tuple[int, list[NodeSession], float]] = []
        self.given_up: list[str] = []
        self.lost: list[NodeSession] = []

    async def adopt(self, node_id: int, sessions: Sequence[NodeSession], silent_for: float) -> int:
        self.adopted.append((node_id, list(sessions), silent_for))
        await trio.sleep(self.claiming)
        return len(sessions)

    def give_up(self, reason: str) -> None:
        self.given_up.append(reason)

    def lose(self, sessions: Sequence[NodeSession]) -> None:
        self.lost += sessions


class MemoryNode:
    """One process. ``mi``: whether peers reach it, and it them."""

    def __init__(self, site: "MemorySite", node_id: int, memory: MemoryFile, *, serve: bool) -> None:
        self.site = site
        self.node_id = node_id
        self.table = MemoryNodes(site, node_id)
        self.memory = memory
        self.links = MemoryLinks()
        self.stats = Stats()
        self.mi = True
        self.fence = Fence(trio.current_time)
        self.sessions = SessionKeeper(self.table, self.fence)
        settings = NodeSettings(7, node_id, f"http://{node_id}/mi", PING, TIMEOUT, serve)
        self.life = NodeLife(
            settings, self.table, self.sessions, memory, self._ask, self.fence, self.stats, trio.current_time
        )
        self.cluster = Cluster(self.life, self.table, self.stats, trio.current_time)
        self.lost: list[NodeSession] = []  # of what the last process left
        self._scope = trio.CancelScope()

    async def start(self, least: int = 1) -> int | None:
        epoch, self.lost = await self.cluster.begin(least)
        return epoch

    async def run(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.sessions.run)
                nursery.start_soon(self.cluster.run, self.links)

    def kill(self) -> None:
        self._scope.cancel()
        self.mi = False

    async def _ask(self, url: str, method: str, params: Sequence[Any], patience: float) -> Any:
        assert method == ALIVE
        await trio.lowlevel.checkpoint()
        if url in self.site.refusing:
            raise PeerRefused("its answer is 401 Unauthorized")
        peer = next((one for one in self.site.nodes.values() if one.life.settings.url == url), None)
        if peer is None or not (peer.mi and self.mi):
            await trio.sleep(patience)
            raise PeerNotReached("cut off")
        registry = Registry()
        registry.add(*cluster_commands(peer.cluster))
        return await ask_by_name(registry, method, params)


class MemorySite:
    """The table, and who runs. ``files`` outlive the processes."""

    def __init__(self, *, serve: bool = False) -> None:
        self.table: dict[int, Node] = {}
        self.sessions: dict[NodeSession, int] = {}
        self.nodes: dict[int, MemoryNode] = {}
        self.files: dict[int, MemoryFile] = {}
        self.page = 100  # sessions that are taken at once
        self.refusing: set[str] = set()  # the URLs of MIs that do not know our token
        self._serve = serve

    def process(self, node_id: int) -> MemoryNode:
        """A new process of this node, not started."""
        memory = self.files.setdefault(node_id, MemoryFile())
        self.nodes[node_id] = MemoryNode(self, node_id, memory, serve=self._serve)
        return self.nodes[node_id]

    @asynccontextmanager
    async def running(self, *node_ids: int) -> AsyncIterator[list[MemoryNode]]:
        """These nodes, started; they end with the block."""
        async with trio.open_nursery() as nursery:
            made = [self.process(node_id) for node_id in node_ids]
            for node in made:
                await node.start()
                nursery.start_soon(node.run)
            await trio.sleep(2 * PING)
            yield made
            nursery.cancel_scope.cancel()
