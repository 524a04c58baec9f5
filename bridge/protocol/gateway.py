"""A gateway: one row of OpenSIPS's ``janus`` table.

Owns what a row means and which of them are usable (contract 4.5). Must not know where rows come from.
Authority: OpenSIPS ``scripts/*/janus-create.sql`` and the C module's reading of it (the last row of a janus_id wins).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.protocol.janus_url import JanusUrl, hide_user, without_user


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row as it stands in the table: ``id`` its key, ``janus_id`` and ``janus_url`` its texts."""

    id: int
    janus_id: str
    janus_url: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """A row that was understood. ``url`` is None and ``fault`` says why when the row is disabled."""

    id: int
    janus_id: str
    janus_url: str
    url: JanusUrl | None
    fault: str | None = None

    @property
    def shown_url(self) -> str:
        """The URL as it may be shown: without its query (contract 6.4), and without what looks like a password."""
        if self.url is not None:
            return str(self.url)
        return hide_user(self.janus_url).partition("?")[0]

    @property
    def told_url(self) -> str:
        """The URL as events have it: the table's text without its user:password@."""
        return without_user(self.janus_url)


def read_rows(rows: Iterable[TableRow]) -> tuple[dict[str, Gateway], list[str]]:
    """Gateways by janus_id, and a line of warning for each row that is bad or hidden by another.

    A bad row disables that row alone. Of rows with the same janus_id the one with the highest id wins.
    """
    gateways: dict[str, Gateway] = {}
    warnings: list[str] = []
    for row in sorted(rows, key=lambda row: row.id):
        if not row.janus_id or not row.janus_id.isprintable():
            warnings.append(f"row id={row.id}: janus_id {row.janus_id!r} is empty or unprintable; the row is disabled")
            continue
        hidden = gateways.get(row.janus_id)
        if hidden is not None:
            warnings.append(f"row id={hidden.id}: {row.janus_id!r} is also that of row id={row.id}, which wins")
        gateway = _read(row)
        if gateway.fault is not None:
            warnings.append(f"row id={row.id}: {gateway.fault}; the row is disabled")
        gateways[row.janus_id] = gateway
    return gateways, warnings


def _read(row: TableRow) -> Gateway:
    try:
        return Gateway(row.id, row.janus_id, row.janus_url, JanusUrl.parse(row.janus_url))
    except ValueError as exc:
        return Gateway(row.id, row.janus_id, row.janus_url, None, f"janus_url: {exc}")
