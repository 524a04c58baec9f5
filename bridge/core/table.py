"""The janus table as the bridge lives with it: read at start and on demand, kept for a start without the database.

Owns when the table is read, and what holds when it cannot be (contract 4.1, 4.3, 4.4). Must not know databases or
files: both are passed in.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

import trio

from bridge.core.registry import TURN, LinkRegistry, TableChanges
from bridge.errors import TableUnavailable, WrongTableVersion
from bridge.protocol.backoff import Backoff
from bridge.protocol.gateway import Gateway, Rows, TableRow
from bridge.protocol.humanize import plural
from bridge.protocol.redaction import unchanged
from bridge.throttle import Throttle

if TYPE_CHECKING:
    from bridge.protocol.snapshot import Freshness

log = logging.getLogger("bridge.db")

MOST_WARNINGS = 20  # about rows, a reload
MOST_NAMES = 10  # of rows that were added, changed or removed, in a line

ReadRows: TypeAlias = Callable[[], Awaitable[list[TableRow]]]
Keep: TypeAlias = Callable[[list[TableRow]], Awaitable[None]]


class Table:
    """``rows()`` asks the database, ``keep(rows)`` saves a good answer, ``kept`` is what the last process saved.

    ``freshness`` says whether the gateways are what the database said when it was last asked, what it said before, or
    none: so a fresh table has no ``error``. ``poll_interval`` in seconds, 0: the table is read again only when told to.
    ``hide`` takes secrets out of the database's errors.
    """

    def __init__(
        self,
        registry: LinkRegistry,
        rows: ReadRows,
        keep: Keep,
        backoff: Backoff,
        wall: Callable[[], float],
        poll_interval: float = 0,
        hide: Callable[[str], str] = unchanged,
    ) -> None:
        self.freshness: Freshness = "none"
        self.read_at: float | None = None  # unix seconds of the database's last good answer
        self.error: str | None = None
        self.rows = rows
        self.poll_interval = poll_interval
        self._registry = registry
        self._keep = keep
        self._backoff = backoff
        self._wall = wall
        self._hide = hide
        self._lock = trio.Lock()
        self._warned: set[str] = set()
        self._trouble = Throttle()  # with the database
        self._answered = False  # the database, once in this life

    async def first(self, kept: Callable[[], tuple[list[TableRow], float] | None]) -> None:
        """The first attempt, at start. Raises WrongTableVersion: nothing but an upgrade of the table helps then.

        If it cannot be reached, what the last process kept is used meanwhile.
        """
        try:
            await self.reload()
        except WrongTableVersion:
            raise
        except TableUnavailable as exc:
            self._trouble.due(str(self.error))
            saved = kept()
            if saved is None:
                log.error("%s; no saved table either: no gateways until the database answers; retrying", exc)
                return
            rows, self.read_at = saved
            self.freshness = "stale"
            gateways, _ = await self._gateways(rows)
            await self._registry.reconcile_in_turns(gateways)
            log.error(
                "%s; using the last good table meanwhile, %s; retrying", exc, plural(len(self._registry), "gateway")
            )

    async def reload(self) -> tuple[TableChanges, list[str]]:
        """Read the table and act on the difference; also a line for each bad row. Raises TableUnavailable."""
        async with self._lock:  # two at once could end with the older answer
            try:
                rows = await self.rows()
            except TableUnavailable as exc:
                self.error = self._hide(str(exc))
                if self.freshness == "fresh":
                    self.freshness = "stale"
                    self._registry.news.set()
                raise
            self._trouble.over()
            if self.error is not None and self.freshness != "none":
                log.info("the janus table can be read again")
            self.freshness, self.read_at, self.error, self._answered = "fresh", self._wall(), None, True
            self._registry.news.set()
            gateways, faults = await self._gateways(rows)
            difference = await self._registry.reconcile_in_turns(gateways)
            if difference.added or difference.changed or difference.removed:
                log.info(
                    "janus table: %s, %s, %s, %d unchanged",
                    _named("added", difference.added),
                    _named("changed", difference.changed),
                    _named("removed", difference.removed),
                    len(difference.unchanged),
                )
            await self._keep(rows)
            return difference, faults

    async def _gateways(self, rows: list[TableRow]) -> tuple[dict[str, Gateway], list[str]]:
        read = Rows()
        for number, row in enumerate(sorted(rows, key=lambda row: row.order), 1):
            read.take(row)
            if number % TURN == 0:
                await trio.lowlevel.checkpoint()
        warnings = read.warnings if rows else ["it is empty: add a row with `janus-bridge db add`"]
        news = [warning for warning in warnings if warning not in self._warned]  # polling must not repeat them
        for warning in news[:MOST_WARNINGS]:
            log.warning("janus table: %s", warning)
        if len(news) > MOST_WARNINGS:
            log.warning(
                "janus table: %s bad or hidden; `janus-bridge check` names all",
                plural(len(news) - MOST_WARNINGS, "more row"),
            )
        self._warned = set(warnings)
        return read.gateways, read.warnings

    async def run(self) -> None:
        """Try until the database answered once, then read the table again every ``poll_interval``."""
        while True:
            if not self._answered:
                await trio.sleep(self._backoff.failed(trio.current_time(), refused=False))
            elif self.poll_interval:
                await trio.sleep(self.poll_interval)
            else:
                await trio.sleep_forever()
            await self._try()

    async def _try(self) -> None:
        try:
            await self.reload()
        except TableUnavailable as exc:
            if self._trouble.due(str(self.error)):
                log.error("%s; the gateways stay as they are; retrying", exc)


def _named(what: str, janus_ids: list[str]) -> str:
    """``2 added (gw1, gw2)``."""
    if not janus_ids:
        return f"0 {what}"
    more = len(janus_ids) - MOST_NAMES
    names = ", ".join(janus_ids[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"{len(janus_ids)} {what} ({names})"
