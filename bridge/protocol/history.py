"""What became of a gateway's sessions and handles: the answer to "why did handle X die?".

Owns the words, and how much is remembered. Must not know the clock (``now`` is an argument) or who shows it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Final, NamedTuple

LENGTH: Final = 256  # entries of a gateway; a thousand busy gateways keep some 50 MiB
MAX_NAMED: Final = 1000  # handles of a lost session that are remembered by their ids

# What may happen -> what it means; there is nothing else.
HAPPENINGS: Final = {
    "connected": "the gateway is ready",
    "disconnected": "the gateway is not ready; `reason` says why",
    "session_created": "Janus made a session",
    "session_claimed": "a session of a caller was claimed through the bridge",
    "session_ended": "a session was destroyed on purpose",
    "session_lost": "Janus does not know the session, and so none of its handles",
    "handle_attached": "a handle was made",
    "handle_detached": "a handle is gone; `reason` says who ended it",
    "hangup": "the handle's PeerConnection is closed; the handle itself lives on",
}
BY_CALLER: Final = "by a caller"  # the reason where a command asked for it


class Happening(NamedTuple):
    """``handles``: those that a session had at its end. ``transaction``: the caller's, of the command that did it."""

    what: str
    session_id: int | None = None
    handle_id: int | None = None
    plugin: str | None = None
    reason: str = ""
    transaction: str | None = None
    handles: Collection[int] = ()

    def concerns(self, handle_id: int) -> bool:
        """Whether it tells something of this handle."""
        return handle_id == self.handle_id or handle_id in self.handles


Note = Callable[[Happening], None]


class History:
    """The last LENGTH entries of one gateway, each with the unix second at which it happened."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, Happening]] = deque(maxlen=LENGTH)

    def add(self, now: float, happening: Happening) -> None:
        """Remember it; the oldest entry makes room."""
        if len(happening.handles) > MAX_NAMED:
            happening = happening._replace(handles=frozenset(list(happening.handles)[:MAX_NAMED]))
        self._entries.append((now, happening))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[float, Happening]]:
        """The oldest first."""
        return iter(list(self._entries))

    def newest(self, most: int) -> Iterator[tuple[float, Happening]]:
        """The last entries, the newest first."""
        return islice(reversed(self._entries), most)

    def of(self, handle_id: int) -> Iterator[tuple[float, Happening]]:
        """What concerns one handle: its own entries, the end of its session, and the connection meanwhile."""
        mine = [(when, one) for when, one in self._entries if one.concerns(handle_id)]
        begun = mine[0][0] if mine else float("inf")
        return (
            (when, one)
            for when, one in list(self._entries)
            if one.concerns(handle_id) or (when >= begun and one.what in ("connected", "disconnected"))
        )
