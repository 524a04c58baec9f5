"""Figures in words, as a person reads them.

Owns units and rounding on the status page and in terminals. Must not know what is counted.
"""

from datetime import UTC, datetime


def duration(seconds: float) -> str:
    """``12 s``, ``5 min``, ``3 h 12 min``, ``4 d 2 h``."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 60:
        return f"{whole} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def short_time(seconds: float | None) -> str:
    """``0.31 ms``, ``12 ms``, ``1.2 s``; a dash where nothing was measured."""
    if seconds is None:
        return "–"
    if seconds < 0.01:
        return f"{seconds * 1000:.2f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def count(number: int) -> str:
    """``12,345``."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """``1 handle``, ``12,345 handles``."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def rate(per_second: float) -> str:
    """``0``, ``0.4``, ``12``, ``1,234``; never 0 for what is more."""
    if 0 < per_second < 10:
        return f"{max(per_second, 0.1):.1f}"
    return f"{per_second:,.0f}"


def size(number: int) -> str:
    """``512 bytes``, ``64 KiB``, ``1.5 MiB``."""
    if number < 1024:
        return plural(number, "byte")
    return f"{number / 1024:,.0f} KiB" if number < 1 << 20 else f"{number / (1 << 20):,.1f} MiB"


def iso(unix: float) -> str:
    """``2026-11-22T16:05:00Z``."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock(unix: float) -> str:
    """``16:05:00 UTC``."""
    return datetime.fromtimestamp(unix, UTC).strftime("%H:%M:%S UTC")
