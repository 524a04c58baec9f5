"""The tables of the status page: gateways, the bridges of the cluster, subscribers.

Owns their columns and their order: trouble first. Below a certain width each row becomes a card, for which every cell
has its column's name in ``data-label``, and every part its role (CSS that lays a table out anew takes them away).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from bridge.protocol.humanize import count, duration, iso, plural, rate, short_time, size
from bridge.protocol.snapshot import (
    ClusterSnapshot,
    GatewaySnapshot,
    HistorySnapshot,
    NodeSnapshot,
    SessionSnapshot,
    SubscriberSnapshot,
)
from bridge.transport.pages.cooperative import map_cooperatively
from bridge.transport.pages.html import Html, breakable, element, joined, visible
from bridge.transport.pages.plots import query

# One that is away alternates between the first two: that is no reason to move.
_ORDER: Final = {"backoff": 0, "connecting": 0, "disabled": 1, "ready": 2}
UP: Final = ("active", "draining")  # a node
# A node's state in the colour of a gateway's.
_COLOURS: Final = {
    "active": "ready",
    "draining": "connecting",
    "silent": "backoff",
    "over": "backoff",
    "taken": "disabled",
}

_NO_GATEWAY: Final = joined(
    "No gateways. Add one to the table: ",
    element("code", "janus-bridge db add gw1 janusws://127.0.0.1:8188/janus"),
    ", and have it read: ",
    element("code", "janus-bridge mi janus_reload"),
)
_NO_SUBSCRIBER: Final = joined(
    "No subscribers: Janus events are being discarded. To watch them: ",
    element("code", "janus-bridge events"),
)


async def gateway_table(gateways: Sequence[GatewaySnapshot], now: float, chosen: Sequence[str]) -> Html:
    """All gateways. ``now`` in unix seconds; ``chosen``: those whose plots are shown."""
    if not gateways:
        return element("p", _NO_GATEWAY, class_="empty")
    ordered = sorted(gateways, key=lambda gateway: (_ORDER[gateway.state], gateway.janus_id))
    rows = await map_cooperatively(lambda gateway: _gateway(gateway, now, chosen), ordered)
    return _table(
        ("Gateway", "State", "Round trip", "Sessions", "In flight", "Commands", "Events", "Reconnects", "Last error"),
        rows,
        "gateways",
    )


async def subscriber_table(subscribers: Sequence[SubscriberSnapshot]) -> Html:
    """All sockets that events go to."""
    if not subscribers:
        return element("p", _NO_SUBSCRIBER, class_="empty")
    return _table(
        ("Socket", "Subscribed to", "Expires", "Waiting", "Sent", "Dropped"),
        await map_cooperatively(_subscriber, sorted(subscribers, key=lambda one: one.subscriber)),
        "subscribers",
    )


def node_table(cluster: ClusterSnapshot) -> Html:
    """The bridges of a cluster."""
    ordered = sorted(cluster.nodes, key=lambda node: (node.state in UP, node.node_id))
    return _table(("Bridge", "State", "Beat", "Epoch"), (_node(node, cluster.node_id) for node in ordered), "nodes")


def _node(node: NodeSnapshot, own: int) -> Html:
    return _row(
        f"{node.node_id}{' (this one)' if node.node_id == own else ''}",
        breakable(node.url),
        _cell("State", element("span", node.state, class_=f"state {_COLOURS[node.state]}"), class_="mark"),
        _cell("Beat", f"{duration(node.still)} ago", count(node.beat)),
        _cell("Epoch", str(node.epoch)),
        key=str(node.node_id),
    )


def _table(columns: Iterable[str], rows: Iterable[Html], name: str) -> Html:
    heads = [element("th", column, scope="col", role="columnheader") for column in columns]
    return element(
        "table",
        element("thead", element("tr", *heads, role="row"), role="rowgroup"),
        element("tbody", *rows, role="rowgroup"),
        role="table",
        aria_labelledby=f"{name}-title",
    )


def _gateway(gateway: GatewaySnapshot, now: float, chosen: Sequence[str]) -> Html:
    answers = sum(gateway.buckets)
    mean = f"answers {short_time(gateway.seconds / answers)}" if answers else ""
    serving = (
        joined(" is wanted, ", breakable(gateway.serving_url), " serves")
        if gateway.serving_url is not None
        else Html("")
    )
    others = ", ".join(f"{count(n)} {one}" for one, n in gateway.outcomes.items() if n and one != "answered")
    return _row(
        visible(gateway.janus_id),
        joined(breakable(gateway.janus_url), serving),
        _cell(
            "State",
            element("span", gateway.state, class_=f"state {gateway.state}"),
            "draining" if gateway.draining else "",
            _since(gateway, now),
            class_="mark",
        ),
        _cell("Round trip", short_time(gateway.rtt), mean),
        _cell("Sessions", _sessions(gateway)),
        _cell("In flight", count(gateway.in_flight)),
        _cell(
            "Commands",
            f"{rate(gateway.command_rate)}/s",
            f"{count(gateway.outcomes['answered'])} answered",
            others,
            _plots_link(gateway.janus_id, chosen),
        ),
        _cell("Events", f"{rate(gateway.event_rate)}/s", f"{count(gateway.events)} in all"),
        _cell("Reconnects", count(gateway.reconnects)),
        _cell(
            "Last error",
            joined(visible(gateway.last_error or ""), _history(gateway.history)),
            class_="words" if gateway.state != "ready" or serving else "past",
        ),
        key=gateway.janus_id,
    )


def _plots_link(janus_id: str, chosen: Sequence[str]) -> Html:
    if janus_id in chosen:
        return Html("")
    label = f"Last ten minutes of {visible(janus_id)}"
    return element("a", "ten minutes", href=query([*chosen, janus_id]), aria_label=label)


def _since(gateway: GatewaySnapshot, now: float) -> Html:
    return element(
        "time", f"for {duration(now - gateway.since)}", datetime=iso(gateway.since), title=iso(gateway.since)
    )


def _sessions(gateway: GatewaySnapshot) -> Html:
    """How many; the rest on demand."""
    if not gateway.session_count:
        return joined("0")
    lines = [element("li", _session(session)) for session in gateway.sessions]
    if gateway.session_count > len(lines):
        lines.append(element("li", f"and {count(gateway.session_count - len(lines))} more"))
    summary = element(
        "summary", count(gateway.session_count), " ", element("small", plural(gateway.handle_count, "handle"))
    )
    return element("details", summary, element("ul", *lines), class_="sessions")


def _history(entries: Sequence[HistorySnapshot]) -> Html:
    """What became of its sessions and handles lately, on demand."""
    if not entries:
        return Html("")
    lines = [
        element("li", element("time", iso(entry.when), datetime=iso(entry.when)), " ", _entry(entry))
        for entry in entries
    ]
    return element("details", element("summary", "History"), element("ul", *lines), class_="history")


def _entry(entry: HistorySnapshot) -> str:
    parts = [entry.what]
    if entry.session:
        parts.append(f"session {entry.session}")
    if entry.handle_id is not None:
        parts.append(f"handle {entry.handle_id}" + (f" ({_plugin(entry.plugin)})" if entry.plugin else ""))
    if entry.handles:
        parts.append(plural(entry.handles, "handle"))
    if entry.transaction:
        parts.append(f"transaction {visible(entry.transaction)}")
    return ", ".join(parts) + (f": {visible(entry.reason)}" if entry.reason else "")


def _session(session: SessionSnapshot) -> str:
    plugins = [f"{count(n)} {_plugin(name)}" for name, n in sorted(session.plugins.items())]
    return f"{session.session} {'managed' if session.managed else 'of a caller'}: {', '.join(plugins) or 'no handle'}"


def _plugin(name: str) -> str:
    return visible(name.removeprefix("janus.plugin.")) or "unknown"


def _subscriber(subscriber: SubscriberSnapshot) -> Html:
    drops = ", ".join(f"{count(n)} {reason}" for reason, n in subscriber.drops.items())
    return _row(
        visible(subscriber.subscriber),
        "",
        _cell("Subscribed to", ", ".join(subscriber.events) or "ended"),
        _cell("Expires", "never" if subscriber.ttl is None else f"in {duration(subscriber.ttl)}"),
        _cell("Waiting", count(subscriber.queued), size(subscriber.queued_bytes) if subscriber.queued else ""),
        _cell("Sent", count(subscriber.sent)),
        _cell("Dropped", count(sum(subscriber.drops.values())), drops),
        key=subscriber.subscriber,
    )


def _row(title: str, subtitle: str, *cells: Html, key: str) -> Html:
    head = element(
        "th", element("b", title), *([element("small", subtitle)] if subtitle else []), scope="row", role="rowheader"
    )
    return element("tr", head, *cells, role="row", data_key=key)


def _cell(label: str, words: str, *lines: str, class_: str = "figure") -> Html:
    """What a cell says, and smaller what else there is to it."""
    return element(
        "td", words, *(element("small", line) for line in lines if line), role="cell", data_label=label, class_=class_
    )
