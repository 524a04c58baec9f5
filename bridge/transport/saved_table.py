"""The last good table, kept in the state directory for a start without the database (contract 4.3).

Owns the file. It belongs to one database and table: rows of another are not used, those of another host of the same
cluster are. Must not know what a row means.
"""

import json
import logging
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import trio

from bridge.files import read_file
from bridge.protocol.gateway import TableRow
from bridge.transport.private_file import replace_file

log = logging.getLogger("bridge.db")

FORMAT = 1
_FILE_MAX = 64 << 20  # bytes


class SavedRows(NamedTuple):
    """``saved_at``: unix seconds of the database's last good answer."""

    rows: list[TableRow]
    saved_at: float


class SavedTable:
    """``sources`` say which table this is, JanusTable.sources; set them anew when a reload names another."""

    def __init__(self, path: Path, *sources: str) -> None:
        self._path = path
        self.sources = sources

    async def save(self, rows: list[TableRow]) -> None:
        """Replace the file (0600: a URL's query may hold a secret). Rows whose id is no key stay out: disabled ones.

        A failure is logged: nothing depends on the file now.
        """
        content = {
            "format": FORMAT,
            "source": self.sources[0] if len(self.sources) == 1 else self.sources,
            "saved_at": time.time(),
            "rows": [[row.id, row.janus_id, row.janus_url] for row in rows if isinstance(row.id, int)],
        }
        try:
            await trio.to_thread.run_sync(lambda: replace_file(self._path, json.dumps(content).encode()))
        except OSError as exc:
            log.error("%s: cannot save the table for a start without the database: %s", self._path, exc.strerror)

    def load(self) -> SavedRows | None:
        """The rows, None if there are none for this table; a file that cannot be used is logged and left alone."""
        try:
            content = json.loads(read_file(self._path, _FILE_MAX))
            return self._read(content)
        except FileNotFoundError:
            return None
        except OSError as exc:
            log.warning("%s: ignoring the saved table: %s", self._path, exc.strerror)
        except (ValueError, TypeError, LookupError, RecursionError):
            log.warning("%s: ignoring the saved table: the file is damaged", self._path)
        return None

    def _read(self, content: Any) -> SavedRows | None:
        if content["format"] != FORMAT:
            raise ValueError
        saved = content["source"]
        if not set(saved if isinstance(saved, list) else [saved]) & set(self.sources):
            log.warning("%s: ignoring the saved table: it belongs to %r", self._path, saved)
            return None
        saved_at = content["saved_at"]
        rows = [TableRow(key, janus_id, janus_url) for key, janus_id, janus_url in content["rows"]]
        if not isinstance(saved_at, float) or not math.isfinite(saved_at) or not all(map(_sound, rows)):
            raise ValueError
        return SavedRows(rows, saved_at)


def _sound(row: TableRow) -> bool:
    return isinstance(row.id, int) and isinstance(row.janus_id, str) and isinstance(row.janus_url, str)
