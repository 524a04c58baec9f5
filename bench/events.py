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

from bench.bed import Janus, attach
from bench.commands import percentiles
from bench.machine import cpu_seconds
from tests.support.bridge import Bridge
from tests.support.janus import GEN
from tests.support.janus_client import JanusClient

BURST = 20_000
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
    """A burst with a log on disk: as ``burst``, what of it is on the disk, and the longest turn of the event loop."""
    figures = burst(bridge, reports)
    lag = bridge.mi("get_statistics", [["loop_lag_us"]])["janus:loop_lag_us"]
    with closing(sqlite3.connect(state / "events.db")) as database:
        (rows,) = database.execute("SELECT count(*) FROM janus_event WHERE body LIKE '%\"pad\"%'").fetchone()
    return {**figures, "on_disk": rows, "longest_turn_ms": int(lag) / 1000}


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
