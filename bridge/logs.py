"""How the program logs: one line a fact, to stderr.

Owns the formats (text, JSON, with systemd's priorities on a journal) and the summary of floods (contract 8.3). Must not
know what is logged. Authority: sd-daemon(3) for the ``<N>`` prefix; OpenSIPS's level names.
"""

import copy
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO, TypeAlias

from bridge.log_stream import LogStream
from bridge.protocol import log_level
from bridge.protocol.humanize import plural
from bridge.protocol.printable import printable
from bridge.protocol.redaction import unchanged

Hide: TypeAlias = Callable[[str], str]

_PRIORITIES = ((60, 1), (50, 2), (40, 3), (30, 4), (25, 5), (20, 6), (0, 7))  # threshold -> syslog priority
FLOOD = 10  # lines that are alike are written in one window; the rest are only counted
WINDOW = 60.0  # seconds
KINDS = 2000  # of lines that are told apart at a time
MAX_ARGUMENT = 1000  # characters of one thing that is told: URLs, names and reasons may come from strangers
MAX_LINE = 8000  # characters of a line, which escapes make longer than its arguments
MAX_TRACEBACK = 100  # lines of one
_OF_GATEWAYS = "bridge.link"  # the logger whose lines begin with a janus_id
AT_THE_END = 1.0  # seconds that the last lines have to be read


class LogHandler(logging.StreamHandler[TextIO | LogStream]):
    """Writes lines, but of those that are alike only the first ``FLOOD`` in a ``WINDOW``; the rest is counted.

    Alike: logged at one place in the code, whatever it was filled with; lines about a gateway, about one gateway, whose
    flood must not hide the first line about another. (A janus_id is in the table. What callers name has no end, and
    would make a kind of its own each time.) The last one written says that counting begins; the last one counted is
    written, with the count, when the window is over and anything is logged. ``clock`` in seconds. Debug lines are all
    written: each is one that was asked for.
    """

    def __init__(
        self, stream: TextIO | LogStream, clock: Callable[[], float] = time.monotonic, hide: Hide = unchanged
    ) -> None:
        """``hide`` takes secrets out of what is cut: half of one would no longer be known."""
        super().__init__(stream)
        self._clock = clock
        self._hide = hide
        self._floods: dict[_FloodKey, _Flood] = {}  # in the order in which they began

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        self._close_before(now - WINDOW)
        record = _bounded(record, self._hide)
        if record.levelno <= logging.DEBUG:
            super().emit(record)
            return
        about = str(record.args[0]) if record.name == _OF_GATEWAYS and record.args else ""  # type: ignore[index]
        flood = self._floods.setdefault((record.pathname, record.lineno, about), _Flood(now))
        flood.count += 1
        if flood.count < FLOOD:
            super().emit(record)
        elif flood.count == FLOOD:
            super().emit(_with(record, f"; more like it are only counted for {WINDOW - (now - flood.began):.0f} s"))
        else:
            flood.last = _with(record, "")

    def _close_before(self, moment: float) -> None:
        while self._floods:
            key, flood = next(iter(self._floods.items()))
            if flood.began > moment and len(self._floods) <= KINDS:
                return
            del self._floods[key]
            if flood.last is not None:
                super().emit(_with(flood.last, f" (the last of {flood.count - FLOOD} that were only counted)"))


_FloodKey: TypeAlias = tuple[str, int, str]  # file, line, janus_id


@dataclass(slots=True)
class _Flood:
    began: float
    count: int = 0
    last: logging.LogRecord | None = None  # the latest that was not written


def _with(record: logging.LogRecord, words: str) -> logging.LogRecord:
    """With these words behind it, and without a traceback, whose frames would be kept."""
    record = copy.copy(record)
    record.msg, record.args, record.exc_info = record.getMessage() + words, None, None
    return record


def _bounded(record: logging.LogRecord, hide: Hide) -> logging.LogRecord:
    """With arguments that are not too long."""
    if isinstance(record.args, tuple):
        record = copy.copy(record)
        record.args = tuple(_cut(value, hide) for value in record.args or ())
    return record


