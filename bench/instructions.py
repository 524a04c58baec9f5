"""Instructions of one command, counted by valgrind: a figure that no busy machine can change.

Owns the counting: two runs of different length, and the difference of what they took in user space. What the kernel
does is not among it. Not part of a usual run (``make bench ONLY=instructions``): it takes a minute.
"""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.bed import Janus, attach, running
from bench.commands import http_caller
from tests.support.bridge import Bridge

COMMANDS = 400, 2000  # all callers together
CALLERS = 1, 16
VALGRIND = "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"


class CountedBridge(Bridge):
    """The installed program on a counted processor, some forty times as slow."""

    start_seconds = stop_seconds = 120.0

    @property
    def command(self) -> list[str]:
        return [*VALGRIND, sys.executable, *super().command]


def of_a_command(janus: Janus, folder: Path) -> dict[str, dict[str, int]]:
    """By number of callers, each on a handle of its own."""
    few, many = COMMANDS
    return {
        f"{callers} callers": {
            "instructions": (_run(janus, folder, callers, many) - _run(janus, folder, callers, few)) // (many - few)
        }
        for callers in CALLERS
    }


def _run(janus: Janus, folder: Path, callers: int, commands: int) -> int:
    with running(folder / f"{callers}-{commands}", {"gw": janus.url}, CountedBridge) as bridge:
        handles = attach(bridge, callers)
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda handle: _ask(bridge, handle, commands // callers), handles))
    [count] = re.findall(r"I +refs: +([\d,]+)", bridge.log)
    return int(count.replace(",", ""))


def _ask(bridge: Bridge, handle: str, commands: int) -> None:
    with http_caller(bridge, handle) as once:
        for _ in range(commands):
            once()
