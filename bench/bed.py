"""What is measured: a private Janus, the installed bridge (as source, and compiled), the floor; handles of videoroom.

Owns starting them. Uses the beds of the tests: what is measured is what is tested.
"""

import os
import re
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine
from bridge import resources
from tests.support import mi_client
from tests.support.bridge import PROGRAM, Bridge
from tests.support.janus import Janus
from tests.support.process import ChildProcess

EXISTS = {"request": "exists", "room": 1234}  # a synchronous videoroom request: the shortest way through a plugin
BRIDGE, COMPILED, FLOOR, BARE = "bridge", "bridge, compiled", "floor", "floor without trio"

# The compiled program, where ``make bench`` has built one.
COMPILED_PROGRAM = Path(os.environ.get("COMPILED_PROGRAM", "/nonexistent"))
_ROOT = Path(__file__).parents[1]
_LOOK_SECONDS = 0.02
_START_SECONDS = 120.0  # under valgrind everything takes forty times as long


@dataclass(frozen=True, slots=True)
class Program:
    """Something that answers ``janus_send_request`` at an URL."""

    mi_url: str
    pid: int

    @property
    def port(self) -> int:
        return int(self.mi_url.rsplit(":", 1)[1].partition("/")[0])

    def mi(self, method: str, params: Any = None) -> Any:
        """The result of an MI method. Raises MiError."""
        return mi_client.call(self.mi_url, method, params)

    def cpu_seconds(self) -> float:
        """Processor time that it used so far."""
        return machine.cpu_seconds(self.pid)


class MeasuredBridge(Bridge):
    """The installed program by its path, as an argument of another command: a profiler's."""

    start_seconds = stop_seconds = _START_SECONDS

    def __init__(self, folder: Path, options: Mapping[str, Any], program: Path, under: Sequence[str]) -> None:
        super().__init__(folder, options)
        self._command = [*under, str(program)]

    @property
    def command(self) -> list[str]:
        return [*self._command, *super().command[1:]]


@contextmanager
def running(
    folder: Path, rows: Mapping[str, str], program: Path = PROGRAM, under: Sequence[str] = (), /, **options: Any
) -> Iterator[Bridge]:
    """A bridge with this table, every gateway ready."""
    folder.mkdir()
    database = folder / "bench.db"
    connection = sqlite3.connect(database)
    connection.executescript(resources.path("sql/janus-create.sqlite.sql").read_text(encoding="utf-8"))
    connection.executemany("INSERT INTO janus (janus_id, janus_url) VALUES (?, ?)", list(rows.items()))
    connection.commit()
    connection.close()
    with MeasuredBridge(folder, {"janus.janus_db_url": f"sqlite://{database}", **options}, program, under) as bridge:
        await_ready(bridge, len(rows))
        yield bridge


def await_ready(bridge: Bridge, count: int) -> None:
    """Until so many gateways are ready. Each question takes a millisecond of what is measured: not more than needed."""
    while bridge.mi("get_statistics", {"statistics": ["gateways_ready"]})["janus:gateways_ready"] < count:
        time.sleep(_LOOK_SECONDS)


@contextmanager
def floor(
    janus: Janus, folder: Path, shape: str = "inner", under: Sequence[str] = ()
) -> Iterator[tuple[Program, Path]]:
    """The floor program, and its log."""
    log = folder / f"floor-{shape}.log"
    process = ChildProcess([*under, sys.executable, "-m", "bench.floor", shape, str(janus.port)], log, cwd=_ROOT)
    try:
        while not (found := re.findall(r"listening on (\S+)", process.output)):
            if process.exit_code is not None:
                raise RuntimeError(f"the floor did not start:\n{process.output}")
            time.sleep(0.005)
        yield Program(found[0], process.pid), log
    finally:
        process.stop(_START_SECONDS)


def builds() -> dict[str, Path]:
    """The bridge's builds that are there, by name."""
    return {BRIDGE: PROGRAM} | ({COMPILED: COMPILED_PROGRAM} if COMPILED_PROGRAM.exists() else {})


@contextmanager
def programs(janus: Janus, folder: Path, /, **options: Any) -> Iterator[dict[str, Program]]:
    """Each build of the bridge with the row "gw", and the floors, all at once. ``options``: of the bridges."""
    with ExitStack() as stack:
        running_: dict[str, Program] = {}
        for number, (name, program) in enumerate(builds().items()):
            started = stack.enter_context(running(folder / f"build-{number}", {"gw": janus.url}, program, **options))
            running_[name] = Program(started.mi_url, started.process.pid)
        for name, shape in {FLOOR: "inner", BARE: "epoll"}.items():
            running_[name] = stack.enter_context(floor(janus, folder, shape))[0]
        yield running_


def attach(program: Program | Bridge, count: int, plugin: str = "janus.plugin.videoroom") -> list[str]:
    """Handles on the gateway "gw"."""
    command = {"janus": "attach", "plugin": plugin}
    return [program.mi("janus_send_request", ["gw", command])["data"]["id"] for _ in range(count)]


__all__ = ["EXISTS", "Janus", "attach", "await_ready", "running"]
