"""SIGUSR2: the program replaces itself in place.

Owns when it does: once the new one has said that it would start. Must not know what is handed on, nor how.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from bridge.auto_reset_event import AutoResetEvent

log = logging.getLogger("bridge")


class Replacement:
    """``fault()`` says why a new program would not start, None where nothing speaks against it."""

    def __init__(self, fault: Callable[[], Awaitable[str | None]]) -> None:
        self._fault = fault
        self._asked = AutoResetEvent()
        self._deciding = trio.CancelScope()
        self.decided = False

    def ask(self) -> None:
        """Somebody wants it."""
        self._asked.set()

    async def run(self, end: trio.CancelScope) -> None:
        """Cancel ``end`` when the time has come for the program to end."""
        with self._deciding:
            while not self.decided:
                await self._asked.wait()
                fault = await self._fault()
                if fault is None:
                    self.decided = True
                    end.cancel()
                else:
                    log.error("SIGUSR2: the new program would not start, this one goes on: %s", fault)

    def stop(self) -> None:
        """The program ends anyhow."""
        self._deciding.cancel()
