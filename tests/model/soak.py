"""``make soak``: the installed bridge at half of its load with random faults, for as long as wanted.

The steps are those of the short runs; load comes on top: first what this machine carries is measured, then half of
that is asked. Every round ends as there, with nothing unaccounted for. Prints figures; ends with 1 if one is not good.
"""

import argparse
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import trio

from tests.model.caller import KeptAlive
from tests.model.driver import HANDLES, Driver
from tests.model.ledger import Ledger
from tests.model.running import BridgeOutside, settings
from tests.model.site import CHATTY, Place, open_site
from tests.model.steps import plan, take
from tests.support.bridge import Bridge

GATEWAYS = 3
CALLERS = 8
MEASURED = 5.0  # seconds of full load
ROUND = 20.0  # seconds of half load, with a step now and then
STEP = 0.4  # seconds from one step to the next
WARM = 0.25  # of the time, before memory is looked at: caches and books of bounded size fill up
QUEUE = 4000  # events; filled once before memory is looked at: what was used once stays with the process
MAX_GROWTH = 256.0  # KiB a minute
ENOUGH = 8  # rounds, for a slope that is more than noise


@dataclass
class Load:
    """Callers with one connection each, who ask one after the other. ``pause`` in seconds between two."""

    driver: Driver
    pause: float = 0.0
    asked: int = 0
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self, seconds: float) -> float:
        """Ask for so long; the rate a second that came of it."""
        before, began = self.asked, trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(CALLERS):
                nursery.start_soon(self._call, number, began + seconds)
        return (self.asked - before) / (trio.current_time() - began)

    async def _call(self, number: int, end: float) -> None:
        places = self.driver.site.places
        async with KeptAlive(self.driver.running.mi_url) as client:
            next_at = trio.current_time() + self.pause * number / CALLERS
            while trio.current_time() < end:
                place: Place = places[self.asked % len(places)]
                self.asked += 1
                await self.driver.ask(place, "chatty", handle=100 + number * HANDLES, timeout=2000, client=client)
                next_at = max(next_at + self.pause, trio.current_time() - 1)
                await trio.sleep_until(next_at)


@dataclass
class Figures:
    """What is printed."""

    full: float = 0.0  # commands a second
    half: list[float] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)  # seconds, bytes
    descriptors: list[int] = field(default_factory=list)

    @property
    def slope(self) -> float:
        """KiB a minute, after warming up; 0 where there is too little to tell."""
        late = [(time, size) for time, size in self.memory if time >= WARM * self.memory[-1][0]]
        if len(late) < ENOUGH:
            return 0.0
        return statistics.linear_regression(*zip(*late, strict=True)).slope * 60 / 1024

    def table(self, ledger: Ledger, counted: dict[str, int], minutes: float, seed: int) -> str:
        """Lines for a terminal, or for the page of guarantees."""
        sizes = [size / 2**20 for _, size in self.memory]
        outcomes = ", ".join(f"{count} {name}" for name, count in ledger.outcomes.most_common())
        statuses = ", ".join(f"{count} {name}" for name, count in sorted(ledger.statuses.items()))
        half = statistics.fmean(self.half)
        rows = {
            "time, seed": f"{minutes:.1f} minutes in {len(self.half)} rounds, seed {seed}",
            "full load": f"{self.full:.0f} commands/s, {CHATTY * self.full:.0f} events/s, callers and Janus beside it",
            "load": f"{half:.0f} commands/s, {CHATTY * half:.0f} events/s",
            "requests": f"{ledger.outcomes.total()} waited for, {ledger.unwaited} not: {outcomes}",
            "events": f"{ledger.received} received, {counted['event_drops']} dropped and counted ({statuses})",
            "reconnects": str(counted["reconnects"]),
            "memory": f"{sizes[0]:.1f} MiB at the start, {sizes[-1]:.1f} at the end, {max(sizes):.1f} at most; "
            f"slope {self.slope:+.1f} KiB a minute",
            "descriptors": f"{min(self.descriptors)} to {max(self.descriptors)} at rest",
            "unaccounted": f"{len(ledger.faults)} requests, events or descriptors",
        }
        return "\n".join(f"{name:12} {value}" for name, value in rows.items())


async def soak(minutes: float, seed: int, folder: Path) -> int:
    """Run; the exit code."""
    ledger, figures = Ledger(), Figures()
    async with open_site(folder, GATEWAYS, ledger) as site:
        options = {**settings(folder, site), "events.queue_events": QUEUE}
        with Bridge(folder, options) as bridge:
            running = BridgeOutside(folder, bridge)
            async with trio.open_nursery() as nursery:
                driver = Driver(site, running, ledger, nursery)
                await driver.begin()
                await _rounds(driver, running, figures, minutes * 60, random.Random(seed))
            counted = await driver.statistics()
    print(figures.table(ledger, counted, minutes, seed))
    for fault in ledger.faults[:20]:
        print(f"fault: {fault}")
    if figures.slope > MAX_GROWTH:
        print(f"memory grows by more than {MAX_GROWTH:g} KiB a minute")
    return 1 if ledger.faults or figures.slope > MAX_GROWTH else 0


async def _rounds(
    driver: Driver, running: BridgeOutside, figures: Figures, seconds: float, choice: random.Random
) -> None:
    began = trio.current_time()
    load = Load(driver)
    figures.full = await load.run(MEASURED)
    driver.site.deafen()
    await load.run(MEASURED)
    await driver.settle()
    load.pause = CALLERS / (figures.full / 2)
    while trio.current_time() - began < seconds:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_step_now_and_then, driver, choice.getrandbits(32))
            figures.half.append(await load.run(ROUND))
            nursery.cancel_scope.cancel()
        await driver.settle()
        figures.memory.append((trio.current_time() - began, running.memory()))
        figures.descriptors.append(running.remains()["descriptors"])
        time, size = figures.memory[-1]
        print(
            f"{time:6.0f} s  {figures.half[-1]:6.0f} commands/s  {size / 2**20:6.1f} MiB"
            f"  {figures.descriptors[-1]} descriptors  {len(driver.ledger.faults)} faults",
            flush=True,
        )


async def _step_now_and_then(driver: Driver, seed: int) -> None:
    for step in plan(seed, round(ROUND / STEP), GATEWAYS):
        with trio.CancelScope(shield=True):  # half a step would be a fault of ours
            await take(driver, step)
        await trio.sleep(STEP)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    with tempfile.TemporaryDirectory() as folder:  # short: a unix socket's path has 107 bytes
        return trio.run(soak, arguments.minutes, seed, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
