"""When the task of a link looks again: the time of the next attempt, and what rouses it before.

Owns the pause between attempts. Must not know what an attempt is. Authority: contract 5.3 (back-off, its reset).
"""

import trio

from bridge.core.environment import LinkEnvironment
from bridge.protocol.backoff import Backoff

TRUSTED_AFTER = 10.0  # seconds that something has to last so that the back-off starts from the beginning again


class Pace:
    """One task waits here; anybody may rouse it."""

    def __init__(self, environment: LinkEnvironment) -> None:
        settings = environment.settings
        self._backoff = Backoff(settings.reconnect_min, settings.reconnect_max, environment.uniform)
        self._roused = trio.Event()
        self._not_before = 0.0  # when the next attempt may be made, trio's clock

    @property
    def failing(self) -> bool:
        """Whether an attempt failed, and nothing lasted since."""
        return self._backoff.failures > 0

    @property
    def due(self) -> bool:
        """Whether the next attempt may be made."""
        return trio.current_time() >= self._not_before

    def failed(self, *, refused: bool = False) -> None:
        """An attempt failed: the next one waits."""
        self._at_in(self._backoff.failed(trio.current_time(), refused=refused))

    def ended(self, since: float, *, served: bool = False) -> None:
        """What was good since then is over. If it did not last, that counts as failed: it may go on like that.

        ``served``: Janus answered in its sessions. Then the next attempt is due, though never much more than two a
        second: a peer may do that without end.
        """
        age = trio.current_time() - since
        if served:
            self._at_in(self._backoff.served() - age)
        elif age >= TRUSTED_AFTER:
            self.at_once()
        else:
            self.failed()

    def at_once(self) -> None:
        """Somebody asked for an attempt now, or there is every reason to hope."""
        self._backoff.reset()
        self._at_in(0)

    def _at_in(self, seconds: float) -> None:
        self._not_before = trio.current_time() + seconds
        self.rouse()

    def rouse(self) -> None:
        """There is something to look at."""
        self._roused.set()

    async def roused(self) -> None:
        """Wait until there is something to look at."""
        await self._roused.wait()
        self._roused = trio.Event()

    async def due_or_roused(self) -> None:
        """Wait until the next attempt may be made, or there is something to look at."""
        with trio.move_on_at(self._not_before):
            await self.roused()
