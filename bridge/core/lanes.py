"""The commands of one handle, one at a time.

Owns who may go and who waits (contract 5.4): Janus runs plugin messages on a pool of threads and would reorder them,
and lets a detach overtake a message. A lane is (session, handle); different lanes never wait for each other. A
``destroy`` waits for every lane of its session, and what comes after waits for it. Must not know connections or time.
"""

from collections import OrderedDict
from typing import Generic, Protocol, TypeAlias, TypeVar


class Queued(Protocol):
    """What travels in a lane."""

    @property
    def session_id(self) -> int | None: ...

    @property
    def handle_id(self) -> int | None: ...

    @property
    def closes_session(self) -> bool: ...


P = TypeVar("P", bound=Queued)
# An ordered set: whoever gives up leaves from any place, and who was acknowledged leaves twice, without a search.
_Queue: TypeAlias = OrderedDict[P, None]


class _SessionLanes(Generic[P]):
    __slots__ = ("behind", "closing", "lanes")

    def __init__(self) -> None:
        self.lanes: dict[int, _Queue[P]] = {}  # the first of each goes, the others wait
        self.closing: P | None = None  # the destroy that goes
        self.behind: _Queue[P] = OrderedDict()  # a destroy that waits for the lanes, and everything after it


class Lanes(Generic[P]):
    """``enter`` says whether a command may go now; ``leave`` returns those that may go next."""

    def __init__(self) -> None:
        self._sessions: dict[int, _SessionLanes[P]] = {}

    def enter(self, queued: P) -> bool:
        """True: it may go. False: it waits, and a later ``leave`` will return it."""
        session_id = queued.session_id
        if session_id is None or (queued.handle_id is None and not queued.closes_session):
            return True
        lanes = self._sessions.get(session_id)
        if lanes is None:
            lanes = self._sessions[session_id] = _SessionLanes()
        if lanes.behind or lanes.closing is not None or (queued.closes_session and lanes.lanes):
            lanes.behind[queued] = None
            return False
        return self._admit(lanes, queued)

    def _admit(self, lanes: _SessionLanes[P], queued: P) -> bool:
        """Nothing is in front of it but its own lane."""
        if queued.closes_session:
            lanes.closing = queued
            return True
        handle_id = queued.handle_id
        assert handle_id is not None
        lane = lanes.lanes.setdefault(handle_id, OrderedDict())
        lane[queued] = None
        return len(lane) == 1

    def leave(self, queued: P) -> list[P]:
        """It was answered, or given up: in its lane or waiting for it. Returns those that may go now."""
        lanes = self._sessions.get(queued.session_id) if queued.session_id is not None else None
        if lanes is None:
            return []
        going: list[P] = []
        if queued is lanes.closing:
            lanes.closing = None
        elif queued in lanes.behind:
            del lanes.behind[queued]
        elif queued.handle_id is not None:
            going = self._leave_lane(lanes, queued.handle_id, queued)
        going += self._advance(lanes)
        if not lanes.lanes and not lanes.behind and lanes.closing is None:
            del self._sessions[queued.session_id]  # type: ignore[arg-type]  # it was found under it
        return going

    def _leave_lane(self, lanes: _SessionLanes[P], handle_id: int, queued: P) -> list[P]:
        lane = lanes.lanes.get(handle_id)
        if lane is None or queued not in lane:
            return []
        first = next(iter(lane)) is queued
        del lane[queued]
        if not lane:
            del lanes.lanes[handle_id]
            return []
        return [next(iter(lane))] if first else []

    def _advance(self, lanes: _SessionLanes[P]) -> list[P]:
        """Let those behind a destroy move up, until the next destroy has to wait."""
        going: list[P] = []
        while lanes.behind and lanes.closing is None:
            queued = next(iter(lanes.behind))
            if queued.closes_session and lanes.lanes:
                break
            del lanes.behind[queued]
            if self._admit(lanes, queued):
                going.append(queued)
        return going
