"""The machine that was measured on, and the time a process used.

Owns what /proc says. Figures without the machine they came from say nothing.
"""

import os
import platform
import subprocess
from pathlib import Path

from bridge import __version__

_TICKS = os.sysconf("SC_CLK_TCK")


def describe() -> dict[str, str | int]:
    """Processor, cores, memory, kernel, versions."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": model,
        "cores": os.cpu_count() or 0,
        "memory_mib": memory // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "janus": _package("janus"),
        "bridge": __version__,
        "load_before": os.getloadavg()[0].__format__(".2f"),
    }


def cpu_seconds(pid: int) -> float:
    """User and system time that a process used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mib(pid: int) -> float:
    """Resident memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _package(name: str) -> str:
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True)
    return done.stdout or "unknown"
