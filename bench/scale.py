"""One process with many gateways, and many processes with one each.

Owns both measurements: memory, idle processor time and time until all are ready of the one; commands/s of the others.
"""

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from bench.bed import Janus, Program, attach, running
from bench.commands import wrk
from bench.machine import cpu_seconds, rss_mib

IDLE_SECONDS = 10.0
PROCESSES = (1, 2, 4)
CALLERS, ROUNDS = 64, 3


def many_gateways(janus: Janus, folder: Path, count: int) -> dict[str, float]:
    """All rows name the same Janus: what is measured is the bridge."""
    rows = {f"gw{number}": janus.url for number in range(count)}
    begun = time.perf_counter()
    with running(folder / f"gateways-{count}", rows) as bridge:
        ready = time.perf_counter() - begun
        pid = bridge.process.pid
        used = cpu_seconds(pid)
        time.sleep(IDLE_SECONDS)
        used = cpu_seconds(pid) - used
        return {
            "rss_mib": round(rss_mib(pid), 1),
            "idle_percent_of_a_core": round(used / IDLE_SECONDS * 100, 2),
            "ready_s": round(ready, 2),
        }


def many_processes(janus: Janus, program: Path, folder: Path) -> dict[str, dict[str, float]]:
    """The same callers on one bridge, and spread over several that have a row each; rounds alternate."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(running(folder / f"process-{number}", {"gw": janus.url}, program))
            for number in range(max(PROCESSES))
        ]
        programs = [Program(bridge.mi_url, bridge.process.pid) for bridge in started]
        handles = [attach(one, 16) for one in programs]
        rounds = [
            {count: wrk(programs[:count], folder, CALLERS // count, handles[:count]) for count in PROCESSES}
            for _ in range(ROUNDS)
        ]
    figures: dict[str, dict[str, float]] = {}
    for count in PROCESSES:
        ratios = [one[count]["per_second"] / one[1]["per_second"] for one in rounds]
        row = {figure: statistics.median(one[count][figure] for one in rounds) for figure in rounds[0][count]}
        figures[f"{count} processes"] = row | {"to_one": round(statistics.median(ratios), 2)}
    return figures
