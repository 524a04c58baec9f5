"""How the program logs: one line a fact, to stderr.

Owns the formats (text, JSON, with systemd's priorities on a journal) and the summary of floods (contract 8.3). Must not
know what is logged. Authority: sd-daemon(3) for the ``<N>`` prefix; OpenSIPS's level names.
"""

import json
import logging
import sys
import time
from typing import TextIO

from bridge.protocol import log_level

_PRIORITIES = ((60, 1), (50, 2), (40, 3), (30, 4), (25, 5), (20, 6), (0, 7))  # threshold -> syslog priority
FLOOD = 10  # equal lines in a window from which on the rest are only counted
WINDOW = 60.0  # seconds


class FloodFilter(logging.Filter):
    """Lets the first ``FLOOD`` equal lines of a minute through, and then says how many there were.

    Equal: of one logger with one text, whatever it was filled with, but for its first argument: by the habit of this
    program that is the janus_id, and a flood about one gateway must not hide the first line about another.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        first = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
        key = (record.name, str(record.msg), first)
        began, count = self._seen.get(key, (record.created, 0))
        if record.created - began >= WINDOW:
            if count > FLOOD:
                record.msg = f"{record.getMessage()} (and {count - FLOOD} like it in the last minute)"
                record.args = None
            began, count = record.created, 0
        if len(self._seen) > 1000:
            self._seen.clear()
        self._seen[key] = (began, count + 1)
        return count < FLOOD


class TextFormatter(logging.Formatter):
    """``Nov 22 13:18:39 [PID] ERROR:bridge.link: text``, as OpenSIPS writes it."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = f"{record.levelname}:{record.name}: {one_line(record.getMessage())}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if self._journal:  # which has the time and the process by itself
            prefix = f"<{priority(record.levelno)}>"
            return "\n".join(prefix + line for line in text.splitlines())
        return f"{time.strftime('%b %d %H:%M:%S', time.localtime(record.created))} [{record.process}] {text}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (unix seconds), level, logger, message, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row)


def priority(level: int) -> int:
    """The syslog priority of a Python log level."""
    return next(number for threshold, number in _PRIORITIES if level >= threshold)


def one_line(text: str) -> str:
    """Without what would break a log in lines or a terminal: texts of Janus and of callers stand in it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def set_up(level: int, form: str, stream: TextIO = sys.stderr, *, journal: bool = False) -> None:
    """Log the tree "bridge" at an OpenSIPS ``level`` (-3 .. 4) in ``form`` (text or json)."""
    for number, name in log_level.EXTRA_NAMES.items():
        logging.addLevelName(number, name)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(journal=journal))
    handler.addFilter(FloodFilter())
    root = logging.getLogger("bridge")
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.propagate = False
    root.setLevel(log_level.to_python(level))
    logging.raiseExceptions = False  # a full disk or a closed stderr is no reason for tracebacks
