"""Wrong tokens, counted by client.

Owns the count of a minute, and when it is too much. Must not know requests or tokens. The right token is never among
what is counted, and is let in whatever the count: behind one address may be many.
"""

import time
from collections.abc import Callable
from typing import Final

TOO_MANY: Final = 60  # in a minute: a script with a typing error shows some, a guesser shows thousands
MINUTE: Final = 60.0  # seconds
_CLIENTS: Final = 1024  # that are remembered; the one that failed first is forgotten first


class FailedTokens:
    """``count`` each. ``clock`` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minutes: dict[str, tuple[float, int]] = {}  # client -> when its minute began, and how many since

    def count(self, client: str) -> int:
        """Count one more; how many the client showed in its minute."""
        now = self._clock()
        began, number = self._minutes.get(client, (now, 0))
        if now - began >= MINUTE:
            del self._minutes[client]
            began, number = now, 0
        self._minutes[client] = began, number + 1
        if len(self._minutes) > _CLIENTS:
            del self._minutes[next(iter(self._minutes))]
        return number + 1
