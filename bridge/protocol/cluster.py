"""The words of a cluster of bridges: a node, its state, its word, a session of one.

Owns these values alone; what follows from them is decided in ``membership``. Authority: contract 11; the names are
those of OpenSIPS's clusterer.
"""

from enum import Enum, IntEnum
from typing import Final, NamedTuple

# The MI methods that bridges call at each other: whether a life goes on, that a process is over; where a session lives,
# a command for it, and its way from one bridge to another.
ALIVE: Final = "janus_cluster_alive"
RELEASED: Final = "janus_cluster_released"
FIND: Final = "janus_cluster_find"
SEND: Final = "janus_cluster_send"
TAKE: Final = "janus_cluster_take"
TAKEN: Final = "janus_cluster_taken"
BETWEEN_BRIDGES: Final = frozenset({ALIVE, RELEASED, FIND, SEND, TAKE, TAKEN})
NO_BRIDGE: Final = "its answer is not that of a bridge"  # of whoever answers at the URL of one

MOST_NODES = 1000  # node_ids are below it


def epoch_of(node_id: int, least: int) -> int:
    """The least epoch from ``least`` on that this node may choose, and no other one: it ends in the node_id, so that
    two that know nothing of each other never choose the same.
    """
    return least + (node_id - least) % MOST_NODES


class NodeState(IntEnum):
    """As it stands in the table ``janus_node``."""

    DRAINING = 0  # it hands its sessions over, and takes nobody else's while one is active
    ACTIVE = 1
    OVER = 2  # its process is over, and whatever sessions it left are still to be taken
    TAKEN = 3  # a peer has its sessions


class Start(Enum):
    """What becomes of a node that wants to begin a life."""

    ENTER = "nobody lives under this node_id"
    WAIT = "somebody may"
    TWIN = "somebody does"


class Word(Enum):
    """What a peer says when it is asked whether a life goes on."""

    ALIVE = "it will not take it over for node_timeout"
    OVER = "another one has its sessions"
    UNSURE = "it may be taking it over right now"


class Node(NamedTuple):
    """A bridge of the cluster, as the table has it. ``url``: its MI as peers reach it. ``epoch``: of this life, and of
    no other in the whole cluster; ``beat``: one more every ping_interval, a number and no time.
    """

    node_id: int
    url: str
    epoch: int
    beat: int
    state: NodeState

    @property
    def running(self) -> bool:
        """Whether it has not said, and nobody has found, that it is over."""
        return self.state in (NodeState.ACTIVE, NodeState.DRAINING)


class Life(NamedTuple):
    """One life of a node, and of no other."""

    node_id: int
    epoch: int


class Right(NamedTuple):
    """By what a session becomes ours in the table: it is ours or nobody's in any case; that of ``giver``, as long as it
    lives that life; ``anybody``'s, where Janus has just said so.
    """

    giver: Life | None = None
    anybody: bool = False


OWN = Right()


class NodeSession(NamedTuple):
    """A session at a Janus, of one node. With its id whoever reads it can claim and destroy it (contract 6.4)."""

    janus_id: str
    janus_url: str
    session_id: int
    managed: bool
