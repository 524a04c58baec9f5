"""The commands of one handle, one at a time.

Owns who may go and who waits (contract 5.4): Janus runs plugin messages on a pool of threads and would reorder them,
and lets a detach overtake a message. A lane is (session, handle); different lanes never wait for each other. A
``destroy`` waits for every lane of its session, and what comes after waits for it. Must not know connections or time.
"""

from collections import OrderedDict
from typing import TypeAlias

from bridge.core.pending import PendingRequest

# An ordered set: whoever gives up leaves from any place, and who was acknowledged leaves twice, without a search.
_Queue: TypeAlias = OrderedDict[PendingRequest, None]


class _Closing:
    """A session that a ``destroy`` waits for, or in which one goes."""

    __slots__ = ("destroy", "queue")

    def __init__(self) -> None:
        self.destroy: PendingRequest | None = None  # the one that goes
        self.queue: _Queue = OrderedDict()  # one that waits for the lanes, and everything after it


class Lanes:
    """``enter`` says whether a command may go now; ``leave`` returns those that may go next."""

    def __init__(self) -> None:
        self._going: dict[int, dict[int | None, PendingRequest]] = {}  # in each lane, by session and handle
        self._behind: dict[tuple[int, int | None], _Queue] = {}  # those that wait for it, where there are any
        self._closing: dict[int, _Closing] = {}  # sessions with a destroy: few, mostly none

    def enter(self, queued: PendingRequest) -> bool:
        """True: it may go. False: it waits, and a later ``leave`` will return it."""
        session_id, handle_id = queued.session_id, queued.handle_id
        if session_id is None or (handle_id is None and not queued.closes_session):
            return True
        closing = self._closing.get(session_id) if self._closing else None
        if closing is None:
            if not queued.closes_session:
                return self._enter_lane(session_id, queued)
            closing = self._closing[session_id] = _Closing()
            if session_id not in self._going:
                closing.destroy = queued
                return True
        closing.queue[queued] = None
        return False

    def _enter_lane(self, session_id: int, queued: PendingRequest) -> bool:
        """Nothing is in front of it but its own lane."""
        handle_id = queued.handle_id
        going = self._going.get(session_id)
        if going is None:
            self._going[session_id] = {handle_id: queued}
            return True
        if handle_id not in going:
            going[handle_id] = queued
            return True
        lane = session_id, handle_id
        behind = self._behind.get(lane)
        if behind is None:
            behind = self._behind[lane] = OrderedDict()
        behind[queued] = None
        return False

    def leave(self, queued: PendingRequest) -> list[PendingRequest]:
        """It was answered, or given up: in its lane or waiting for it. Returns those that may go now."""
        session_id, handle_id = queued.session_id, queued.handle_id
        if session_id is None:
            return []
        going = self._going.get(session_id)
        goes = going is not None and going.get(handle_id) is queued
        if self._behind:
            behind = self._behind.get((session_id, handle_id))
            if behind is not None and (goes or queued in behind):
                following = [self._next_in(session_id, handle_id, behind)] if goes else []
                behind.pop(queued, None)
                if not behind:
                    del self._behind[session_id, handle_id]
                return following
        if going is not None and goes:
            del going[handle_id]
            if not going:
                del self._going[session_id]
        closing = self._closing.get(session_id) if self._closing else None
        return [] if closing is None else self._advance(session_id, closing, queued)

    def _next_in(self, session_id: int, handle_id: int | None, behind: _Queue) -> PendingRequest:
        following, _ = behind.popitem(last=False)
        self._going[session_id][handle_id] = following
        return following

    def _advance(self, session_id: int, closing: _Closing, left: PendingRequest) -> list[PendingRequest]:
        """Let those behind a destroy move up, until the next destroy has to wait."""
        going: list[PendingRequest] = []
        queue = closing.queue
        queue.pop(left, None)
        if closing.destroy is left:
            closing.destroy = None
        while queue and closing.destroy is None:
            queued = next(iter(queue))
            if queued.closes_session:
                if session_id in self._going:
                    break
                closing.destroy = queued
                going.append(queued)
            elif self._enter_lane(session_id, queued):
                going.append(queued)
            del queue[queued]
        if not queue and closing.destroy is None:
            del self._closing[session_id]
        return going
