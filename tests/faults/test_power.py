"""A power failure: the disk has what was synced, and nothing else."""

from pathlib import Path

import pytest

from bridge.transport.event_store import EventStore
from tests.support import power_loss

pytestmark = pytest.mark.program

WRITER = """
import os
import sys
from pathlib import Path
import trio
from bridge.protocol.event_record import OutletState
from bridge.transport.event_store import EventStore
from tests.support.event_logs import pages, record

async def main():
    store = EventStore(Path(sys.argv[1]) / "events.db", full=True)
    store.open()
    for first in range(1, 200, 20):
        records = [record(n, "x" * 400) for n in range(first, first + 20)]
        await store.write(pages(*records), [OutletState("o", first - 1)], (), first // 40 * 20)
        os.write(1, b"committed %d" % (first + 19))

trio.run(main)
"""


def found(folder: Path, files: dict[str, bytes]) -> tuple[int, int]:
    """The first and the last event that is there, none of them missing, and that the outlet is."""
    folder.mkdir()
    for name, content in files.items():
        if not name.endswith("-shm"):
            (folder / name).write_bytes(content)
    store = EventStore(folder / "events.db", full=True)
    contents = store.open()
    assert [state.name for state in contents.outlets] == ["o"]
    assert store._reader is not None
    numbers = [seq for (seq,) in store._reader.execute("SELECT seq FROM janus_event ORDER BY seq")]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    store.close()
    return numbers[0], numbers[-1]


def test_power_fails_with_store_sync_full(tmp_path: Path) -> None:
    """Whenever it fails: what was committed is there, in order, and what was cut is not."""
    disk = tmp_path / "disk"
    disk.mkdir()
    power_loss.run(WRITER, disk, tmp_path / "trace")
    moments = [one for one in power_loss.images(tmp_path / "trace", disk) if one[0].startswith("committed ")]
    assert len(moments) == 10
    for line, files in moments:
        last = int(line.split()[1])
        assert found(tmp_path / line, dict(files)) == ((last - 19) // 40 * 20 + 1, last)
