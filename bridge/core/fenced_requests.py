"""The requests of all gateways that may not be written now, because the fence of the cluster is closed.

Owns their order, and when they go out after all. Must not know what becomes of a request: its time limit goes on, and
whoever gives it up says so. Authority: contract 11.
"""

from typing import Protocol

from bridge.auto_reset_event import AutoResetEvent
from bridge.core.fence import Fence
from bridge.core.pending import PendingRequest

_CHANGES_HANDS = ("claim", "destroy")  # what only a bridge with a valid beat may ask for


class FencedSender(Protocol):
    """The requests of one gateway."""

    def resume(self, pending: PendingRequest, number: int) -> None:
        """It may go now. ``number``: of the connection that it was to go out on."""


class FencedRequests:
    """``run`` must be running for what was kept to go out."""

    def __init__(self, fence: Fence) -> None:
        self.fence = fence
        self._kept: dict[PendingRequest, tuple[FencedSender, int]] = {}
        self._filled = AutoResetEvent()

    def __len__(self) -> int:
        return len(self._kept)

    def keeps(self, sender: FencedSender, pending: PendingRequest, number: int) -> bool:
        """Whether this request has to wait; then it is kept, and its ``sender`` told when it may go."""
        command = pending.command
        if self.fence.valid() if command.kind in _CHANGES_HANDS else self.fence.open():
            return False
        if not command.text:
            command.fold()
        self._kept[pending] = sender, number
        self._filled.set()
        return True

    def forget(self, pending: PendingRequest) -> None:
        """It is over: it was given up, or never kept."""
        self._kept.pop(pending, None)

    async def run(self) -> None:
        """Send what was kept, in its order, when that may be; until cancelled."""
        while True:
            await self._filled.wait()
            await self.fence.opened()
            self._resume()
            if self._kept:  # claims and the end of sessions may have to wait for longer
                await self.fence.validated()
                self._resume()

    def _resume(self) -> None:
        kept, self._kept = self._kept, {}
        for pending, (sender, number) in kept.items():
            if not pending.finished:
                sender.resume(pending, number)
