"""The event that trio has not: one that is unset again when its waiter wakes.

Owns that a ``set`` between two waits is never missed. For one waiting task: what it waits for is "there is work", and
it takes all there is.
"""

import trio


class AutoResetEvent:
    """``set`` wakes the waiter, or lets its next ``wait`` return at once; twice before that is the same as once."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """There is something to do."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for a ``set`` since the last wait returned. Cancelled, it leaves the event as it is."""
        await self._event.wait()
        self._event = trio.Event()
