"""Events: from Janus's plugin to a subscriber's socket.

Owns the subscribers (processes of their own) and the sources. The source is a burst of the tests' Lua plugin, which
makes events faster than anybody reads them; what the bridge loses is counted by the receiver, not by the bridge.
"""

import json
import multiprocessing
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trio

from bench.bed import Janus, Program, attach
from bench.commands import http_caller, percentiles
from bench.machine import cpu_seconds
from tests.support import mi_client
from tests.support.bridge import Bridge
from tests.support.janus import GEN
from tests.support.janus_client import JanusClient

BURST = 20_000
LONG_BURST = 60_000  # some seconds, so that there is a 99th percentile
SIZE = 100  # of the plugin's padding: about 200 bytes as Janus sends it
LATENCIES = 500
QUIET = 3.0  # seconds without an event after which a burst is over


@contextmanager
def subscriber(*, answers: bool) -> Iterator[tuple[int, Connection]]:
    """A process that counts datagrams, and answers each as mi_datagram does where told to: its port and its reports."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 2**20)
    sock.bind(("127.0.0.1", 0))
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_count, args=(sock, theirs, answers), daemon=True)
    process.start()
    try:
        yield sock.getsockname()[1], ours
    finally:
        sock.close()
        process.terminate()
        process.join()


def _count(sock: socket.socket, reports: Connection, answers: bool) -> None:
    while True:
        count, first, last, arrivals = 0, 0.0, 0.0, []
        sock.settimeout(None)
        while True:
            try:
                data, peer = sock.recvfrom(65_535)
            except TimeoutError:
                break
            now = time.perf_counter()
            if answers:
                _answer(sock, data, peer)
            count += 1
            first, last = first or now, now
            if count <= LATENCIES:
                arrivals.append(now)
            sock.settimeout(QUIET)
        reports.send((count, first, last, arrivals))


def _answer(sock: socket.socket, data: bytes, peer: Any) -> None:
    """As mi_datagram answers raise_event."""
    identity = json.loads(data)["id"]
    sock.sendto(b'{"jsonrpc":"2.0","result":"OK","id":"%s"}' % identity.encode(), peer)


def burst(bridge: Bridge, reports: Connection, events: int = BURST) -> dict[str, float]:
    """Events/s at the subscriber, how many were lost, and the bridge's processor time for each."""
    [handle] = attach(bridge, 1, GEN)
    command = {"janus": "message", "handle_id": handle, "body": {"do": "burst", "n": events, "size": SIZE}}
    used = cpu_seconds(bridge.process.pid)
    bridge.mi("janus_send_request", ["gw", command, 60_000])
    count, first, last, _ = reports.recv()
    used = cpu_seconds(bridge.process.pid) - used
    return {
        "per_second": round(count / (last - first)),
        "lost": events - count,
        "cpu_us": round(used / events * 1e6, 1),
    }


def kept(bridge: Bridge, state: Path, reports: Connection) -> dict[str, float]:
    """A burst, with a log on disk or without: as ``burst``, what of it is on the disk, and how long the event loop lets
    others wait: a caller's shortest request, every few milliseconds of the burst, beside what it takes before.
    """
    with _caller(bridge) as caller:
        time.sleep(1.0)
        before = _waits(caller)
        figures = burst(bridge, reports, LONG_BURST)
        figures |= {f"wait_{name}": value for name, value in _waits(caller).items()}
    figures["wait_before_p99_ms"] = before["p99_ms"]
    if not (state / "events.db").exists():
        return figures
    with closing(sqlite3.connect(state / "events.db")) as database:
        (rows,) = database.execute("SELECT count(*) FROM janus_event WHERE body LIKE '%\"pad\"%'").fetchone()
    return {**figures, "on_disk": rows}


@contextmanager
def _caller(bridge: Bridge) -> Iterator[Connection]:
    """A process that asks every few milliseconds; who sends it something gets the times since then."""
    ours, theirs = multiprocessing.Pipe()
    program = Program(bridge.mi_url, bridge.process.pid)
    process = multiprocessing.get_context("fork").Process(target=_ask, args=(program, theirs), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


def _ask(program: Program, reports: Connection) -> None:
    with http_caller(program, mi_client.request("version")) as once:
        times: list[float] = []
        while True:
            begun = time.perf_counter()
            once()
            times.append(time.perf_counter() - begun)
            time.sleep(0.002)
            if reports.poll():
                reports.recv()
                reports.send(times)
                times = []


def _waits(caller: Connection) -> dict[str, float]:
    caller.send(None)
    times: list[float] = caller.recv()
    return {**percentiles(times), "worst_ms": round(max(times) * 1000, 2)}


async def latency(janus: Janus, bridge: Bridge, port: int, *, answers: bool) -> dict[str, dict[str, float]]:
    """Milliseconds from a request that makes Janus say something, to what it says: directly, and at a subscriber."""
    [handle] = attach(bridge, 1, GEN)
    session = int(
        bridge.mi("janus_send_request", ["gw", {"janus": "message", "handle_id": handle, "body": {}}])["session_id"]
    )
    body: dict[str, Any] = {"do": "say", "json": {"n": 1}}
    through, direct = [], []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        async with JanusClient.open(janus.url) as client:
            own = await client.create()
            own_handle = await client.attach(own, GEN)
            for _ in range(LATENCIES):
                begun = time.perf_counter()
                await client.message(session, int(handle), body)
                data, peer = sock.recvfrom(65_535)
                through.append(time.perf_counter() - begun)
                if answers:
                    _answer(sock, data, peer)
                begun = time.perf_counter()
                await client.message(own, own_handle, body)
                await client.next_event(janus="event")
                direct.append(time.perf_counter() - begun)
            await trio.lowlevel.checkpoint()
    return {"direct": percentiles(direct), "through the bridge": percentiles(through)}
