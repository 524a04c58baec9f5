"""The plots of the last ten minutes: what is drawn, what is said, and which gateways a query names."""

import math
import re

import pytest

from bridge.protocol.snapshot import GatewayRecentSnapshot, RecentSnapshot
from bridge.transport.pages.plots import (
    HEIGHT,
    MOST_GATEWAYS,
    WIDTH,
    bridge_plots,
    chosen_gateways,
    gateway_plots,
    query,
)
from bridge.transport.pages.status import StatusPage
from tests.support.snapshots import figures, gateway

NAN = math.nan


def drawings(html: str) -> list[tuple[str, str]]:
    """Label and path of each plot."""
    labels = re.findall(r'<svg [^>]*aria-label="([^"]*)"', html)
    return list(zip(labels, re.findall(r'<path d="([^"]*)"', html), strict=True))


def test_a_line_goes_from_the_oldest_sample_to_the_newest_at_the_right() -> None:
    label, path = drawings(bridge_plots(RecentSnapshot(commands=[0, 40, 20])))[0]
    assert label == "Commands in the last ten minutes: now 20 a second, most 40"
    top, bottom, middle = 1, HEIGHT - 1, HEIGHT / 2
    assert path == f"M{WIDTH - 2} {bottom:.1f}h.1L{WIDTH - 1} {top:.1f}L{WIDTH} {middle:.1f}"


def test_where_nothing_was_measured_the_line_is_broken() -> None:
    label, path = drawings(bridge_plots(RecentSnapshot(p99=[0.001, NAN, 0.0005, NAN])))[2]
    assert label == "99 of 100 answers in the last ten minutes: now –, most 1.00 ms"
    assert path == f"M{WIDTH - 3} 1.0h.1M{WIDTH - 1} 16.0h.1"


@pytest.mark.parametrize("samples", [[], [NAN, NAN]])
def test_nothing_is_drawn_of_nothing(samples: list[float]) -> None:
    for label, path in drawings(bridge_plots(RecentSnapshot(*[samples] * len(RecentSnapshot._fields)))):
        assert (label.partition(": ")[2].partition(",")[0].split()[1], path) == ("–", "")


def test_a_full_ring_fills_the_plot() -> None:
    _, path = drawings(bridge_plots(RecentSnapshot(events=[0.0] * 120)))[3]
    assert path.startswith("M0 31.0h.1L1 31.0")
    assert path.endswith(f"L{WIDTH} 31.0")


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        (b"", []),
        (b"gateway=gw1", ["gw1"]),
        (b"gateway=a%20b&other=1&gateway=c&gateway=a%20b", ["a b", "c"]),
        (b"gateway", []),
        (b"gateway=%ff\xff", ["\ufffd\ufffd"]),
        (b"&".join(b"gateway=%d" % n for n in range(20)), [str(n) for n in range(MOST_GATEWAYS)]),
        (b"&".join(b"gateway=%d" % n for n in range(2000)), []),
    ],
)
def test_any_query_may_come(text: bytes, chosen: list[str]) -> None:
    assert chosen_gateways(text) == chosen


@pytest.mark.parametrize("name", ["gw1", "a b&c=d", '"><b>', "grüße", "\udc80"])
def test_a_link_names_the_gateway(name: str) -> None:
    made = query([name]).partition("?")[2].partition("#")[0]
    assert chosen_gateways(made.encode("ascii")) == [name.replace("\udc80", "?")]


async def test_gateways_are_drawn_on_demand() -> None:
    recent = GatewayRecentSnapshot([1, 2], [3, 4], [0.001, NAN])
    given = [gateway("gw1", recent=recent), gateway("<gw2>", recent=recent), gateway("gw3")]

    async def shown(query: bytes) -> str:
        return (await StatusPage(lambda: figures(given))(query)).body.decode()

    assert (await shown(b"")).count("<figure>") == 6
    page = await shown(b"gateway=%3Cgw2%3E&gateway=unknown&gateway=gw1")
    assert page.count("<figure>") == 12
    assert "Close the plots of &lt;gw2&gt;" in page
    links = re.findall(r'<a href="([^"]*)"[^>]*>ten minutes</a>', page)
    assert links == ["?gateway=%3Cgw2%3E&amp;gateway=unknown&amp;gateway=gw1&amp;gateway=gw3#recent"]
    assert 'href="?gateway=%3Cgw2%3E&amp;gateway=unknown#recent" aria-label="Close the plots of gw1"' in page


def test_a_gateway_has_three() -> None:
    given = gateway("gw1", recent=GatewayRecentSnapshot([1, 2], [3, 4], [0.001, NAN]))
    assert [label for label, _ in drawings(gateway_plots(given, ["gw1"]))] == [
        "Commands in the last ten minutes: now 2.0 a second, most 2.0",
        "99 of 100 answers in the last ten minutes: now –, most 1.00 ms",
        "Events in the last ten minutes: now 4.0 a second, most 4.0",
    ]
