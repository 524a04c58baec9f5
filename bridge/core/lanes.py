"""The commands of one handle, one at a time.

Owns who may go and who waits (contract 5.4): Janus runs plugin messages on a pool of threads and would reorder them,
and lets a detach overtake a message. A lane is (session, handle); different lanes never wait for each other. A
``destroy`` waits for every lane of its session, and what comes after waits for it. Must not know connections or time.
"""

from collections import OrderedDict
from typing import Generic, Protocol, TypeAlias, TypeVar


class Queued(Protocol):
    """What waits in a lane."""

    @property
    def session_id(self) -> int | None: ...

    @property
    def handle_id(self) -> int | None: ...

    @property
    def closes_session(self) -> bool: ...


Q = TypeVar("Q", bound=Queued)
# An ordered set: whoever gives up leaves from any place, and who was acknowledged leaves twice, without a search.
_Queue: TypeAlias = OrderedDict[Q, None]


class _Closing(Generic[Q]):
    """A session that a ``destroy`` waits for, or in which one goes."""

    __slots__ = ("destroy", "queue")

    def __init__(self) -> None:
        self.destroy: Q | None = None  # the one that goes
        self.queue: _Queue[Q] = OrderedDict()  # one that waits for the lanes, and everything after it


class Lanes(Generic[Q]):
    """``enter`` says whether a command may go now; ``leave`` returns those that may go next."""

    def __init__(self) -> None:
        self._going: dict[tuple[int, int | None], Q] = {}  # the one that goes in each lane
        self._behind: dict[tuple[int, int | None], _Queue[Q]] = {}  # those that wait for it, where there are any
        self._lanes: dict[int, int] = {}  # how many each session has
        self._closing: dict[int, _Closing[Q]] = {}  # sessions with a destroy: few, mostly none

    def enter(self, queued: Q) -> bool:
        """True: it may go. False: it waits, and a later ``leave`` will return it."""
        session_id = queued.session_id
        if session_id is None or (queued.handle_id is None and not queued.closes_session):
            return True
        closing = self._closing.get(session_id)
        if closing is None:
            if not queued.closes_session:
                lane = session_id, queued.handle_id
                if lane in self._going:
                    return self._enter_lane(session_id, queued)
                self._going[lane] = queued  # as nearly always
                self._lanes[session_id] = self._lanes.get(session_id, 0) + 1
                return True
            closing = self._closing[session_id] = _Closing()
            if session_id not in self._lanes:
                closing.destroy = queued
                return True
        closing.queue[queued] = None
        return False

    def _enter_lane(self, session_id: int, queued: Q) -> bool:
        """Nothing is in front of it but its own lane."""
        lane = session_id, queued.handle_id
        if lane not in self._going:
            self._going[lane] = queued
            self._lanes[session_id] = self._lanes.get(session_id, 0) + 1
            return True
        behind = self._behind.get(lane)
        if behind is None:
            behind = self._behind[lane] = OrderedDict()
        behind[queued] = None
        return False

    def leave(self, queued: Q) -> list[Q]:
        """It was answered, or given up: in its lane or waiting for it. Returns those that may go now."""
        session_id = queued.session_id
        if session_id is None:
            return []
        lane = session_id, queued.handle_id
        behind = self._behind.get(lane)
        goes = self._going.get(lane) is queued
        if goes and behind is None:
            del self._going[lane]
            lanes = self._lanes[session_id] = self._lanes[session_id] - 1
            if not lanes:
                del self._lanes[session_id]
        elif behind is not None and (goes or queued in behind):
            following = [self._next_in(lane, behind)] if goes else []
            behind.pop(queued, None)
            if not behind:
                del self._behind[lane]
            return following
        closing = self._closing.get(session_id)
        return [] if closing is None else self._advance(session_id, closing, queued)

    def _next_in(self, lane: tuple[int, int | None], behind: _Queue[Q]) -> Q:
        following, _ = behind.popitem(last=False)
        self._going[lane] = following
        return following

    def _advance(self, session_id: int, closing: _Closing[Q], left: Q) -> list[Q]:
        """Let those behind a destroy move up, until the next destroy has to wait."""
        going: list[Q] = []
        queue = closing.queue
        queue.pop(left, None)
        if closing.destroy is left:
            closing.destroy = None
        while queue and closing.destroy is None:
            queued = next(iter(queue))
            if queued.closes_session:
                if session_id in self._lanes:
                    break
                closing.destroy = queued
                going.append(queued)
            elif self._enter_lane(session_id, queued):
                going.append(queued)
            del queue[queued]
        if not queue and closing.destroy is None:
            del self._closing[session_id]
        return going
