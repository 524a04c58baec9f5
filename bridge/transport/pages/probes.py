"""``/healthz`` and ``/readyz``: one line for a machine, more for a person.

Owns when the bridge is well and when it is ready (contract 8.1): never the state of one gateway, because taking the
bridge out of service would make nothing better. ``/healthz`` is for everybody, so it tells nothing.
"""

from collections.abc import Callable
from typing import Final

from bridge.protocol.humanize import duration
from bridge.protocol.snapshot import Snapshot, TableSnapshot
from bridge.transport.http_messages import Reply
from bridge.transport.pages.html import visible

TEXT: Final = b"text/plain; charset=utf-8"
NO_STORE: Final = b"Cache-Control: no-store\r\n"


def healthz(_query: bytes = b"") -> Reply:
    """The event loop answers: that is all it says."""
    return Reply(200, TEXT, b"ok\n", headers=NO_STORE)


class Ready:
    """Listeners are bound, or nobody could ask; so it is about the first load of the table."""

    def __init__(self, figures: Callable[[], Snapshot]) -> None:
        self._figures = figures

    def __call__(self, _query: bytes = b"") -> Reply:
        """200 or 503, and the reason."""
        table = self._figures().table
        verdict = "ready" if table.attempted else "not ready"
        text = f"{verdict}\ntable {_words(table)}\n"
        return Reply(200 if table.attempted else 503, TEXT, text.encode(), headers=NO_STORE)


def _words(table: TableSnapshot) -> str:
    if not table.attempted:
        return "none: it was not asked for yet"
    age = "" if table.age is None else f" (read {duration(table.age)} ago)"
    return f"{table.state}{age}" + ("" if table.error is None else f": {visible(table.error)}")
