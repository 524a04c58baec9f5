"""What the next start is to know of the subscribers of the log, although the log's disk has not taken it at the stop.

Owns the file ``events.db.left``: their places and losses. Must not know the database. Authority: contract 12.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from bridge.files import read_file
from bridge.protocol.event_record import OutletState
from bridge.transport.event_rows import read_subscriber, subscriber_row
from bridge.transport.private_file import replace_file

log = logging.getLogger("bridge.evi")

_FILE_MAX = 64 << 20  # bytes


def leave(database: Path, outlets: Sequence[OutletState]) -> None:
    """Raises OSError."""
    replace_file(_path(database), json.dumps([subscriber_row(state) for state in outlets]).encode())


def left(database: Path) -> list[OutletState]:
    """What the last life has left; nothing fails. Then ``forget``, once it is kept."""
    path = _path(database)
    try:
        return [read_subscriber(row) for row in json.loads(read_file(path, _FILE_MAX))]
    except FileNotFoundError:
        return []
    except OSError as exc:
        fault = exc.strerror or str(exc)
    except (ValueError, TypeError, RecursionError):
        fault = "it is damaged"
    log.warning("%s cannot be read: %s; subscribers that lost events at the last stop are not told", path, fault)
    return []


def forget(database: Path) -> None:
    """It is kept."""
    try:
        _path(database).unlink(missing_ok=True)
    except OSError as exc:
        log.warning("%s cannot be removed: %s; remove it", exc.filename, exc.strerror)


def _path(database: Path) -> Path:
    return Path(f"{database}.left")
