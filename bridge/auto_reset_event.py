"""The event that trio has not: one that is unset again when a waiter wakes.

Owns that a ``set`` between two waits is never missed. What is waited for is "there is something to look at": each task
that waits looks again.
"""

import trio


class AutoResetEvent:
    """``set`` wakes all that wait, or lets the next ``wait`` return at once; twice before that is the same as once."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """There is something to do."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for a ``set`` since the last wait returned. Cancelled, it leaves the event as it is."""
        event = self._event
        await event.wait()
        if event is self._event:
            self._event = trio.Event()
