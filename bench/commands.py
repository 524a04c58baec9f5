"""Commands over MI: a lone caller by every way, and many callers over HTTP.

Owns the callers. A lone caller is the same blocking loop over a socket for every way, so that only the way differs.
Many callers: wrk, on one kept-alive connection a caller. Rounds of all ways alternate; ratios are made within a round.
"""

import json
import os
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import trio

from bench import janus_direct
from bench.bed import BRIDGE, EXISTS, FLOOR, Janus, Program, attach, running
from tests.support.bridge import Bridge
from tests.support.ports import free_port

ROUNDS, CALLS = 10, 300  # of a lone caller, for each way
MANY = ((1, 1), (2, 16), (8, 1), (8, 16), (64, 1), (64, 16))  # callers and handles; two callers are about half load
MANY_ROUNDS, SECONDS = 3, 2
LIBRARY = "trio-websocket"

_WRK = """
local bodies, n = {%s}, 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request() n = n %% #bodies + 1 return wrk.format(nil, nil, nil, bodies[n]) end
"""

Once = Callable[[], None]


def one_caller(janus: Janus, programs: Mapping[str, Program], folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of one command, by way: p50 and p99; and what the median adds to trio-websocket's."""
    doors = ["udp:127.0.0.1:" + str(free_port()), f"unix:{folder}/mi.sock"]
    with (
        running(folder / "datagrams", {"gw": janus.url}, **{"mi.datagram": doors}) as bridge,
        ExitStack() as stack,
    ):
        enter = stack.enter_context
        ways: dict[str, Once] = {"bare socket": enter(janus_direct.bare_socket(janus))}
        for name, program in programs.items():
            ways[f"{name}, http"] = enter(http_caller(program, request(*attach(program, 1))))
        ways[f"{BRIDGE}, udp"] = enter(_udp(bridge))
        ways[f"{BRIDGE}, unix"] = enter(_unix(bridge, folder))
        rounds = []
        for _ in range(ROUNDS):
            taken = {LIBRARY: trio.run(janus_direct.one_after_the_other, janus, CALLS)}
            rounds.append(taken | {name: _time(once) for name, once in ways.items()})
    return {name: _row(rounds, name) for name in rounds[0]}


def _row(rounds: list[dict[str, list[float]]], name: str) -> dict[str, float]:
    medians = [(statistics.median(one[name]), statistics.median(one[LIBRARY])) for one in rounds]
    return percentiles([seconds for one in rounds for seconds in one[name]]) | {
        "added_ms": round(statistics.median(own - library for own, library in medians) * 1000, 3),
        "to_library": round(statistics.median(own / library for own, library in medians), 2),
    }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """In milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_ms": round(cuts[49] * 1000, 4), "p99_ms": round(cuts[98] * 1000, 4)}


def _time(once: Once) -> list[float]:
    times = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        once()
        times.append(time.perf_counter() - begun)
    return times


def request(handle: str) -> bytes:
    """One MI request, as a script sends it."""
    command = {"janus": "message", "handle_id": handle, "body": EXISTS, "transaction": "abcdef123456"}
    call = {"jsonrpc": "2.0", "id": "1", "method": "janus_send_request", "params": ["gw", command]}
    return json.dumps(call, separators=(",", ":")).encode()


@contextmanager
def http_caller(program: Program, body: bytes) -> Iterator[Once]:
    """A function that sends this request and waits for its answer, on one kept-alive connection."""
    head = (
        "POST /mi HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    whole = head.encode() + body
    with socket.create_connection(("127.0.0.1", program.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def once() -> None:
            sock.sendall(whole)
            sock.recv(65_536)

        yield once


@contextmanager
def _udp(bridge: Bridge) -> Iterator[Once]:
    port = next(int(port) for port in re.findall(r"listening on udp:127\.0\.0\.1:(\d+)", bridge.log))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        yield _datagram(sock, request(*attach(bridge, 1)))


@contextmanager
def _unix(bridge: Bridge, folder: Path) -> Iterator[Once]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(folder / f"caller-{os.getpid()}.sock"))
        sock.connect(str(folder / "mi.sock"))
        yield _datagram(sock, request(*attach(bridge, 1)))


def _datagram(sock: socket.socket, body: bytes) -> Once:
    sock.settimeout(10)

    def once() -> None:
        sock.send(body)
        sock.recv(65_535)

    return once


def many_callers(programs: Mapping[str, Program], folder: Path) -> dict[str, dict[str, float]]:
    """By load and program: commands/s, latency, the program's processor time for a command."""
    handles = {name: attach(program, max(count for _, count in MANY)) for name, program in programs.items()}
    figures: dict[str, dict[str, float]] = {}
    for callers, count in MANY:
        rounds = [
            {name: wrk([program], folder, callers, [handles[name][:count]]) for name, program in programs.items()}
            for _ in range(MANY_ROUNDS)
        ]
        for name in programs:
            medians = {figure: statistics.median(one[name][figure] for one in rounds) for figure in rounds[0][name]}
            to_floor = statistics.median(one[name]["per_second"] / one[FLOOR]["per_second"] for one in rounds)
            figures[f"{callers} callers, {count} handles: {name}"] = medians | {"to_floor": round(to_floor, 2)}
    return figures


def wrk(programs: list[Program], folder: Path, callers: int, handles: list[list[str]]) -> dict[str, float]:
    """A round of wrk on each program, all at once: commands/s of all, the worst latencies, processor time a command.

    ``callers``: on each program; ``handles``: by program.
    """
    running_, used = [], [program.cpu_seconds() for program in programs]
    for number, program in enumerate(programs):
        script = folder / f"wrk-{number}.lua"
        script.write_text(_WRK % ",".join(f"[==[{request(handle).decode()}]==]" for handle in handles[number]))
        command = ["wrk", "-t1", f"-c{callers}", f"-d{SECONDS}s", "--latency", "-s", str(script), program.mi_url]
        running_.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in running_]
    spent = sum(program.cpu_seconds() - before for program, before in zip(programs, used, strict=True))
    assert not any("Non-2xx" in output or "Socket errors" in output for output in outputs), outputs
    p50, p99 = (max(_latency(output, percent) for output in outputs) for percent in ("50%", "99%"))
    return {
        "per_second": round(sum(float(_found(r"Requests/sec: +([\d.]+)", output)) for output in outputs)),
        "p50_ms": p50,
        "p99_ms": p99,
        "cpu_us": round(spent / sum(int(_found(r"(\d+) requests in", output)) for output in outputs) * 1e6, 1),
    }


def _found(pattern: str, output: str) -> Any:
    match = re.search(pattern, output)
    assert match is not None, output
    return match[1]


def _latency(output: str, percent: str) -> float:
    match = re.search(rf"{percent}\s+([0-9.]+)(us|ms|s)\b", output)
    assert match is not None, output
    return round(float(match[1]) * {"us": 0.001, "ms": 1, "s": 1000}[match[2]], 4)
