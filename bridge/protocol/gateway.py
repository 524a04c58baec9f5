"""A gateway: one row of OpenSIPS's ``janus`` table.

Owns what a row means and which of them are usable (contract 4.5). Must not know where rows come from.
Authority: OpenSIPS ``scripts/*/janus-create.sql`` and the C module's reading of it (the last row of a janus_id wins).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.protocol.janus_url import JanusUrl, shown, told

# Characters. OpenSIPS's columns are of type TEXT and end nowhere near. An event carries both texts, in one datagram;
# of a URL, Janus reads a path and query of 2,048.
MAX_JANUS_ID = 255
MAX_JANUS_URL = 4096
_SHOWN = 64  # of either, in a warning


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row as it stands in the table: ``id`` its key, as text where it is none (NULL, a text, a negative number);
    ``janus_id`` and ``janus_url`` its texts, which may end behind the limit.
    """

    id: int | str
    janus_id: str
    janus_url: str

    @property
    def order(self) -> int:
        """Of rows with the same janus_id the last one in this order wins."""
        return -1 if isinstance(self.id, str) else self.id


@dataclass(frozen=True, slots=True)
class Gateway:
    """A row that was understood. ``url`` is None and ``fault`` says why when the row is disabled."""

    id: int | str
    janus_id: str
    janus_url: str
    url: JanusUrl | None
    fault: str | None = None

    @property
    def shown_url(self) -> str:
        """The URL as it may be shown: without its query (contract 6.4), and without what looks like a password."""
        return shown(self.janus_url) if self.url is None else str(self.url)

    @property
    def told_url(self) -> str:
        """The URL as events have it: the table's text without its user:password@ and its query."""
        return told(self.janus_url)


class Rows:
    """What the rows of a table mean, taken one by one in their order (``TableRow.order``).

    ``gateways`` by janus_id, and in ``warnings`` a line for each row that is bad or hidden by another. A bad row
    disables that row alone. Of rows with the same janus_id the one with the highest id wins.
    """

    def __init__(self) -> None:
        self.gateways: dict[str, Gateway] = {}
        self.warnings: list[str] = []

    def take(self, row: TableRow) -> None:
        """Understand one more row."""
        number = f"row id={_shown_id(row)}"
        name = f"{number}: {_cut(row.janus_id)!r}"
        if not row.janus_id or not row.janus_id.isprintable():
            self.warnings.append(
                f"{number}: janus_id {_cut(row.janus_id)!r} is empty or unprintable; the row is disabled"
            )
            return
        if len(row.janus_id) > MAX_JANUS_ID:
            self.warnings.append(f"{name}: the janus_id has more than {MAX_JANUS_ID} characters; the row is disabled")
            return
        hidden = self.gateways.get(row.janus_id)
        if hidden is not None:
            self.warnings.append(
                f"row id={_shown_id(hidden)}: {_cut(row.janus_id)!r} is also that of {number}, which wins"
            )
        gateway = _read(row)
        if gateway.fault is not None:
            self.warnings.append(f"{name}: {gateway.fault}; the row is disabled")
        self.gateways[row.janus_id] = gateway


def doubts(gateway: Gateway) -> Iterator[str]:
    """What works, or would, but is hardly what was meant."""
    if gateway.janus_id != gateway.janus_id.strip():
        yield f"the janus_id {_cut(gateway.janus_id)!r} begins or ends with a blank: so must each call that names it"
    if "," in gateway.janus_url:
        yield "the janus_url has a comma: a row is one Janus, a second one needs a row of its own"


def read_rows(rows: Iterable[TableRow]) -> tuple[dict[str, Gateway], list[str]]:
    """``Rows.gateways`` and ``Rows.warnings`` of a whole table."""
    read = Rows()
    for row in sorted(rows, key=lambda row: row.order):
        read.take(row)
    return read.gateways, read.warnings


def _read(row: TableRow) -> Gateway:
    try:
        if isinstance(row.id, str):
            raise ValueError(f"its id is {_cut(row.id)!r}, not a whole number from 0")
        if len(row.janus_url) > MAX_JANUS_URL:
            raise ValueError(f"janus_url: has more than {MAX_JANUS_URL} characters")
        try:
            return Gateway(row.id, row.janus_id, row.janus_url, JanusUrl.parse(row.janus_url))
        except ValueError as exc:
            raise ValueError(f"janus_url: {exc}") from None
    except ValueError as exc:
        return Gateway(row.id, row.janus_id, row.janus_url[:MAX_JANUS_URL], None, str(exc))


def _shown_id(row: TableRow | Gateway) -> str:
    return str(row.id) if isinstance(row.id, int) else repr(_cut(row.id))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
