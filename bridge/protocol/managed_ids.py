"""The ids of all sessions that the bridge manages, of every gateway.

Owns that set alone. Authority: contract 5.7: no command through one row may harm the managed session of another.
"""

from collections import Counter
from collections.abc import Iterator


class ManagedIds:
    """The ids of all managed sessions, as often as they are managed.

    A row that is removed and added again has two books for a moment: the one that ends must not set free what the other
    one has claimed.
    """

    def __init__(self) -> None:
        self._books: Counter[int] = Counter()

    def add(self, session_id: int) -> None:
        """A book manages it."""
        self._books[session_id] += 1

    def discard(self, session_id: int) -> None:
        """A book manages it no more."""
        self._books[session_id] -= 1
        if self._books[session_id] <= 0:
            del self._books[session_id]

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._books

    def __iter__(self) -> Iterator[int]:
        return iter(self._books)