def _cut(value: object, hide: Hide) -> object:
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, (str, bytes)):
        value = str(value)
    if len(value) <= MAX_ARGUMENT:
        return value
    return f"{hide(str(value[: 2 * MAX_ARGUMENT]))[:MAX_ARGUMENT]}... ({len(value)} characters)"


class _BridgeFormatter(logging.Formatter):
    def __init__(self, *, journal: bool, hide: Hide = unchanged) -> None:
        """``journal``: it is read by systemd's; ``hide`` takes secrets out of what is said, tracebacks too."""
        super().__init__()
        self._journal = journal
        self._hide = hide


class TextFormatter(_BridgeFormatter):
    """``Nov 22 13:18:39 [PID] ERROR:bridge.link: text``, as OpenSIPS writes it; on a journal without what that knows
    by itself. A traceback, which only a fault of this program has, follows in lines of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        lines = [f"{record.levelname}:{record.name}: {one_line(self._hide(record.getMessage()))}"]
        if record.exc_info:
            lines += map(one_line, map(self._hide, _traceback(self, record)))
        if self._journal:
            return "\n".join(f"<{priority(record.levelno)}>{line}" for line in lines)
        lines[0] = f"{time.strftime('%b %d %H:%M:%S', time.localtime(record.created))} [{record.process}] {lines[0]}"
        return "\n".join(lines)


class JsonFormatter(_BridgeFormatter):
    """One JSON object a line: time (unix seconds), level, logger, message, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "message": self._hide(record.getMessage())[:MAX_LINE],
        }
        if record.exc_info:
            row["exception"] = "\n".join(self._hide(line)[:MAX_LINE] for line in _traceback(self, record))
        prefix = f"<{priority(record.levelno)}>" if self._journal else ""
        return prefix + json.dumps(row)


def priority(level: int) -> int:
    """The syslog priority of a Python log level."""
    return next(number for threshold, number in _PRIORITIES if level >= threshold)


def one_line(text: str) -> str:
    """Without what would break a log in lines or a terminal: texts of Janus and of callers stand in it."""
    return printable(text[:MAX_LINE])[:MAX_LINE]


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The last lines of it, which say most."""
    assert record.exc_info is not None
    return formatter.formatException(record.exc_info).splitlines()[-MAX_TRACEBACK:]


def set_up(
    level: int,
    form: str,
    stream: TextIO | LogStream | None = None,
    *,
    journal: bool = False,
    hide: Hide = unchanged,
) -> None:
    """Log the tree "bridge" at an OpenSIPS ``level`` (-3 .. 4) in ``form`` (text or json), without what ``hide`` hides.

    By default to stderr, without ever waiting for whoever reads it; ``close`` gives the last lines their time.
    """
    for number, name in log_level.EXTRA_NAMES.items():
        logging.addLevelName(number, name)
    formatter = (JsonFormatter if form == "json" else TextFormatter)(journal=journal, hide=hide)
    if stream is None:
        stream = _stderr(lambda lost: formatter.format(_lost(lost)) + "\n")
    handler = LogHandler(stream, hide=hide)
    handler.setFormatter(formatter)
    root = logging.getLogger("bridge")
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.propagate = False
    root.setLevel(log_level.to_python(level))
    logging.raiseExceptions = False  # a full disk or a closed stderr is no reason for tracebacks


def dropped() -> int:
    """Lines that could not be written since the start."""
    return sum(stream.dropped for stream in _streams())


def close() -> None:
    """Before the process ends: let the last lines be written, if anybody reads them."""
    for stream in _streams():
        stream.close(AT_THE_END)


def _streams() -> list[LogStream]:
    handlers = logging.getLogger("bridge").handlers
    return [one.stream for one in handlers if isinstance(one, LogHandler) and isinstance(one.stream, LogStream)]


def _stderr(tell: Callable[[int], str]) -> TextIO | LogStream:
    """As it is where it has no descriptor: somebody in this process reads it."""
    try:
        return LogStream(2 if sys.stderr is None else sys.stderr.fileno(), tell)
    except (OSError, ValueError):
        return sys.stderr


def _lost(lines: int) -> logging.LogRecord:
    return logging.LogRecord(
        "bridge.log",
        logging.WARNING,
        __file__,
        0,
        "missing here: %s; this log was not read fast enough, or could not be written",
        (plural(lines, "line"),),
        None,
    )
