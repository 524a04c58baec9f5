"""``/``: the bridge at a glance, for a person.

Owns the document around the tables, and what the browser may do with it. It needs no JavaScript: with it, the page asks
for itself again and puts the parts marked ``data-live`` in place of its own, without it the browser reloads. Must not
know where figures come from. Authority: CSP level 3 (nothing from elsewhere, no script or style but these two).
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bridge.protocol.humanize import clock, count, duration, iso, rate, short_time, size
from bridge.protocol.snapshot import STATES, ClusterSnapshot, GatewaySnapshot, Snapshot, StoreSnapshot, TableSnapshot
from bridge.transport.http_messages import Reply
from bridge.transport.pages.cooperative import map_cooperatively
from bridge.transport.pages.html import Html, element, joined, visible
from bridge.transport.pages.plots import bridge_plots, chosen_gateways, gateway_plots
from bridge.transport.pages.status_tables import UP, gateway_table, node_table, subscriber_table

RELOAD: Final = "10"  # seconds, for a browser without JavaScript
SLOW_LOOP: Final = 0.25  # seconds of lag that are worth a colour

_FOLDER: Final = Path(__file__).parent
_STYLE: Final = Html(_FOLDER.joinpath("status.css").read_text(encoding="utf-8"))
_SCRIPT: Final = Html(_FOLDER.joinpath("status.js").read_text(encoding="utf-8"))
_ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M2 11a6 6 0 0 1 12 0"
    "M2 8v6M14 8v6' fill='none' stroke='%231a7f8e' stroke-width='2.4' stroke-linecap='round'/%3E%3C/svg%3E"
)


def _source(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY: Final = (
    f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    f"Cache-Control: no-store\r\nContent-Security-Policy: {POLICY}\r\n"
    "Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
).encode()


class StatusPage:
    """The page. ``figures`` is asked at each request."""

    def __init__(self, figures: Callable[[], Snapshot]) -> None:
        self._figures = figures

    async def __call__(self, query: bytes = b"") -> Reply:
        """The whole document. ``query``: ``gateway=JANUS_ID`` for each whose last ten minutes are to be drawn."""
        figures = self._figures()
        gateways = await map_cooperatively(lambda gateway: gateway, figures.gateways)
        chosen = chosen_gateways(query)
        table = await gateway_table(gateways, figures.now, chosen)
        drawn = [gateway_plots(gateway, chosen) for gateway in gateways if gateway.janus_id in chosen]
        ready = sum(gateway.state == "ready" for gateway in gateways)
        body = joined(
            element("header", element("h1", "janus-bridge ", element("small", figures.version)), _live()),
            element(
                "main",
                _summary(figures, gateways, ready),
                _section("recent", "Last ten minutes", joined(bridge_plots(figures.recent), *drawn)),
                _section("gateways", "Gateways", table, *_filters()),
                *_cluster(figures.cluster),
                _section("subscribers", "Event subscribers", await subscriber_table(figures.subscribers)),
            ),
            _footer(figures),
            element("script", _SCRIPT),
        )
        document = Html("<!doctype html>\n") + element(
            "html", _head(f"{ready}/{len(gateways)} ready – janus-bridge"), element("body", body), lang="en"
        )
        return Reply(200, b"text/html; charset=utf-8", document.encode(), headers=_HEADERS)


def _head(title: str) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href=_ICON),
        element("noscript", element("meta", http_equiv="refresh", content=RELOAD)),
        element("style", _STYLE),
    )


def _live() -> Html:
    return element("p", f"Reloads every {RELOAD} s", id="live", role="status")


def _filters() -> list[Html]:
    """For many gateways, with JavaScript: by state, and by whatever stands in a row; how many are left is told."""
    states = [element("option", "Every state", value=""), *(element("option", state) for state in STATES)]
    return [
        element("output", id="found"),
        element("select", *states, id="state", aria_label="Show gateways in this state", hidden=True),
        element("input", type="search", id="filter", placeholder="Filter", aria_label="Filter gateways", hidden=True),
    ]


def _section(name: str, title: str, table: Html, *tools: Html) -> Html:
    heading = element("div", element("h2", title, id=f"{name}-title"), *tools, class_="heading")
    return element("section", heading, element("div", table, id=name, data_live=True), aria_labelledby=f"{name}-title")


def _summary(figures: Snapshot, gateways: Sequence[GatewaySnapshot], ready: int) -> Html:
    counters, table = figures.counters, figures.table
    tiles = [
        _tile("Gateways", count(ready), f"of {count(len(gateways))} ready", ready < len(gateways)),
        _tile("In flight", count(sum(gateway.in_flight for gateway in gateways)), "commands"),
        _tile("Commands", rate(sum(gateway.command_rate for gateway in gateways)), "a second"),
        _tile("Unanswered", count(counters["commands_timeout"] + counters["commands_lost"]), "since the start"),
        _tile("Events", rate(sum(gateway.event_rate for gateway in gateways)), "a second"),
        _tile("Dropped", count(counters["event_drops"]), "since the start"),
        *_kept(figures.store),
        *_nodes(figures.cluster),
        _tile("Table", table.state, _age(table), not table.current),
        _tile("Loop lag", short_time(figures.loop_lag), "worst of a minute", figures.loop_lag > SLOW_LOOP),
    ]
    return element(
        "section", *_notices(figures), element("dl", *tiles), id="summary", data_live=True, aria_label="Summary"
    )


def _kept(store: StoreSnapshot | None) -> list[Html]:
    if store is None:
        return []
    oldest = f"{size(store.bytes)}; the oldest to deliver is {duration(store.oldest)} old"
    return [_tile("Kept", count(store.events), oldest, store.trouble is not None)]


def _nodes(cluster: ClusterSnapshot | None) -> list[Html]:
    if cluster is None:
        return []
    up = sum(node.state in UP for node in cluster.nodes)
    return [_tile("Bridges", count(up), f"of {count(len(cluster.nodes))} alive", up < len(cluster.nodes))]


def _cluster(cluster: ClusterSnapshot | None) -> list[Html]:
    return [] if cluster is None else [_section("nodes", f"Cluster {cluster.cluster_id}", node_table(cluster))]


def _tile(term: str, value: str, unit: str, warns: bool = False) -> Html:
    words = joined(value, " ", element("small", unit))
    return element("div", element("dt", term), element("dd", words), class_="tile warns" if warns else "tile")


def _age(table: TableSnapshot) -> str:
    return "never read" if table.age is None else f"read {duration(table.age)} ago"


def _notices(figures: Snapshot) -> list[Html]:
    words = [] if figures.table.error is None else [_of_table(figures.table, figures.table.error)]
    if figures.store is not None and figures.store.trouble is not None:
        words.append(f"Events are not kept on disk: {visible(figures.store.trouble)}")
    if figures.cluster is not None and figures.cluster.trouble is not None:
        words.append(_of_cluster(figures.cluster, figures.cluster.trouble))
    return [element("p", text, class_="notice") for text in words]


def _of_cluster(cluster: ClusterSnapshot, trouble: str) -> str:
    if cluster.valid > 0:
        left = "the other bridges vouch for this one"
    elif cluster.serves:
        left = "connections that are open go on, nothing is claimed"
    else:
        left = "commands are held"
    return f"No beat in the database, {left}: {visible(trouble)}"


def _of_table(table: TableSnapshot, error: str) -> str:
    left = {
        "stale": "the last good table is used",
        "none": "no gateways until it can",
    }
    return f"The janus table cannot be read, {left[table.state]}: {visible(error)}"


def _footer(figures: Snapshot) -> Html:
    moment = element("time", clock(figures.now), datetime=iso(figures.now))
    up = duration(figures.now - figures.started)
    return element("footer", element("p", "As of ", moment, f", up {up}"), id="moment", data_live=True)
