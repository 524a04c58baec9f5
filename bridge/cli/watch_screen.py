"""What ``status --watch`` shows, as lines of text for a terminal of any size.

Owns layout, order (trouble first) and the filter. Pure: must not know a terminal, nor where the figures come from.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from unicodedata import combining, east_asian_width

from bridge.cli.text import DIM, GREEN, RED, YELLOW
from bridge.protocol.humanize import count, duration, rate, short_time
from bridge.protocol.printable import printable

BARS: Final = "▁▂▃▄▅▆▇█"
PLAIN_BARS: Final = "_.-:=+*#"  # for an encoding without those
MOST_DRAWN: Final = 3  # gateways that a filter leaves, whose samples are shown

MOST_NAMED: Final = 8  # gateways in a line

ERROR: Final = 32  # columns that an error has at least
LEAST: Final = 4  # columns of the table that are always there

# One that is away alternates between the first two: that is no reason to move.
_TROUBLE: Final = {"backoff": 0, "connecting": 0, "disabled": 1, "ready": 2}
_COLOURS: Final = {"ready": GREEN, "connecting": YELLOW}
_HEADER: Final = ("GATEWAY", "STATE", "FOR", "COMMANDS", "P99", "EVENTS", "IN FLIGHT", "RTT", "SESSIONS")

Samples = Sequence[float | None]
Line = tuple[str, str | None]  # and its colour


@dataclass(frozen=True, slots=True)
class WatchView:
    """All that is shown. ``recent`` and ``status`` are what ``janus_recent`` and ``janus_status`` answer; ``named``:
    the former's row of gateways, with their samples, by janus_id. ``lost``: since when, unix seconds, nothing has
    answered, and why.
    """

    url: str
    at: float
    recent: Mapping[str, Any]
    status: Mapping[str, Any]
    named: Mapping[str, Mapping[str, Any]]
    filter: str = ""
    lost: tuple[float, str] | None = None


def screen(view: WatchView, width: int, height: int, bars: str = BARS) -> list[Line]:
    """``height`` lines of at most ``width`` columns, the last of which is for what is typed."""
    rows = chosen(view)
    lines = [_head(view), *_bridge(view, width, bars)]
    if view.filter and len(rows) <= MOST_DRAWN:
        lines += _gateways_drawn(view, rows, width, bars)
    foot = [*_troubles(view), _foot(view)]
    lines += _table(view, rows, width, height - len(lines) - len(foot))
    lines = lines[: height - len(foot)]
    lines += [("", None)] * (height - len(foot) - len(lines))
    return [(fitted(text, width), colour) for text, colour in [*lines, *foot][:height]]


def summary(view: WatchView) -> str:
    """All in one line, for what is no terminal that could be drawn on."""
    if view.lost is not None:
        return printable(f"{_clock(view.at)} no answer since {_clock(view.lost[0])}: {view.lost[1]}")
    gateways = view.recent["Gateways"]
    missing = [row["janus_id"] for row in sorted(gateways, key=_order) if _is_troubled(row)]
    parts = [
        f"{_clock(view.at)} {_ready(view)}",
        *(f"{name} {now}{unit}" for name, now, unit, _ in _plots(view)),
        *([f"table {view.status['Table']['state']}"] if view.status["Table"]["state"] != "fresh" else []),
        *([f"not well: {' '.join(missing[:MOST_NAMED])}{' ...' * (len(missing) > MOST_NAMED)}"] if missing else []),
    ]
    return printable(", ".join(parts))


def chosen(view: WatchView) -> list[Mapping[str, Any]]:
    """The gateways that the filter leaves, trouble first: all its words are in what is shown of one."""
    words = view.filter.lower().split()
    rows = sorted(view.recent["Gateways"], key=_order)
    return [row for row in rows if all(word in _text(row).lower() for word in words)]


def sparkline(samples: Samples, width: int, bars: str = BARS) -> str:
    """The samples, the newest at the right, from 0 to the most of them; a blank where nothing is known.

    Where there are more than ``width``, each column is the most of several.
    """
    each = max(1, -(-len(samples) // width)) if width > 0 else 1
    start = len(samples) % each
    groups = [samples[:start]] * bool(start) + [samples[at : at + each] for at in range(start, len(samples), each)]
    columns = [max((value for value in group if value is not None), default=None) for group in groups]
    most = max((value for value in columns if value is not None), default=0.0)
    drawn = "".join(
        " " if value is None else bars[0 if most <= 0 else round(value / most * (len(bars) - 1))] for value in columns
    )
    return drawn[-width:].rjust(width) if width > 0 else ""


def fitted(text: str, width: int) -> str:
    """Printable, and cut to so many columns; … says that something is missing."""
    text = printable(text)
    if sum(map(_columns, text)) <= width:
        return text
    kept, left = "", width - 1
    for char in text:
        left -= _columns(char)
        if left < 0:
            break
        kept += char
    return f"{kept}…" if width > 0 else ""


def _columns(char: str) -> int:
    if combining(char):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def _head(view: WatchView) -> Line:
    found = view.status["Table"]
    age = "never read" if found["age_s"] is None else f"read {duration(found['age_s'])} ago"
    well = found["state"] == "fresh" and not any(map(_is_troubled, view.recent["Gateways"]))
    text = f"{_clock(view.at)}  {_ready(view)}  table {found['state']}, {age}  {view.url}"
    return text, GREEN if well else YELLOW


def _ready(view: WatchView) -> str:
    gateways = view.recent["Gateways"]
    ready = sum(row["state"] == "ready" for row in gateways)
    return f"{count(ready)} of {count(len(gateways))} gateways ready"


def _plots(view: WatchView) -> list[tuple[str, str, str, Samples]]:
    """Name, value now, unit, samples."""
    bridge = view.recent["Bridge"]
    return [
        ("commands", _now(bridge["commands"], rate), "/s", bridge["commands"]),
        ("p50", _now(bridge["p50_ms"], _milliseconds), "", bridge["p50_ms"]),
        ("p99", _now(bridge["p99_ms"], _milliseconds), "", bridge["p99_ms"]),
        ("events", _now(bridge["events"], rate), "/s", bridge["events"]),
        ("dropped", _now(bridge["drops"], rate), "/s", bridge["drops"]),
        ("loop lag", _now(bridge["lag_ms"], _milliseconds), "", bridge["lag_ms"]),
    ]


def _bridge(view: WatchView, width: int, bars: str) -> list[Line]:
    return [
        (_plot(name, now + unit, samples, _milliseconds if unit == "" else rate, width, bars), None)
        for name, now, unit, samples in _plots(view)
    ]


def _plot(name: str, now: str, samples: Samples, words: Callable[[float], str], width: int, bars: str) -> str:
    known = [value for value in samples if value is not None]
    most = f"most {words(max(known))}" if known else ""
    before = f"{name:<9} {now:>9}  {most:<14} "
    return before + sparkline(samples, min(len(samples), width - len(before)), bars)


def _gateways_drawn(view: WatchView, rows: Sequence[Mapping[str, Any]], width: int, bars: str) -> list[Line]:
    lines: list[Line] = []
    for row in rows:
        samples = view.named.get(row["janus_id"], {}).get("Recent")
        if samples is not None:
            lines.append((f"{row['janus_id']}:", DIM))
            for name, key, words in (
                ("commands", "commands", rate),
                ("p99", "p99_ms", _milliseconds),
                ("events", "events", rate),
            ):
                unit = "" if words is _milliseconds else "/s"
                lines.append((_plot(name, _now(samples[key], words) + unit, samples[key], words, width, bars), None))
    return lines


def _table(view: WatchView, rows: Sequence[Mapping[str, Any]], width: int, room: int) -> list[Line]:
    """As many gateways as there is room for, and how many there are beside; an error before the last columns."""
    if not rows:
        words = "no gateway has that" if view.filter else "no gateways: the janus table is empty"
        return [("", None), (words, DIM)]
    shown = rows if len(rows) + 2 <= room else rows[: max(0, room - 3)]
    cells = [_HEADER, *map(lambda row: _cells(row, view.at), shown)]
    widths = [max(sum(map(_columns, printable(row[column]))) for row in cells) for column in range(len(_HEADER))]
    widths[0] = min(widths[0], 24)
    most = width - (ERROR if any(map(_is_troubled, shown)) else 0)
    while len(widths) > LEAST and sum(widths) + 2 * len(widths) > most:
        widths.pop()
    lines: list[Line] = [("", None)]
    for number, row in enumerate(cells):
        line = "  ".join(_padded(cell, wide) for cell, wide in zip(row, widths, strict=False))
        if number == 0:
            lines.append((line, DIM))
            continue
        found = shown[number - 1]
        error = found["last_error"] if _is_troubled(found) else None
        lines.append((f"{line}  {error}" if error else line.rstrip(), _colour(found)))
    rest = rows[len(shown) :]
    if rest:
        troubled = sum(map(_is_troubled, rest))
        words = f"{count(troubled)} of them not well" if troubled else "all of them well"
        lines.append((f"and {count(len(rest))} more, {words}", DIM))
    return lines


def _padded(text: str, width: int) -> str:
    text = fitted(text, width)
    return text + " " * (width - sum(map(_columns, text)))


def _cells(row: Mapping[str, Any], now: float) -> tuple[str, ...]:
    return (
        str(row["janus_id"]),
        f"{row['state']}{', draining' if row['draining'] else ''}",
        duration(now - datetime.fromisoformat(row["since"]).timestamp()),
        f"{rate(row['commands'])}/s",
        _milliseconds(row["p99_ms"]),
        f"{rate(row['events'])}/s",
        count(row["in_flight"]),
        _milliseconds(row["rtt_ms"]),
        count(row["sessions"]),
    )


def _text(row: Mapping[str, Any]) -> str:
    return " ".join(str(row[key]) for key in ("janus_id", "state", "janus_url", "last_error")) + (
        " draining" if row["draining"] else ""
    )


def _order(row: Mapping[str, Any]) -> tuple[int, bool, str]:
    return _TROUBLE.get(row["state"], 0), row["serving_url"] is None, row["janus_id"]


def _is_troubled(row: Mapping[str, Any]) -> bool:
    return row["state"] != "ready" or row["serving_url"] is not None


def _colour(row: Mapping[str, Any]) -> str:
    return YELLOW if row["serving_url"] is not None else _COLOURS.get(row["state"], RED)


def _troubles(view: WatchView) -> list[Line]:
    """Of the table and the subscribers."""
    lines: list[Line] = []
    if view.status["Table"]["error"]:
        lines.append((f"table: {view.status['Table']['error']}", RED))
    troubled = [one for one in view.status["Subscribers"] if one["trouble"]]
    lines += [(f"{one['subscriber']}: {one['trouble']}", RED) for one in troubled[:3]]
    if len(troubled) > 3:
        lines.append((f"and {count(len(troubled) - 3)} more subscribers in trouble", RED))
    return lines


def _foot(view: WatchView) -> Line:
    if view.lost is not None:
        return f"no answer since {_clock(view.lost[0])}, the figures are old: {view.lost[1]}", RED
    return (f"filter: {view.filter}   (Esc ends it)" if view.filter else "type to filter, Ctrl-C ends"), DIM


def _now(samples: Samples, words: Callable[[float], str]) -> str:
    return words(samples[-1]) if samples and samples[-1] is not None else "–"


def _milliseconds(value: float | None) -> str:
    return short_time(None if value is None else value / 1000)


def _clock(unix: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix))
