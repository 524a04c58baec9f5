"""The fence of a cluster: until when this bridge may write to a Janus, and until when it may claim and destroy.

Owns the two deadlines and who waits for them. They are on CLOCK_BOOTTIME, which goes on while the machine is suspended:
a process that was stopped for long finds the fence closed when it goes on, before anybody has told it anything. Must
not know why a deadline moves (``cluster`` moves it). Authority: contract 11.

Janus is no fence: who lost a session may go on with it, and even claim it back (observed on 1.1.2).
"""

from collections.abc import Callable

import trio

FOREVER = float("inf")
CLOSED = float("-inf")


class Fence:
    """``clock`` gives CLOCK_BOOTTIME in seconds.

    ``open()`` is for whatever is written to a Janus, ``valid()`` for claims and for the end of sessions. What is valid
    is open; with ``db_outage = "serve"`` the reverse does not hold. Without a cluster there is no Fence.
    """

    __slots__ = ("_changed", "_clock", "deadline", "valid_until")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.deadline = CLOSED
        self.valid_until = CLOSED
        self._changed: trio.Event | None = None  # None: nobody waits

    def open(self) -> bool:
        """Whether anything may be written now."""
        return self._clock() < self.deadline

    def valid(self) -> bool:
        """Whether sessions may be claimed and destroyed now."""
        return self._clock() < self.valid_until

    async def opened(self) -> None:
        """Wait until something may be written."""
        while not self.open():
            await self._change()

    async def validated(self) -> None:
        """Wait until sessions may be claimed and destroyed."""
        while not self.valid():
            await self._change()

    def move(self, valid_until: float, deadline: float = CLOSED) -> None:
        """Sessions may be claimed until then, and written to as long, or until ``deadline`` where that is later."""
        self.valid_until = valid_until
        self.deadline = max(valid_until, deadline)
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()
