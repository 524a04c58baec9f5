"""A good caller beside hostile clients, Janus, database and subscribers: no failed call, no long wait, bounded memory.

Part of ``make soak``; a short one runs with the other tests. The hostile ones are a process of their own
(attackers.py), so that what they do costs the caller's clock nothing but the machine's time.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from tests.model.attackers import HOSTILE, SILENT
from tests.model.caller import KeptAlive, request_bytes
from tests.model.running import BridgeOutside
from tests.support.bridge import Bridge, toml
from tests.support.deadlines import HANG_SECONDS, crowding
from tests.support.fake_janus import open_fake_janus
from tests.support.process import ChildProcess
from tests.support.tables import sqlite_table

MIB = 2**20
PENDING, QUEUES, MESSAGE = 16 * MIB, 16 * MIB, MIB  # budgets; unfinished messages have 16 times the last
# As MemoryMax= of the unit is reckoned, and some for what malloc keeps in pieces: with two arenas, as in the unit, two
# minutes took 216 MiB at most and 170 at the end; with the usual ones (8 a processor) 274 after 85 s, 289 after 200 s.
MOST_MEMORY = 2 * (PENDING + QUEUES + 16 * MESSAGE) + 160 * MIB
ENVIRON = {**os.environ, "MALLOC_ARENA_MAX": "2"}
LONGEST_WAIT = 1.0  # seconds of a machine that is free
PAUSE = 0.01  # seconds from an answer to the next call


@dataclass
class Outcome:
    """What the caller and the kernel saw."""

    calls: int = 0
    failed: list[Any] = field(default_factory=list)
    longest: float = 0.0  # seconds of a machine that is free
    memory: int = 0  # bytes, at most
    statistics: dict[str, int] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """What was not kept."""
        faults = [f"a call failed: {answer}" for answer in self.failed]
        if self.longest >= LONGEST_WAIT:
            faults.append(f"a call took {self.longest:.2f} s")
        if self.memory >= MOST_MEMORY:
            faults.append(f"the bridge took {self.memory / MIB:.0f} MiB, more than {MOST_MEMORY / MIB:.0f}")
        return faults

    def __str__(self) -> str:
        attacked = ", ".join(f"{name} {self.statistics.get(f'janus:{name}')}" for name in ("mi_requests", "mi_errors"))
        return (
            f"attack       {self.calls} calls, {len(self.failed)} failed, the longest {self.longest * 1000:.0f} ms; "
            f"{self.memory / MIB:.0f} MiB of {MOST_MEMORY / MIB:.0f} at most; {attacked}"
        )


async def attack(seconds: float, folder: Path) -> Outcome:
    """Let them loose for so long."""
    outcome = Outcome()
    async with open_fake_janus() as good, hostile(folder) as ports:
        rows = {"good": good.port, HOSTILE: ports[HOSTILE], SILENT: ports[SILENT]}
        urls = {name: f"janusws://127.0.0.1:{port}/janus" for name, port in rows.items()}
        table = sqlite_table(folder / "t.db", urls)
        configuration = folder / "bridge.toml"
        configuration.write_text(f"[janus]\njanus_db_url = {toml(table)}\n")
        options = {
            "janus.max_message_size": MESSAGE,
            "janus.janus_ping_interval": 1,
            "mi.pending_bytes": PENDING,
            "events.pending_bytes": QUEUES,
            "events.subscribers": [{"event": "E_JANUS_EVENT", "socket": f"tcp:127.0.0.1:{ports['subscriber']}"}],
        }
        with Bridge(folder, options, arguments=["-c", str(configuration)], environ=ENVIRON) as bridge:
            await _until_ready(bridge)
            url = f"mysql://u:p@127.0.0.1:{ports['database']}/d"
            configuration.write_text(f"[janus]\njanus_db_url = {toml(url)}\n")
            bridge.reload()
            (folder / "mi_url.new").write_text(bridge.mi_url)
            (folder / "mi_url.new").rename(folder / "mi_url")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, BridgeOutside(folder, bridge), outcome)
                await _call(bridge.mi_url, seconds, outcome)
                nursery.cancel_scope.cancel()
            outcome.statistics = await bridge.ami("get_statistics", [["janus:"]])
            bridge.kill()  # it would wait for subscribers that take nothing
    return outcome


@asynccontextmanager
async def hostile(folder: Path) -> AsyncIterator[dict[str, int]]:
    """The attackers; their ports by name."""
    child = ChildProcess([sys.executable, "-m", "tests.model.attackers", str(folder)], folder / "attackers.log")
    try:
        with trio.fail_after(HANG_SECONDS):
            while not (folder / "ports").exists():
                assert child.exit_code is None, child.output
                await trio.sleep(0.02)
        yield json.loads((folder / "ports").read_text())
        assert child.exit_code is None, child.output  # an attacker that fell over attacks nothing
    finally:
        child.kill()


async def _until_ready(bridge: Bridge) -> None:
    with trio.fail_after(HANG_SECONDS):
        while (await bridge.ami("get_statistics", [["gateways_ready"]]))["janus:gateways_ready"] < 3:  # noqa: ASYNC110
            await trio.sleep(0.02)


async def _call(url: str, seconds: float, outcome: Outcome) -> None:
    """One caller with a connection of its own, as a worker of OpenSIPS."""
    end = trio.current_time() + seconds
    async with KeptAlive(url) as client:
        while trio.current_time() < end:
            outcome.calls += 1
            asked = {"janus": "message", "handle_id": 1, "body": {"n": outcome.calls, "pad": "x" * 2000}}
            before = time.monotonic()
            answer = await client.ask(request_bytes("janus_send_request", ["good", asked], outcome.calls))
            outcome.longest = max(outcome.longest, (time.monotonic() - before) / crowding())
            if answer.get("result", {}).get("janus") != "success":
                outcome.failed.append(answer)
            await trio.sleep(PAUSE)


async def _watch(running: BridgeOutside, outcome: Outcome) -> None:
    while True:
        outcome.memory = max(outcome.memory, running.memory())
        await trio.sleep(0.05)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    with tempfile.TemporaryDirectory() as folder:
        outcome = trio.run(attack, parser.parse_args().seconds, Path(folder))
    print(outcome)
    for fault in outcome.faults[:20]:
        print(f"fault: {fault}")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
