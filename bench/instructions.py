"""Instructions of one command, counted by valgrind: a figure that no busy machine can change.

Owns the counting: two runs of different length, and the difference of what they took in user space. What the kernel
does is not among it.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.bed import BARE, FLOOR, Janus, Program, attach, builds, floor, running
from bench.commands import http_caller, request

COMMANDS = 400, 2000  # all callers together
CALLERS = 1, 16
VALGRIND = "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"

# Starts one below valgrind in a folder of its own: the program, and the log that says at the end what it took.
Start = Callable[[Path], AbstractContextManager[tuple[Program, Path]]]


def of_a_command(janus: Janus, folder: Path) -> dict[str, dict[str, int]]:
    """By program and number of callers, each on a handle of its own."""
    figures: dict[str, dict[str, int]] = {}
    for number, (name, start) in enumerate(_starts(janus).items()):
        for callers in CALLERS:
            few, many = (
                _run(start, folder / f"counted-{number}-{callers}-{commands}", callers, commands)
                for commands in COMMANDS
            )
            per_command = (many - few) // (COMMANDS[1] - COMMANDS[0])
            figures.setdefault(name, {})[f"{callers} callers"] = per_command
    return figures


def _starts(janus: Janus) -> dict[str, Start]:
    """How each program is started, by name."""

    def of_build(program: Path) -> Start:
        @contextmanager
        def start(folder: Path) -> Iterator[tuple[Program, Path]]:
            with running(folder, {"gw": janus.url}, program, VALGRIND) as bridge:
                yield Program(bridge.mi_url, bridge.process.pid), folder / "bridge.log"

        return start

    def of_floor(shape: str) -> Start:
        def start(folder: Path) -> AbstractContextManager[tuple[Program, Path]]:
            folder.mkdir()
            return floor(janus, folder, shape, VALGRIND)

        return start

    starts = {name: of_build(program) for name, program in builds().items()}
    return starts | {FLOOR: of_floor("inner"), BARE: of_floor("epoll")}


def _run(start: Start, folder: Path, callers: int, commands: int) -> int:
    with start(folder) as (program, log):
        handles = attach(program, callers)
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda handle: _ask(program, handle, commands // callers), handles))
    [count] = re.findall(r"I +refs: +([\d,]+)", log.read_text())
    return int(count.replace(",", ""))


def _ask(program: Program, handle: str, commands: int) -> None:
    with http_caller(program, request(handle)) as once:
        for _ in range(commands):
            once()
