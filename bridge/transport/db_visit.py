"""A visit to the database as seen from outside: how it is ended, and what it may bring at most.

Owns the limits, and the way to end work that is going on in a thread. Must not know engines or statements.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge.errors import TableRefused, TableUnavailable

MOST_ROWS = 65_536  # each gateway is a connection of its own: no site has as many
MOST_BYTES = 32 << 20  # of one answer: 20,000 rows of ordinary length have 2 MB


class Ending:
    """Whoever works in the thread says ``by`` what he can be interrupted; ``now`` does it, from any other thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interrupt: Callable[[], None] | None = None
        self._over = False

    def by(self, interrupt: Callable[[], None] | None) -> None:
        """What ends the work from here on; None: there is nothing to end. Raises TableUnavailable if it is over."""
        with self._lock:
            self._interrupt = interrupt
        if interrupt is not None:
            self.check()

    def check(self) -> None:
        """Raises TableUnavailable if the visit is over."""
        if self._over:
            raise TableUnavailable("given up")

    def keep(self, what: Callable[[], None]) -> bool:
        """The work is done and cannot be ended any more: do ``what``; False, and nothing is done, if it was over."""
        with self._lock:
            self._interrupt = None
            if not self._over:
                what()
            return not self._over

    def now(self) -> None:
        """The visit is over: whoever waited for it is gone."""
        with self._lock:
            self._over = True
            if self._interrupt is not None:
                self._interrupt()


@contextmanager
def ended_by(ending: Ending, interrupt: Callable[[], None]) -> Iterator[None]:
    """``interrupt`` ends what happens in the block; it is not called after it."""
    ending.by(interrupt)
    try:
        yield
    finally:
        ending.by(None)


def bounded(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """All rows, taken one by one. Raises TableRefused for more than a table may have."""
    found: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        size += sum(len(value) for value in row if isinstance(value, bytes | str))
        if len(found) >= MOST_ROWS:
            raise too_much(f"{MOST_ROWS:,} rows")
        if size > MOST_BYTES:
            raise too_much(f"{MOST_BYTES >> 20} MiB")
        found.append(row)
    return found


def too_much(limit: str) -> TableRefused:
    """The answer has more than ``limit``."""
    return TableRefused(f"the database answers with more than {limit}; this is not a table of Janus servers")
