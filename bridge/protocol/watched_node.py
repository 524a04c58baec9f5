"""Another node's row as it was read again and again: for how long it has stood still, and who moved it last.

Owns what was seen of one row. It stands still for as long as it was watched and seen unchanged; what passed while the
table could not be read, or was not (by a process that was stopped, or suspended), was not watched. Must not know what
follows (``membership``), or any clock: ``now`` and ``asked_at`` are CLOCK_BOOTTIME in seconds. Authority: contract 11.
"""

from dataclasses import dataclass

from bridge.protocol.cluster import Node, NodeState

NEVER = float("-inf")


@dataclass(slots=True)
class WatchedNode:
    """``still``: seconds that its row was watched without a change, up to ``seen_at``, of which there were ``changes``,
    the last of its own making at ``moved_at``. ``unanswered_at``: when its MI was asked since, in vain. ``taking``: we
    may have its sessions by now. ``owed``: those are not all, perhaps. ``searched``: what it wrote last, which the
    database may commit late, was looked for. ``taken``: when another one took it over last, and when it had moved
    before.
    """

    node: Node
    moved_at: float
    seen_at: float = NEVER
    still: float = 0.0
    changes: int = 0
    unanswered_at: float = NEVER
    taking: bool = False
    owed: bool = False
    searched: bool = False
    taken: tuple[float, float] = NEVER, NEVER

    def seen(self, node: Node, asked_at: float, now: float, most: float) -> None:
        """Its row as it was read; ``most``: seconds since it was read last that may count, as it was watched. What it
        was before, as another host of the database may have it still, says nothing.
        """
        if _age(node) < _age(self.node):
            return
        if node == self.node:
            self.still += min(max(asked_at - self.seen_at, 0.0), most)
            self.seen_at = max(self.seen_at, asked_at)
            return
        if node.running:  # else others may say so of it
            self.moved_at = now
        elif node.epoch != self.node.epoch and not self.taking:  # who takes over raises it
            self.taken = now, self.moved_at
        self.node, self.still, self.seen_at, self.unanswered_at = node, 0.0, now, NEVER
        self.owed = self.taking and node.state is NodeState.TAKEN
        self.taking = self.searched = False
        self.changes += 1


def _age(node: Node) -> tuple[int, int, bool]:
    """Of its rows, the later has the larger: a beat is one more, a new life has a larger epoch, and the word that one
    is over comes without a beat.
    """
    return node.epoch, node.beat, not node.running
