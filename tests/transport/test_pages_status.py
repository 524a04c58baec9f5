"""The status page as text: what it says, in which order, and that nothing from outside gets a meaning in it."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from bridge.protocol.snapshot import (
    HistorySnapshot,
    NodeSnapshot,
    SessionSnapshot,
    Snapshot,
    StoreSnapshot,
    TableSnapshot,
)
from bridge.transport.http_messages import Reply
from bridge.transport.pages.status import StatusPage
from tests.support.snapshots import NOW, cluster, figures, gateway, subscriber

HOSTILE = "</td></script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onclick=alert(3) &lt;b&gt;"


class Reader(HTMLParser):
    """Elements with their attributes, in order; the texts of cells by row; everything balanced."""

    VOID = ("meta", "link", "input", "wbr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.raw: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style", "title"):
            self.raw[self._open[-1]] = data
        elif "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data


async def reply_to(given: Snapshot) -> Reply:
    reply = await StatusPage(lambda: given)()
    assert (reply.status, reply.content_type) == (200, b"text/html; charset=utf-8")
    return reply


async def read(given: Snapshot) -> Reader:
    return Reader((await reply_to(given)).body.decode())


async def rows(given: Snapshot) -> list[list[str]]:
    """The cells of all tables, without their heads."""
    return [row for row in (await read(given)).rows if row[0] not in ("Gateway", "Bridge", "Socket")]


def entry(text: str, **changes: Any) -> HistorySnapshot:
    """The end of a handle, with this text wherever one may come from outside."""
    made = HistorySnapshot(NOW - 60, "handle_detached", "7351...", 5, f"janus.plugin.{text}", text, text, 0)
    return made._replace(**changes)


async def test_nothing_from_outside_has_a_meaning() -> None:
    everywhere: dict[str, Any] = {
        "janus_url": HOSTILE,
        "last_error": HOSTILE,
        "sessions": [SessionSnapshot("1234...", True, {HOSTILE: 1})],
        "history": [entry(HOSTILE)],
    }
    tame = figures(
        [gateway("a", last_error="e", history=[entry("e")])],
        [subscriber("s")],
        table=TableSnapshot("fresh", 1.0, "e", True),
    )
    wild = figures(
        [gateway(HOSTILE, **everywhere)], [subscriber(HOSTILE)], table=TableSnapshot("fresh", 1.0, HOSTILE, True)
    )
    expected, found = await read(tame), await read(wild)
    kept = [(tag, attributes.keys()) for tag, attributes in found.elements if tag != "wbr"]
    assert kept == [(tag, attributes.keys()) for tag, attributes in expected.elements if tag != "wbr"]
    assert found.raw["script"] == expected.raw["script"]
    assert found.rows[1][0] == HOSTILE * 2  # as janus_id and as URL


@pytest.mark.parametrize("text", ["\ud83d", "a\x00b", "a\u202eb", "a\nb", "\x1b[31m"])
async def test_nothing_from_outside_is_invisible(text: str) -> None:
    body = (await reply_to(figures([gateway(last_error=text)]))).body.decode()
    assert ascii(text)[1:-1] in body
    assert text not in body


async def test_a_text_without_end_is_cut() -> None:
    [row] = await rows(figures([gateway(last_error="x" * 100_000)]))
    assert row[-1] == "x" * 300 + "…"


async def test_the_policy_admits_the_two_texts_of_the_page_and_no_other() -> None:
    reply = await reply_to(figures())
    reader = Reader(reply.body.decode())
    headers = reply.headers.decode()
    [policy] = re.findall("Content-Security-Policy: (.*)\r\n", headers)
    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))
    assert directives["default-src"] == "'none'"
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(reader.raw[name].encode()).digest()).decode()
        assert directives[f"{name}-src"] == f"'sha256-{digest}'"
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "X-Content-Type-Options: nosniff\r\n" in headers
    assert "Referrer-Policy: no-referrer\r\n" in headers


async def test_it_takes_nothing_from_elsewhere() -> None:
    reader = await read(figures([gateway()], [subscriber()]))
    for tag, attributes in reader.elements:
        assert not attributes.keys() & {"src", "style", "onclick"}, tag
        assert (attributes.get("href") or "data:").startswith(("data:", "?"))


async def test_without_scripts_the_browser_reloads() -> None:
    reader = await read(figures())
    assert ("meta", {"http-equiv": "refresh", "content": "10"}) in reader.elements
    assert "noscript" in [tag for tag, _ in reader.elements]


async def test_a_gateway() -> None:
    one = gateway(
        command_rate=12.3,
        event_rate=0.04,
        in_flight=3,
        reconnects=2,
        last_error="Janus is silent",
        outcomes={"answered": 1234, "error": 2, "lost": 1},
        sessions=[SessionSnapshot("7351...", True, {"janus.plugin.sip": 2, "": 1}), SessionSnapshot("12", False, {})],
    )
    [row] = await rows(figures([one]))
    assert row == [
        "gw1janusws://gw1.example.org:8188/janus",
        "readyfor 2 h 5 min",
        "0.42 msanswers 0.85 ms",
        "2 3 handles7351... managed: 1 unknown, 2 sip12 of a caller: no handle",
        "3",
        "12/s1,234 answered2 error, 1 lostten minutes",
        "0.1/s40 in all",
        "2",
        "Janus is silent",
    ]


async def test_the_history_of_a_gateway_folds_out_of_its_row() -> None:
    lost = HistorySnapshot(NOW, "session_lost", "7351...", None, "", "Janus no longer knows it", "", 14)
    begin = HistorySnapshot(NOW - 99, "connected", "", None, "", "", "", 0)
    reader = await read(figures([gateway(history=[lost, entry("sip"), begin])]))
    assert reader.rows[1][-1] == (
        "History"
        "2026-11-22T16:00:00Z session_lost, session 7351..., 14 handles: Janus no longer knows it"
        "2026-11-22T15:59:00Z handle_detached, session 7351..., handle 5 (sip), transaction sip: sip"
        "2026-11-22T15:58:21Z connected"
    )
    folded = [attributes for tag, attributes in reader.elements if tag == "details"]
    assert [attributes["class"] for attributes in folded] == ["sessions", "history"]
    assert not any("open" in attributes for attributes in folded)


async def test_trouble_comes_first() -> None:
    """One that is away alternates between two states, and stays where it is."""
    for away in (["backoff", "connecting"], ["connecting", "backoff"]):
        given = [gateway(f"{n}", state=state) for n, state in enumerate(["ready", "disabled", *away, "ready"])]
        assert [row[0][0] for row in await rows(figures(given))] == ["2", "3", "1", "0", "4"]


async def test_a_thousand_sessions_are_not_all_listed() -> None:
    [row] = await rows(figures([gateway(sessions=[SessionSnapshot("1...", False, {})] * 1000)]))
    assert row[3].startswith("1,000")
    assert row[3].count("1...") == 20
    assert row[3].endswith("and 980 more")


async def test_the_bridges_of_a_cluster_those_in_trouble_first() -> None:
    dead = NodeSnapshot(2, "http://h:2/mi", "taken", 90.0, 1795363200002, 17)
    given = figures(cluster=cluster(dead, node_id=1))
    assert await rows(given) == [
        ["2http://h:2/mi", "taken", "1 min ago17", "1795363200002"],
        ["1 (this one)http://h:1/mi", "active", "0 s ago1,000", "1795363200001"],
    ]
    assert "<dd>1 <small>of 2 alive</small></dd>" in (await reply_to(given)).body.decode()


@pytest.mark.parametrize(
    ("valid", "serves", "words"),
    [
        (3.0, True, "the other bridges vouch for this one"),
        (-1.0, True, "connections that are open go on, nothing is claimed"),
        (-1.0, False, "commands are held"),
    ],
)
async def test_a_bridge_that_cannot_beat_says_what_that_means(valid: float, serves: bool, words: str) -> None:
    given = figures(cluster=cluster(valid=valid, serves=serves, trouble="h:3306: <refused>"))
    assert f"No beat in the database, {words}: h:3306: &lt;refused&gt;" in (await reply_to(given)).body.decode()


async def test_a_subscriber() -> None:
    some = [
        subscriber("udp:h:1", events=["E_JANUS_EVENT", "E_JANUS_STATUS"]),
        subscriber("udp:h:2", ttl=90, queued=2, queued_bytes=4096, sent=7, drops={"age": 3, "full": 1}),
        subscriber("udp:h:3", events=[], ttl=0),
    ]
    assert await rows(figures(subscribers=some)) == [
        ["udp:h:1", "E_JANUS_EVENT, E_JANUS_STATUS", "never", "0", "100", "0"],
        ["udp:h:2", "E_JANUS_EVENT", "in 1 min", "24 KiB", "7", "43 age, 1 full"],
        ["udp:h:3", "ended", "in 0 s", "0", "100", "0"],
    ]


async def test_the_whole_at_a_glance() -> None:
    given = [gateway("a", command_rate=1.5, in_flight=2), gateway("b", state="backoff", command_rate=2.5, in_flight=3)]
    reader = await read(figures(given, counters={"commands_timeout": 3, "commands_lost": 4, "event_drops": 5}))
    assert reader.raw["title"] == "1/2 ready – janus-bridge"
    page = (await reply_to(figures(given, counters={"commands_timeout": 3, "commands_lost": 4}))).body.decode()
    tiles = dict(re.findall("<dt>(.*?)</dt><dd>(.*?) <small>", page))
    assert tiles["Gateways"] == "1"
    assert (tiles["In flight"], tiles["Commands"], tiles["Unanswered"]) == ("5", "4.0", "7")
    assert (tiles["Table"], tiles["Loop lag"]) == ("fresh", "1.10 ms")


@pytest.mark.parametrize(
    ("freshness", "words"),
    [
        ("fresh", "the last good table is used"),
        ("stale", "the last good table is used"),
        ("none", "no gateways until it can"),
    ],
)
async def test_a_table_that_cannot_be_read_is_told_on_top(freshness: Any, words: str) -> None:
    page = (await reply_to(figures(table=TableSnapshot(freshness, None, "no route", True)))).body.decode()
    assert f"The janus table cannot be read, {words}: no route" in page


async def test_a_url_that_does_not_serve_yet_stands_beside_the_one_that_does() -> None:
    given = gateway(janus_url="janusws://new/janus", serving_url="janusws://old/janus", last_error="refused")
    page = re.sub("<wbr>|\u200b", "", (await reply_to(figures([given]))).body.decode())
    assert "janusws://new/janus is wanted, janusws://old/janus serves" in page


async def test_an_empty_bridge_says_what_to_do() -> None:
    page = (await reply_to(figures())).body.decode()
    assert "janus-bridge db add" in page
    assert "janus-bridge events" in page
    assert "<table" not in page


async def test_its_moment() -> None:
    page = (await reply_to(figures(now=NOW + 5))).body.decode()
    assert '<time datetime="2026-11-22T16:00:05Z">16:00:05 UTC</time>, up 1 d 1 h' in page


async def test_the_log_of_events_has_a_tile_and_its_trouble_a_notice() -> None:
    assert "Kept" not in (await reply_to(figures())).body.decode()
    fine = (await reply_to(figures(store=StoreSnapshot(1234, 5 << 20, 0, 0.004, 90.0, None)))).body.decode()
    assert "1,234" in fine
    assert "5.0 MiB; the oldest to deliver is" in fine
    assert "not kept" not in fine
    wild = (await reply_to(figures(store=StoreSnapshot(0, 0, 7, 0.1, 0.0, f"{HOSTILE}\x1b")))).body.decode()
    assert "Events are not kept on disk: " in wild
    assert HOSTILE not in wild
    assert "\x1b" not in wild
