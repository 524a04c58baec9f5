"""The order in which commands of another bridge are to reach Janus, though they came on several connections.

Owns which of them have arrived, by the numbers that their bridge gave them. Must not know what they are.
"""

from collections import OrderedDict, defaultdict
from typing import Final

import trio

REMEMBERED: Final = 65_536  # numbers
OVERTAKEN: Final = 1.0  # seconds that a command waits for one that was sent before it


class Arrivals:
    """``after``: the number of the one that is to go first; nothing, where there is none."""

    def __init__(self) -> None:
        self._arrived: OrderedDict[str, None] = OrderedDict()
        self._awaited: defaultdict[str, trio.Event] = defaultdict(trio.Event)

    def may_go(self, after: str) -> bool:
        """Whether nothing goes first."""
        return not after or after in self._arrived

    async def turn(self, after: str, patience: float) -> None:
        """Wait for the one that goes first, ``patience`` seconds at most; one that was lost on its way never comes."""
        if not self.may_go(after):
            try:
                with trio.move_on_after(min(patience, OVERTAKEN)):
                    await self._awaited[after].wait()
            finally:  # its caller may have left
                self._awaited.pop(after, None)

    def arrive(self, number: str) -> None:
        """That one has had its turn."""
        self._arrived[number] = None
        if len(self._arrived) > REMEMBERED:
            self._arrived.popitem(last=False)
        if (awaited := self._awaited.pop(number, None)) is not None:
            awaited.set()
