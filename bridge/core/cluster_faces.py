"""What the parts of a cluster are to each other.

Owns these interfaces alone: the links see sessions that are kept for peers, and the peers; the cluster sees links that
adopt and give up, and tables, a peer's MI and a file, whoever has them. Authority: contract 11.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.protocol.cluster import OWN, Life, Node, NodeSession, NodeState, Right
from bridge.protocol.gateway import Gateway
from bridge.protocol.session import SavedSession


class ClusterLinks(Protocol):
    """All links, as the cluster sees them."""

    async def adopt(self, node_id: int, sessions: Sequence[NodeSession], silent_for: float) -> int:
        """Claim the sessions of a node that is over, on our own connections; returns how many. Tells ``taken_over``
        and ``events_lost``; ``silent_for``: seconds since its last sign of life. For our own ``node_id``: sessions of
        an earlier life.
        """

    def give_up(self, reason: str) -> None:
        """All sessions are a peer's now: forget them without a word to Janus that ends them, and make new ones."""

    def lose(self, sessions: Sequence[NodeSession]) -> None:
        """As ``give_up``, of these alone: the table has them as another one's."""


class ClusterSessions(Protocol):
    """The sessions of this node, as peers find them when it dies."""

    async def reserve(self, gateway: Gateway, session_id: int, *, managed: bool, giver: Life | None = None) -> bool:
        """Before Janus hears of this id, or before it is claimed from ``giver``: in the database, or after a moment
        still on its way there. False: the database has it as another one's. Never raises.
        """

    def save(self, gateway: Gateway, session: SavedSession) -> None:
        """A session that came by another way, or its end; its handles are not kept here."""

    def let_go(self, gateway: Gateway, session_id: int, taker: Life | None = None) -> None:
        """A peer has it, and makes the row its own; that of ``taker`` may end before it has."""


class ClusterPeers(Protocol):
    """The other nodes, as far as they are known."""

    def living(self) -> list[Node]:
        """Those whose beat goes on."""

    def silent(self) -> list[Node]:
        """Those whose beat stands still and whose sessions nobody has taken yet."""

    def idle(self) -> list[Node]:
        """Those that neither live nor are silent, as far as is known: one may have begun anew where nobody reads it."""

    def all_known(self) -> bool:
        """Whether, although the table cannot be read, nobody lives who is in neither list: it was away for long enough
        that whoever began right before would have asked for our word.
        """

    async def look(self) -> bool:
        """Know those too that have begun since the last look; False where the database is away, so that nobody can."""

    @property
    def life_of_ours(self) -> Life | None:
        """None while there is none."""

    async def reconcile(self) -> bool:
        """Have what the table has of ours, and lose what it has of others; False where the database is away."""


class AskPeer(Protocol):
    """One MI request to a peer, over a connection that is kept."""

    async def __call__(self, url: str, method: str, params: Sequence[Any], patience: float) -> Any:
        """Its result. ``patience`` in seconds for everything. Raises PeerNotReached (nothing was sent; PeerRefused: it
        answers, and refuses), PeerSilent (it was sent, the outcome is unknown), RpcError (its answer).
        """


class NodeStore(Protocol):
    """The table of nodes. Everything raises TableUnavailable, and then nobody knows whether it was done. ``newest``:
    the largest epoch there, as it was read last.
    """

    newest: int

    async def nodes(self, *, as_of_now: bool = False) -> list[Node]:
        """All, ourselves too; ``as_of_now``: also what was committed at another host of the database a moment ago."""

    async def enter(self, url: str, epoch: int, seen: Node | None) -> int | None:
        """Begin a life; its beat, or None where it is otherwise than ``seen``."""

    async def beat(self, epoch: int, beat: int, state: NodeState) -> bool:
        """Make ours one more; False where it is otherwise."""

    async def enter_again(self, url: str, epoch: int, beat: int, state: NodeState) -> bool:
        """As ``beat``, of a life whose row is gone; False where there is one."""

    async def take(self, node: Node, epoch: int, beat: int) -> list[NodeSession] | None:
        """Take over another one, by our epoch and beat, which is one more then; None where it is otherwise. A page of
        its sessions: ``rest`` has more.
        """

    async def rest(self, node: Node, epoch: int) -> list[NodeSession]:
        """A page of what one has still that was taken over, also what was written late, ours now in the life of this
        epoch; empty where there is nothing more.
        """

    async def release(self, epoch: int, state: NodeState) -> bool:
        """End our life."""


class SessionStore(Protocol):
    """The table of sessions. Everything raises TableUnavailable, and may be done twice. A call takes as long as it has
    sessions: some thousand at most.
    """

    async def write(self, sessions: Sequence[NodeSession], epoch: int, right: Right = OWN) -> list[NodeSession]:
        """These are ours, as far as that is right, and as long as our life has this epoch; those that stay another
        one's.
        """

    async def end(self, sessions: Sequence[NodeSession]) -> None:
        """These are over, as far as they are ours."""

    async def ours(self) -> list[NodeSession]:
        """All that we have."""


class NodeMemory(Protocol):
    """What outlives the process: the epochs of which one is ours for certain, and the nodes that were known; None: it
    never was.
    """

    epochs: Sequence[int]
    nodes: Sequence[Node] | None

    async def keep(self, epochs: Sequence[int], nodes: Sequence[Node]) -> None:
        """On the disk once this returns; a failure is logged."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """``[cluster]``, in seconds. ``serve``: go on with open connections where no database and no peer is reached."""

    cluster_id: int
    node_id: int
    url: str
    ping_interval: float
    node_timeout: float
    serve: bool
