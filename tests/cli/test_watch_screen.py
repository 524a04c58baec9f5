"""What ``status --watch`` shows: order, room, filter, samples."""

import unicodedata
from typing import Any

import pytest

from bridge.cli.watch_screen import BARS, WatchView, chosen, fitted, screen, sparkline, summary

NOW = 1_795_363_200.0


def row(janus_id: str, **changes: Any) -> dict[str, Any]:
    made = {
        "janus_id": janus_id,
        "janus_url": f"janusws://{janus_id}.example.org:8188/janus",
        "serving_url": None,
        "state": "ready",
        "draining": False,
        "since": "2026-11-22T15:00:00+00:00",
        "rtt_ms": 0.42,
        "sessions": 1,
        "handles": 4,
        "in_flight": 0,
        "commands": 12.0,
        "events": 0.5,
        "p99_ms": 3.1,
        "last_error": "an old one",
    }
    return made | changes


def view(*rows: dict[str, Any], **changes: Any) -> WatchView:
    samples = [1.0, 2.0, None, 4.0]
    bridge = dict.fromkeys(("commands", "p50_ms", "p99_ms", "events", "drops", "lag_ms"), samples)
    made: dict[str, Any] = {
        "url": "http://127.0.0.1:8889/mi",
        "at": NOW,
        "recent": {"interval_s": 5.0, "Bridge": bridge, "Gateways": list(rows)},
        "status": {"Table": {"state": "fresh", "age_s": 3, "error": None}, "Subscribers": []},
        "named": {},
    }
    return WatchView(**made | changes)


def lines(shown: WatchView, width: int = 80, height: int = 24) -> list[str]:
    return [text for text, _ in screen(shown, width, height)]


@pytest.mark.parametrize("width", [1, 20, 80, 200])
@pytest.mark.parametrize("height", [1, 3, 8, 24, 60])
def test_it_fits_any_window(width: int, height: int) -> None:
    rows = [row("日本語のゲートウェイの名前", state="backoff"), *(row(f"gw{number}") for number in range(30))]
    found = lines(view(*rows), width, height)
    assert len(found) == height
    wide = [sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line) for line in found]
    assert max(wide) <= width


def test_trouble_comes_first_and_says_why() -> None:
    rows = [row("a"), row("b", serving_url="janusws://old"), row("c", state="disabled"), row("d", state="backoff")]
    rows[3]["last_error"] = "connection refused"
    found = lines(view(*rows))
    assert [line.split()[0] for line in found[9:13]] == ["d", "c", "b", "a"]
    assert found[9].endswith("connection refused")
    assert "an old one" not in found[12]
    assert found[0].startswith(summary(view(*rows))[:8])


def test_what_finds_no_room_is_counted() -> None:
    rows = [row(f"gw{number:03}") for number in range(300)]
    found = lines(view(*rows))
    assert found[-2] == "and 287 more, all of them well"
    rows = [row(f"gw{number:03}", state="backoff") for number in range(20)]
    assert lines(view(*rows))[-2] == "and 7 more, 7 of them not well"
    assert lines(view(*rows), height=40)[9 + 20] == ""


def test_a_filter_has_words_of_name_state_url_or_error() -> None:
    rows = [row("gw1"), row("gw2", state="backoff", last_error="Connection refused"), row("gw3", draining=True)]
    for words, left in {
        "": "213",
        "GW2": "2",
        "backoff gw": "2",
        "ref": "2",
        "gw3.example": "3",
        "drain": "3",
        "gw1 back": "",
    }.items():
        assert [one["janus_id"][2:] for one in chosen(view(*rows, filter=words))] == list(left), words
    assert "no gateway has that" in lines(view(*rows, filter="gw9"))


def test_a_filter_that_leaves_few_draws_them() -> None:
    samples = {"commands": [1.0, 2.0], "events": [0.0, 0.0], "p99_ms": [None, 3.0]}
    found = lines(view(row("gw1"), row("gw2"), filter="gw1", named={"gw1": row("gw1", Recent=samples)}))
    assert found[7] == "gw1:"
    assert [line.split()[:2] for line in found[8:11]] == [["commands", "2.0/s"], ["p99", "3.00"], ["events", "0/s"]]


def test_samples_become_bars() -> None:
    assert sparkline([0.0, 1.0, None, 7.0], 4) == "▁▂ █"
    assert sparkline([1.0, 2.0], 4) == "  ▅█"
    assert sparkline([0.0, 0.0], 2) == "▁▁"
    assert sparkline([0.0, 9.0, 1.0, None, None, 3.0], 3) == "█▂▃"  # the most of each two
    assert sparkline([5.0] * 120, 50)[-1] == "█"
    assert len(sparkline([5.0] * 120, 50)) == 50
    assert sparkline([1.0], 0) == ""
    assert set(sparkline([float(number) for number in range(8)], 8)) == set(BARS)


def test_text_from_outside_is_harmless_and_cut() -> None:
    assert fitted("a\x1b[2Jb", 80) == r"a\x1b[2Jb"
    assert fitted("abcdef", 4) == "abc…"
    assert fitted("日本語", 4) == "日…"
    assert fitted("e\u0301e", 2) == "e\u0301e"
    evil = row("\x1b]0;x\x07", state="backoff", last_error="\x9b2J\n\u202e")
    shown = view(evil, filter="\x1b", lost=(NOW, "\x1b[m"))
    for text in (*lines(shown), *lines(view(evil)), summary(view(evil)), summary(shown)):
        assert text.isprintable()


def test_troubles_of_table_and_subscribers_are_said() -> None:
    status = {
        "Table": {"state": "stale", "age_s": None, "error": "no such file"},
        "Subscribers": [{"subscriber": f"udp:h:{port}", "trouble": "refused"} for port in range(5)],
    }
    found = lines(view(row("gw1"), status=status))
    assert "table stale, never read" in found[0]
    assert found[-6] == "table: no such file"
    assert found[-2] == "and 2 more subscribers in trouble"
    assert "table stale" in summary(view(row("gw1"), status=status))


def test_a_bridge_that_is_away_is_said_to_be() -> None:
    shown = view(row("gw1"), lost=(NOW, "connection refused"))
    assert "the figures are old: connection refused" in lines(shown, 100)[-1]
    assert summary(shown).endswith(": connection refused")
