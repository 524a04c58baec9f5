"""One process with many gateways: memory, idle processor time, time until all are ready."""

import time
from pathlib import Path

from bench.bed import Janus, running
from bench.machine import cpu_seconds, rss_mib

IDLE_SECONDS = 10.0


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
