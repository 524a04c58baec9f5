"""When a line about a trouble that lasts is due: once, and not again until the trouble is over or another.

Owns that decision for one trouble; what is said, where, and what time it is are the caller's. Below all of them,
``logs.LogHandler`` counts lines that are alike, whoever writes them.
"""

NEVER = float("-inf")


class Throttle:
    """``due`` whenever it is wrong, ``over`` when it is right again.

    ``pause``: seconds that lie between two lines at the least. ``repeat``: while it lasts, the same text is due again
    after each pause; else it is due once.
    """

    __slots__ = ("_at", "_pause", "_repeat", "held", "said")

    def __init__(self, pause: float = 0.0, *, repeat: bool = False) -> None:
        self.said: str | None = None  # the line that holds: the last one that was due; None when all is well
        self.held = 0  # how often ``due`` said no since then
        self._pause = pause
        self._repeat = repeat
        self._at = NEVER  # when a line was last due

    def due(self, text: str, now: float = 0.0, times: int = 1) -> int:
        """How many times it went wrong that a line with this ``text`` has to speak of; 0: say nothing now.

        ``now`` in seconds on any clock, the same one each time. ``times``: how many come to those that were held.
        """
        self.held += times
        if not self.held or (text == self.said and not self._repeat) or now - self._at < self._pause:
            return 0
        self.said, self._at = text, now
        return self.rest()

    def rest(self) -> int:
        """How many were held, for the last line there will be; from now on none are."""
        held, self.held = self.held, 0
        return held

    def over(self) -> str | None:
        """It is right again: what had been said of it, None if nothing was."""
        said, self.said, self.held = self.said, None, 0
        return said
