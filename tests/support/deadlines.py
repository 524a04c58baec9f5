"""Deadlines that hold on a busy machine.

Two kinds. HANG_SECONDS is for what has to happen at some time or never: no test fails because it took long. ``in_time``
is for what is promised to happen in so many seconds on a machine that is free: its clock runs slower where more
programs want to run than there are processors, or wait for the disk, so that only the program under test can miss it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

HANG_SECONDS = 120.0
_TICK = 0.05
_WAITS = Path("/proc/pressure/io")


class FairClock:
    """``passed``: seconds of a machine that is free."""

    def __init__(self) -> None:
        self.passed = 0.0

    async def run(self, seconds: float, stopped: trio.CancelScope, late: trio.CancelScope) -> None:
        """Cancel ``late`` after so many of them."""
        with stopped:
            while self.passed < seconds:
                before = disk_waits()
                await trio.sleep(_TICK)
                self.passed += max(_TICK - (disk_waits() - before), _TICK / 10) / crowding()
            late.cancel()


@contextmanager
def in_time(seconds: float) -> Iterator[FairClock]:
    """Raises trio.TooSlowError where the block takes longer than so many seconds of a machine that is free."""
    clock, stopped = FairClock(), trio.CancelScope()
    with trio.CancelScope() as late:
        trio.lowlevel.spawn_system_task(clock.run, seconds, stopped, late)
        try:
            yield clock
        finally:
            stopped.cancel()
    if late.cancelled_caught:
        raise trio.TooSlowError


def crowding() -> float:
    """How many programs want each processor at this moment; 1 where there is one for each."""
    running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
    return max(1.0, running / (os.cpu_count() or 1))


def disk_waits() -> float:
    """Seconds since the machine's start in which some program waited for the disk; 0 where the kernel does not tell."""
    try:
        some = _WAITS.read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return 0.0
    return int(some.partition("total=")[2]) / 1e6
