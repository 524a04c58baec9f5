"""What an outlet of the log wants: now, and of what was there when it wanted more.

Owns that a subscription which is narrowed still gets what it was owed until then. Must not know cursors or time.
Authority: contract 12, 7.7; a queue in memory keeps what it has, too.
"""

from typing import Final

from bridge.protocol.event_record import LARGEST, EventRecord, Names

MOST: Final = 16  # changes that are remembered, where an outlet is away meanwhile; the oldest is let go


class WantedEvents:
    """``is_mi``: the outlet is an OpenSIPS, which gets back nothing that MI raised."""

    def __init__(self, *, is_mi: bool) -> None:
        self._is_mi = is_mi
        self._names: Names = {}
        self._before: list[tuple[int, Names]] = []  # each up to a position

    def restore(self, wanted: tuple[tuple[int, Names], ...]) -> None:
        """It is what was ``kept`` of it."""
        *self._before, (_, self._names) = wanted or ((0, {}),)

    def kept(self) -> tuple[tuple[int, Names], ...]:
        """What the next life of the bridge is to know."""
        return *self._before, (LARGEST, self._names)

    def change(self, names: Names, position: int, end: int) -> None:
        """These events from now on, each with its filter; the outlet has everything up to ``position``, and ``end`` is
        the newest one.
        """
        if names == self._names:
            return
        before = [*self._before, (end, self._names)] if self._names else self._before
        self._before = [one for one in before if one[0] > position][-MOST:]
        self._names = names

    def passes(self, record: EventRecord) -> bool:
        """Whether it wants this one, or did when it came."""
        if record.origin is None and self._is_mi:
            return False
        return _passes(self._names, record) or any(
            record.position <= upto and _passes(names, record) for upto, names in self._before
        )


def _passes(names: Names, record: EventRecord) -> bool:
    if record.name not in names:
        return False
    wanted = names[record.name]
    return wanted is None or wanted.passes(record.name, record.origin, record.message, None)
