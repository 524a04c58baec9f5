"""What one turn of the event loop may take of what clients sent, all of them together.

Owns the share of the present turn, and the order of those who wait for the next one. Must not know what is read.
"""

from typing import Final

import trio

TURN: Final = 65_536  # bytes: some ms of parsing where each of them is an element of JSON, or a request of its own


class Ration:
    """``draw`` before work is done on bytes. What is larger than a turn's share has a turn for itself."""

    def __init__(self, share: int = TURN) -> None:
        self._share = share
        self._left = share
        self._queue = trio.Lock()  # first come, first served
        self._refilled = trio.Event()

    async def draw(self, amount: int) -> None:
        """Wait, where this turn has nothing left; else go on at once, without a checkpoint."""
        if self._left <= 0 or self._queue.locked():
            async with self._queue:
                while self._left <= 0:
                    await self._refilled.wait()
                self._take(amount)
        else:
            self._take(amount)

    def _take(self, amount: int) -> None:
        if self._left == self._share:
            trio.lowlevel.spawn_system_task(self._refill)
        self._left -= amount

    async def _refill(self) -> None:
        await trio.lowlevel.checkpoint()
        self._left = self._share
        self._refilled.set()
        self._refilled = trio.Event()
