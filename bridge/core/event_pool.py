"""What all queues of events may hold together.

Owns the sums: one half is for configured sockets, the other for those that MI subscribed, so that no caller takes
anything from the first; of each half every queue has an equal share, so that a dead subscriber takes nothing from
another. Must not know events or sockets. Authority: ``[events] pending_bytes``; contract 7.4.
"""

from typing import Final

OVERHEAD: Final = 512  # bytes that an event takes in a queue beside its own


class Pool:
    """The queues of one kind. ``share`` is what each may hold of ``total`` now, ``used`` what all hold, in bytes."""

    def __init__(self, total: int) -> None:
        self.total = self.share = total
        self.used = 0
        self.refused = 0

    def divide(self, queues: int) -> None:
        """There are so many queues now. What they hold already stays."""
        self.share = self.total // max(queues, 1)


class Pools:
    """Both kinds. ``used``, ``total`` and ``refused`` as a Budget has them."""

    def __init__(self, total: int) -> None:
        self.configured, self.subscribed = Pool(total // 2), Pool(total // 2)
        self.total = total

    @property
    def used(self) -> int:
        return self.configured.used + self.subscribed.used

    @property
    def refused(self) -> int:
        return self.configured.refused + self.subscribed.refused
