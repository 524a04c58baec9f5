"""The last ten minutes, drawn: small plots as SVG, for eyes, and in words, for ears.

Owns how samples become a line. Must not know who took them. Authority: SVG 2 (paths), WAI-ARIA 1.2 (role img).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

from bridge.protocol.humanize import rate, short_time
from bridge.protocol.snapshot import GatewaySnapshot, RecentSnapshot
from bridge.transport.pages.html import Html, element, joined, visible

WIDTH: Final = 119  # from the first of 120 samples to the last
HEIGHT: Final = 32
MOST_GATEWAYS: Final = 8  # that are drawn at a time
_KEY: Final = "gateway"  # of the query


def bridge_plots(recent: RecentSnapshot) -> Html:
    """Those of the whole bridge."""
    return _row(
        _plot("Commands", "a second", rate, recent.commands),
        _plot("Median answer", "", short_time, recent.p50),
        _plot("99 of 100 answers", "", short_time, recent.p99),
        _plot("Events", "a second", rate, recent.events),
        _plot("Dropped events", "a second", rate, recent.drops),
        _plot("Loop lag", "", short_time, recent.lag),
    )


def gateway_plots(gateway: GatewaySnapshot, chosen: Sequence[str]) -> Html:
    """A row of one gateway, of those that are ``chosen``; with the way to have it no longer."""
    name = visible(gateway.janus_id)
    rest = [one for one in chosen if one != gateway.janus_id]
    heading = element("h3", name, " ", element("a", "close", href=query(rest), aria_label=f"Close the plots of {name}"))
    commands, events, p99 = gateway.recent
    return element(
        "div",
        heading,
        _row(
            _plot("Commands", "a second", rate, commands),
            _plot("99 of 100 answers", "", short_time, p99),
            _plot("Events", "a second", rate, events),
        ),
        data_key=gateway.janus_id,
    )


def chosen_gateways(text: bytes) -> list[str]:
    """The janus_ids that a query names, the first MOST_GATEWAYS; any query may come."""
    try:
        pairs = parse_qsl(text.decode("ascii", "replace"), max_num_fields=4 * MOST_GATEWAYS)
    except ValueError:
        return []
    return list(dict.fromkeys(value for key, value in pairs if key == _KEY))[:MOST_GATEWAYS]


def query(chosen: Iterable[str]) -> str:
    """The relative URL of the page with the plots of these gateways."""
    pairs = [(_KEY, one.encode("utf-8", "replace")) for one in chosen]
    return f"?{urlencode(pairs)}#recent"


def _row(*plots: Html) -> Html:
    return element("div", *plots, class_="plots")


def _plot(title: str, unit: str, words: Callable[[float], str], samples: Sequence[float]) -> Html:
    """Its scale is from 0 to the most of what it shows, which it says."""
    known = [value for value in samples if not math.isnan(value)]
    now, most = "–", "–"
    if known:
        most = words(max(known))
        now = "–" if math.isnan(samples[-1]) else words(samples[-1])
    tail = f" {unit}" if unit else ""
    caption = joined(title, " ", element("b", now), tail, element("small", f"most {most}"))
    drawing = element(
        "svg",
        element("path", d=_path(samples, max(known, default=0.0))),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{title} in the last ten minutes: now {now}{tail}, most {most}",
    )
    return element("figure", element("figcaption", caption), drawing)


def _path(samples: Sequence[float], most: float) -> str:
    """A line through the samples, the newest at the right; broken where nothing is known."""
    steps: list[str] = []
    start = WIDTH + 1 - len(samples)
    scale = (HEIGHT - 2) / most if most > 0 else 0.0
    joins = False
    for number, value in enumerate(samples):
        if math.isnan(value):
            joins = False
            continue
        place = f"{start + number} {HEIGHT - 1 - value * scale:.1f}"
        steps.append(f"L{place}" if joins else f"M{place}h.1")  # so that one sample alone is seen
        joins = True
    return "".join(steps)
