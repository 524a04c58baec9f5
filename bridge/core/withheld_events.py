"""Events of sessions that another bridge is handing over: they wait until it has delivered what it heard before.

Owns the sessions that are on their way, and their events, in order. Must not know who hands over. Without it a
subscriber of both bridges could hear the end of a call before its beginning. Authority: contract 11.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import trio

from bridge.protocol.codec import JsonObject

if TYPE_CHECKING:
    from bridge.core.timers import Timer, Timers

LONGEST = 5.0  # seconds after which they are raised whatever the other bridge says: it may have died
MOST = 65_536  # events that wait


class WithheldEvents:
    """``sessions``: those that are on their way, as events name them: where wide integers are strings, as text."""

    def __init__(self, timers: "Timers", raise_event: Callable[[str, JsonObject], None]) -> None:
        self.sessions: set[str] = set()
        self._timers = timers
        self._raise_event = raise_event
        self._events: list[tuple[str, JsonObject]] = []
        self._timer: Timer | None = None

    def begin(self, session_ids: Iterable[int]) -> None:
        """These are on their way here."""
        self.sessions.update(map(str, session_ids))
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timers.call_at(trio.current_time() + LONGEST, self.end)

    def keeps(self, body: str, members: JsonObject) -> bool:
        """Whether this event has to wait; then it is kept."""
        if str(members.get("session_id")) not in self.sessions:
            return False
        self._events.append((body, members))
        if len(self._events) >= MOST:
            self.end()
        return True

    def end(self) -> None:
        """What was heard before is delivered: raise what was kept."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.sessions.clear()
        events, self._events = self._events, []
        for body, members in events:
            self._raise_event(body, members)
