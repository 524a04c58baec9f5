"""How far this process is from what systemd allows it.

Owns the files of the control group. Must not know who asks. Authority: the kernel's cgroup-v2 documentation
(memory.current, memory.max, pids.current, pids.max); systemd.resource-control(5), MemoryMax= and TasksMax=.

A limit of an outer group holds inside, too: the one that is nearest counts. Where control groups are of the first
version, or there is no limit, nothing is known.
"""

from collections.abc import Iterator
from pathlib import Path

from bridge.protocol.snapshot import Room


def room(root: Path = Path("/")) -> Room:
    """What is used and allowed now. Never raises. ``root`` has ``proc`` and ``sys``."""
    memory, memory_limit = _nearest(root, "memory")
    tasks, tasks_limit = _nearest(root, "pids")
    return Room(memory, memory_limit, tasks, tasks_limit)


def _nearest(root: Path, controller: str) -> tuple[int | None, int | None]:
    """Used and allowed in the group where the least is left."""
    found = [
        (current, limit)
        for folder in _groups(root)
        if (current := _number(folder / f"{controller}.current")) is not None
        and (limit := _number(folder / f"{controller}.max")) is not None
    ]
    return min(found, key=lambda pair: pair[1] - pair[0], default=(None, None))


def _groups(root: Path) -> Iterator[Path]:
    """The folder of our group, and of those around it."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        if line.startswith("0::/"):
            folder = top / line.removeprefix("0::/")
            yield from (one for one in (folder, *folder.parents) if one.is_relative_to(top))


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None  # "max": no limit
