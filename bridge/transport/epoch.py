"""The number of this life of the bridge, from which those of its events are made: ``janus_seq`` is "EPOCH-N".

Owns the file ``epoch`` in the state directory and the one decision that counts: an epoch is never used twice, so that a
number never names two events, whatever of them reached a disk. Must not know events. Authority: contract 7.3.

The file holds the epoch of the last start. This one's is the clock's, in unix milliseconds, or one more than the
largest that is known where the clock is not beyond that, and is on the disk before it is used. A file that is lost or
cannot be written repeats none, because nothing starts a thousand times a second; nor does a clock that was set back.
Both together may, unless the log of events knows better.

In a cluster it ends in the node_id (``epoch_of``; the milliseconds stand before it), so that bridges which start
without their database have none in common either; with it, it is that of this bridge's life there (core/cluster_life).
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from bridge.files import read_file
from bridge.protocol.cluster import MOST_NODES, epoch_of
from bridge.protocol.event_record import LARGEST
from bridge.protocol.numbers import read_decimal
from bridge.transport.private_file import replace_file

log = logging.getLogger("bridge.state")

_FILE_MAX = 64  # bytes


def take_epoch(
    path: Path,
    clock: Callable[[], float] = time.time,
    newest: int = 0,
    *,
    node_id: int | None = None,
    life: int | None = None,
) -> int:
    """The epoch of this start, kept. ``clock`` gives unix seconds; ``newest`` is the last epoch that is known from
    elsewhere. ``node_id``: ours in a cluster; ``life``: that of our life there, which had this start's as its least.
    Nothing fails: what is wrong is logged.
    """
    milliseconds = int(clock() * 1000)
    if life is not None:
        epoch = life
    elif node_id is not None:
        epoch = epoch_of(node_id, max(milliseconds * MOST_NODES, _read(path) + 1, newest + 1))
    else:
        epoch = max(milliseconds, _read(path) + 1, newest + 1)
    try:
        _write(path, epoch)
    except OSError as exc:
        log.error("%s cannot be written: %s; the epoch of this start, %d, is not kept", path, exc.strerror, epoch)
    return epoch


def _read(path: Path) -> int:
    """0: there is none."""
    try:
        epoch = read_decimal(read_file(path, _FILE_MAX).decode("ascii").strip(), LARGEST - 1, 1)
        if epoch is not None:
            return epoch
        fault = "the file is damaged"
    except FileNotFoundError:
        return 0
    except OSError as exc:
        fault = exc.strerror or str(exc)
    except ValueError:
        fault = "the file is damaged"
    log.warning("%s: %s; events are numbered from the clock on", path, fault)
    return 0


def _write(path: Path, epoch: int) -> None:
    """On the disk once this returns, its name as well. Raises OSError."""
    replace_file(path, b"%d\n" % epoch)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
