"""Bridges of a cluster on a MariaDB: how long a handle is out of reach when its bridge dies, how long a command waits
while its bridge hands over, what one hop takes, and what the database bears.

Owns the ways to part with a bridge, and who asks meanwhile. Uses the bed of the tests: what is measured is tested.
"""

import json
import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import trio

from bench.bed import Program, attach
from bench.commands import http_caller, percentiles, request
from bench.machine import cpu_seconds
from bridge.protocol.jsonrpc import RpcError
from bridge.transport.peer_client import PeerClient
from tests.support.bridge import Bridge
from tests.support.bridge_cluster import REPEATABLE, BusyCaller, ClusterBed, Listener, answered, release, says
from tests.support.bridge_cluster import attach as new_handle
from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import Janus, JanusOptions
from tests.support.mariadb import MariaDb
from tests.support.receivers import udp_receiver
from tests.support.tables import mariadb_table

GATEWAYS = 300
DEATHS = 5  # by each way
HAND_OVERS = 20
EVENTS = {"do": "tick", "ms": 10, "k": 3, "n": 10_000_000, "size": 200}  # 300 a second
HOPS = 2_000
IDLE_SECONDS = 10.0
CALLERS = 8  # that ask for the handles of a bridge that died, one after the other
PAUSE = 0.02  # seconds between two attempts of a caller
JANUS_ID = "gw"


def take_overs(folder: Path) -> dict[str, dict[str, float]]:
    """From the SIGKILL to the first answer of a handle at the peer, of a handle in each of many gateways: seconds.

    A machine dies as a process does, and nobody says so: at node_timeout's default of 10 s.
    """
    figures = {}
    with MariaDb() as mariadb, Janus(JanusOptions(reclaim_session_timeout=60)) as janus:
        for way in ("process dies, ExecStopPost says so", "machine dies, node_timeout 10 s"):
            with _pair(folder / way.split()[0], mariadb, janus, GATEWAYS) as (bed, _):
                seconds = [
                    took
                    for number in range(DEATHS)
                    for took in trio.run(_death, bed, number, way.startswith("process"))
                ]
            cuts = statistics.quantiles(seconds, n=100)
            figures[way] = {"p50_s": round(cuts[49], 2), "p99_s": round(cuts[98], 2), "max_s": round(max(seconds), 2)}
    return figures


async def _death(bed: ClusterBed, number: int, released: bool) -> list[float]:
    """One of the two dies, by turns, and comes back."""
    victim, heir = bed.bridges if number % 2 == 0 else reversed(bed.bridges)
    names = _names(GATEWAYS)
    handles = {name: await new_handle(victim, name) for name in names}
    for name in names:
        await answered(heir, {"janus": "info"}, name)
    took: list[float] = []
    waiting = deque(names)
    ask = PeerClient()  # over connections that are kept, so that asking is not what is measured

    async def caller() -> None:
        while waiting:
            name = waiting.popleft()
            if await _answers(ask, heir, handles[name], name):
                took.append(time.perf_counter() - begun)
            else:
                waiting.appendleft(name)
                await trio.sleep(PAUSE)

    begun = time.perf_counter()
    victim.kill()
    async with trio.open_nursery() as nursery:
        if released:
            nursery.start_soon(trio.to_thread.run_sync, release, victim)
        for _ in range(CALLERS):
            nursery.start_soon(caller)
    ask.close()
    victim.start()
    return took


def hand_overs(janus: Janus, folder: Path) -> dict[str, dict[str, float]]:
    """To and fro between two, of a Janus that reclaims nothing, which says 300 events a second: gaps in ms, and what
    became of events.
    """
    with MariaDb() as mariadb, _pair(folder, mariadb, janus, 1) as (bed, listener):
        return {"janus_cluster_drain, then a restart": trio.run(_to_and_fro, bed, listener)}


