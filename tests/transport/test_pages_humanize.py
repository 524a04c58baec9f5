"""Figures in words, probes, and markup: the small parts of the pages."""

import pytest

from bridge.protocol.humanize import count, duration, plural, rate, short_time, size
from bridge.protocol.snapshot import TableSnapshot
from bridge.transport.pages.html import Html, breakable, element, joined, visible
from bridge.transport.pages.probes import Ready, healthz
from tests.support.snapshots import figures


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h 0 min"), (86_399, "23 h 59 min"),
     (86_400, "1 d 0 h"), (90_000_000, "1041 d 16 h")],
)  # fmt: skip
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0, "0.00 ms"), (0.00042, "0.42 ms"), (0.00999, "9.99 ms"), (0.01, "10 ms"), (0.999, "999 ms"),
     (1, "1.0 s"), (1.26, "1.3 s")],
)  # fmt: skip
def test_short_time(seconds: float | None, words: str) -> None:
    assert short_time(seconds) == words


@pytest.mark.parametrize(
    ("per_second", "words"), [(0, "0"), (0.001, "0.1"), (9.94, "9.9"), (12.4, "12"), (12_345, "12,345")]
)
def test_rate(per_second: float, words: str) -> None:
    assert rate(per_second) == words


def test_counts_and_sizes() -> None:
    assert (count(1_234_567), plural(1, "handle"), plural(0, "handle")) == ("1,234,567", "1 handle", "0 handles")
    assert [size(n) for n in (1, 1023, 1024, 4096)] == ["1 byte", "1,023 bytes", "1 KiB", "4 KiB"]
    assert [size(n) for n in ((1 << 20) - 1, 1 << 20, 64 << 20)] == ["1,024 KiB", "1.0 MiB", "64.0 MiB"]


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("p", "<&>", element("b", '"'), class_='"x') == '<p class="&quot;x">&lt;&amp;&gt;<b>&quot;</b></p>'
    assert element("input", hidden=True, disabled=False, data_key="a") == '<input hidden data-key="a">'
    assert joined("<", Html("<")) == "&lt;<"


def test_a_url_is_broken_where_a_person_would() -> None:
    assert breakable("janusws://h:8188/a/<b>") == "janusws://h:<wbr>8188/<wbr>a/<wbr>&lt;b&gt;"


def test_visible_keeps_what_can_be_seen() -> None:
    assert visible("Zoë <“x”> 日本") == "Zoë <“x”> 日本"
    assert visible("a\tb\u200bc") == r"a\tb\u200bc"


def test_health() -> None:
    reply = healthz()
    assert (reply.status, reply.body) == (200, b"ok\n")


@pytest.mark.parametrize(
    ("table", "status", "text"),
    [
        (TableSnapshot("fresh", 5.0, None, True), 200, "ready\ntable fresh (read 5 s ago)\n"),
        (
            TableSnapshot("stale", 7200.0, "down\nnow", True),
            200,
            "ready\ntable stale (read 2 h 0 min ago): down\\nnow\n",
        ),
        (TableSnapshot("fresh", 5.0, "Access denied", True), 200, "ready\ntable stale (read 5 s ago): Access denied\n"),
        (TableSnapshot("none", None, "down", True), 200, "ready\ntable none: down\n"),
        (TableSnapshot("none", None, None, False), 503, "not ready\ntable none: it was not asked for yet\n"),
    ],
)
def test_readiness(table: TableSnapshot, status: int, text: str) -> None:
    reply = Ready(lambda: figures(table=table))()
    assert (reply.status, reply.body.decode()) == (status, text)
