"""What hand-overs between bridges leave to be known of one gateway.

Owns these facts, of who gives and of who takes. Must not know how it is done: ``hand_over`` gives, ``commands_peers``
takes. Authority: contract 11.5.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bridge.core.timers import Timers
from bridge.core.withheld_events import WithheldEvents
from bridge.protocol.codec import JsonObject

if TYPE_CHECKING:
    from bridge.protocol.cluster import Node


class Transfer:
    """``given_to``: the bridge that has all its sessions, and gets what is new. ``claimer``: one that may be claiming
    what our connections carry, or has claimed it: until it has, the end of a connection could end what is its own.
    ``coming``: what is about to be this bridge's, and is not in its book yet.
    """

    def __init__(self, timers: Timers, raise_event: Callable[[str, JsonObject], None]) -> None:
        self.given_to: Node | None = None
        self.claimer: Node | None = None
        self.coming: Counter[int] = Counter()
        self._timers = timers
        self._raise_event = raise_event
        self.withheld: WithheldEvents | None = None  # of sessions that other bridges give

    @property
    def in_doubt(self) -> bool:
        """Whether nobody knows who has the sessions."""
        return self.claimer is not None and self.given_to is None

    def withhold(self, giver: int, session_ids: Iterable[int]) -> None:
        """These are on their way here: what is heard of them waits."""
        if self.withheld is None:
            self.withheld = WithheldEvents(self._timers, self._raise_event)
        self.withheld.begin(giver, session_ids)

    def delivered(self, giver: int) -> None:
        """What that bridge had heard of its own is delivered."""
        if self.withheld is not None:
            self.withheld.end(giver)