async def _to_and_fro(bed: ClusterBed, listener: Listener) -> dict[str, float]:
    gaps, answers, errors = [], 0, 0
    giver, taker = bed.bridges
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.run)
        asked, ticking = await new_handle(giver, JANUS_ID), await new_handle(giver, JANUS_ID)
        await answered(taker, {"janus": "info"}, JANUS_ID)
        await answered(giver, says(ticking, **EVENTS), JANUS_ID)
        for _ in range(HAND_OVERS):
            caller = BusyCaller([giver], asked, JANUS_ID)
            async with trio.open_nursery() as callers:
                callers.start_soon(caller.run)
                await trio.sleep(0.5)
                await giver.ami("janus_cluster_drain")
                await trio.sleep(0.5)
                caller.over = True
            gaps.append(caller.longest)
            answers += caller.outcomes["answered"]
            errors += caller.outcomes.total() - caller.outcomes["answered"]
            await trio.to_thread.run_sync(giver.stop)
            giver.start()
            await answered(giver, {"janus": "info"}, JANUS_ID)
            giver, taker = taker, giver
        nursery.cancel_scope.cancel()
    numbers = listener.numbers(ticking)
    return {
        "p50_ms": round(statistics.median(gaps) * 1000, 1),
        "max_ms": round(max(gaps) * 1000, 1),
        "answered": answers,
        "errors": errors,
        "events": len(numbers),
        "missing": max(numbers) + 1 - len(set(numbers)),
        "twice": len(numbers) - len(set(numbers)),
        "out_of_order": sum(one > other for one, other in pairwise(numbers)),
    }


def hop(janus: Janus, folder: Path) -> dict[str, dict[str, float]]:
    """One command at the bridge that has its session, and at the other one: a caller at each, by turns."""
    with MariaDb() as mariadb, _pair(folder, mariadb, janus, 1) as (bed, _):
        own, other = (Program(bridge.mi_url, bridge.process.pid) for bridge in bed.bridges)
        [handle] = attach(own, 1)
        body = request(handle)
        times: dict[str, list[float]] = {"at its own bridge": [], "one hop": []}
        with http_caller(own, body) as here, http_caller(other, body) as there:
            there()  # it is looked for once
            for _ in range(HOPS):
                for name, once in (("at its own bridge", here), ("one hop", there)):
                    begun = time.perf_counter()
                    once()
                    times[name].append(time.perf_counter() - begun)
    added = statistics.median(times["one hop"]) - statistics.median(times["at its own bridge"])
    figures = {name: percentiles(seconds) for name, seconds in times.items()}
    figures["one hop"]["added_ms"] = round(added * 1000, 3)
    return figures


def database(janus: Janus, folder: Path) -> dict[str, dict[str, float]]:
    """What two bridges at rest with many gateways make of a MariaDB."""
    with MariaDb() as mariadb, _pair(folder, mariadb, janus, GATEWAYS) as (bed, _):
        for name in _names(GATEWAYS):
            trio.run(answered, bed.bridges[1], {"janus": "info"}, name)
        before, used, begun = _counted(mariadb), cpu_seconds(mariadb.pid), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        seconds = (time.perf_counter() - begun) * len(bed.bridges)
        after = _counted(mariadb)
        figures = {name: round((after[name] - before[name]) / seconds, 2) for name in before}
        figures["percent_of_a_core"] = round((cpu_seconds(mariadb.pid) - used) / seconds * 100, 2)
    return {f"for a bridge with {GATEWAYS} gateways, a second": figures}


def _counted(mariadb: MariaDb) -> dict[str, int]:
    names = {"Com_update": "updates", "Com_select": "selects", "Com_insert": "inserts", "Com_delete": "deletes"}
    rows = mariadb.execute("SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Com_%'")
    return {names[name]: int(value) for name, value in rows if name in names}


def _names(count: int) -> list[str]:
    return [JANUS_ID, *(f"gw{number}" for number in range(1, count))]


async def _answers(ask: PeerClient, bridge: Bridge, handle: str, janus_id: str) -> bool:
    try:
        await ask(bridge.mi_url, "janus_send_request", [janus_id, json.dumps(says(handle, n=1))], HANG_SECONDS)
    except RpcError as error:
        if error.code != REPEATABLE:
            raise
        return False
    return True


@contextmanager
def _pair(folder: Path, mariadb: MariaDb, janus: Janus, gateways: int) -> Iterator[tuple[ClusterBed, Listener]]:
    """Two bridges whose rows all name the same Janus."""
    folder.mkdir()
    rows = dict.fromkeys(_names(gateways), janus.url)
    with udp_receiver() as events, ClusterBed(folder, mariadb_table(mariadb, rows), 2, events) as bed:
        yield bed, Listener(events)
