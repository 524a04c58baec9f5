"""Events of sessions that other bridges are handing over: they wait until the giver has delivered what it heard before.

Owns the sessions that are on their way, and their events, in order. Must not know who hands over. Without it a
subscriber of both bridges could hear the end of a call before its beginning. Authority: contract 11.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import trio

from bridge.protocol.codec import JsonObject

if TYPE_CHECKING:
    from bridge.core.timers import Timer, Timers

LONGEST = 5.0  # seconds after which they are raised whatever the giver says: it may have died
MOST = 65_536  # events that wait


class WithheldEvents:
    """``sessions``: the giver of each that is on its way, by its id as events have it: where wide integers are strings,
    as text.
    """

    def __init__(self, timers: "Timers", raise_event: Callable[[str, JsonObject], None]) -> None:
        self.sessions: dict[str, int] = {}
        self._timers = timers
        self._raise_event = raise_event
        self._events: list[tuple[str, JsonObject]] = []
        self._ends: dict[int, Timer] = {}  # by giver

    def begin(self, giver: int, session_ids: Iterable[int]) -> None:
        """These are on their way here."""
        self.sessions.update(dict.fromkeys(map(str, session_ids), giver))
        if giver in self._ends:
            self._ends[giver].cancel()
        self._ends[giver] = self._timers.call_at(trio.current_time() + LONGEST, partial(self.end, giver))

    def keeps(self, body: str, members: JsonObject) -> bool:
        """Whether this event has to wait; then it is kept."""
        if str(members.get("session_id")) not in self.sessions:
            return False
        self._events.append((body, members))
        if len(self._events) >= MOST:
            for giver in list(self._ends):
                self.end(giver)
        return True

    def end(self, giver: int) -> None:
        """What that one heard before is delivered: raise what was kept of its sessions."""
        end = self._ends.pop(giver, None)
        if end is not None:
            end.cancel()
        self.sessions = {session_id: other for session_id, other in self.sessions.items() if other != giver}
        events, self._events = self._events, []
        for body, members in events:
            if not self.keeps(body, members):
                self._raise_event(body, members)
