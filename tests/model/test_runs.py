"""Random sequences of commands, faults and reloads: nothing without an outcome, nothing lost uncounted, nothing left.

A seed that finds something is written to seeds.txt, and replayed first from then on. ``make soak`` runs the same steps
against the installed program for as long as wanted.
"""

import gc
import os
import tempfile
from pathlib import Path

import pytest
import trio

from tests.model.driver import Driver
from tests.model.ledger import Ledger
from tests.model.running import live_inside
from tests.model.site import open_site
from tests.model.steps import plan, take

SEEDS = Path(__file__).with_name("seeds.txt")
GATEWAYS = 2
ROUNDS = 3
STEPS = 40  # a round


def kept() -> list[int]:
    """The seeds of failures."""
    lines = SEEDS.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line[:1].isdigit()]


def fresh() -> list[int]:
    """In CI always the same; at a desk one that nobody has tried (conftest.py: the same in all processes of a run)."""
    return [int(os.environ["MODEL_SEED"])]


def keep(seed: int, why: str) -> None:
    """Add a seed to the file, once."""
    if seed not in kept():
        with SEEDS.open("a", encoding="utf-8") as seeds:
            seeds.write(f"{seed}  # {why}\n")


async def faults_of(seed: int, folder: Path) -> list[str]:
    """Run; what was broken, and how many descriptors and tasks are left when all is over."""
    ledger = Ledger()
    gc.collect()  # what earlier tests left to it
    before = len(os.listdir("/proc/self/fd")), trio.lowlevel.current_statistics().tasks_living
    async with (
        open_site(folder, GATEWAYS, ledger) as site,
        live_inside(folder, site) as running,
        trio.open_nursery() as nursery,
    ):
        driver = Driver(site, running, ledger, nursery)
        await driver.begin()
        steps = plan(seed, ROUNDS * STEPS, GATEWAYS)
        for number, step in enumerate(steps, 1):
            print(number, *step)  # pytest shows it where the test failed
            await take(driver, step)
            if number % STEPS == 0:
                await driver.settle()
    after = len(os.listdir("/proc/self/fd")), trio.lowlevel.current_statistics().tasks_living
    if after != before:
        ledger.fault(f"descriptors and tasks: {before} before, {after} when all was over")
    return ledger.faults


# A new one is for whoever has the time of `make test-galera`.
@pytest.mark.parametrize("seed", [*kept(), *(pytest.param(seed, marks=pytest.mark.galera) for seed in fresh())])
async def test_run_keeps_every_promise(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:  # short: a unix socket's path has 107 bytes
        faults = await faults_of(seed, Path(folder))
    if faults:
        keep(seed, faults[0])
    assert not faults, "\n".join(faults)
