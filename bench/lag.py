"""How long a lone caller waits while the bridge has much to look after, and is asked to show it.

Owns the cases and the caller: commands one after the other, each timed, while another process asks for
one page, or one MI method, again and again. The slowest commands matter: they met a long turn of the event loop.
"""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from bench import janus_direct
from bench.bed import Janus, Program, attach, running
from bench.commands import Once, http_caller, percentiles, request
from tests.support import mi_client
from tests.support.bridge import Bridge
from tests.support.janus import JanusOptions
from tests.support.ports import free_port

SESSIONS, SUBSCRIBERS, GATEWAYS = 10_000, 256, 1_000
TIMEOUT = 15  # of a session, in seconds: keepalives come every 5 s
QUIET_SECONDS, SECONDS = 11.0, 3.0  # two intervals of keepalives; of each page
PAGES = ("/metrics", "/", "/readyz", "janus_list")


def cases(folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of a lone caller's command, by case and by what is asked meanwhile."""
    figures: dict[str, dict[str, float]] = {}
    with Janus(JanusOptions(session_timeout=TIMEOUT)) as janus:
        one = {"gw": janus.url}
        with running(folder / "few", one) as bridge:
            figures |= _watch("one gateway, one session", janus, bridge)
        with running(folder / "sessions", one) as bridge:
            _make_sessions(bridge)
            figures |= _watch(f"{SESSIONS:,} sessions on one gateway", janus, bridge)
        sockets = [f"udp:127.0.0.1:{free_port()}" for _ in range(SUBSCRIBERS)]
        subscribers = [{"event": "E_JANUS_EVENT", "socket": name} for name in dict.fromkeys(sockets)]
        with running(folder / "subscribers", one, **{"events.subscribers": subscribers}) as bridge:
            figures |= _watch(f"{SUBSCRIBERS} subscribers", janus, bridge)
        rows = one | {f"gw{number}": janus.url for number in range(1, GATEWAYS)}
        with running(folder / "gateways", rows) as bridge:
            figures |= _watch(f"{GATEWAYS:,} gateways", janus, bridge)
    return figures


def _watch(case: str, janus: Janus, bridge: Bridge) -> dict[str, dict[str, float]]:
    program = Program(bridge.mi_url, bridge.process.pid)
    [handle] = attach(program, 1)
    with http_caller(program, request(handle)) as once, janus_direct.bare_socket(janus) as straight:
        figures = {case: _call(once, QUIET_SECONDS), f"{case}: straight to Janus": _call(straight, SECONDS)}
        for page in PAGES:
            with _asking(program, page):
                figures[f"{case}: {page}"] = _call(once, SECONDS)
    return figures


def _call(once: Once, seconds: float) -> dict[str, float]:
    times, end = [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        once()
        times.append(time.perf_counter() - begun)
    return percentiles(times) | {"worst_ms": round(max(times) * 1000, 2)}


@contextmanager
def _asking(program: Program, page: str) -> Iterator[None]:
    process = multiprocessing.get_context("fork").Process(target=_ask_for, args=(program, page), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _ask_for(program: Program, page: str) -> None:
    while True:
        if page.startswith("/"):
            with urlopen(f"http://127.0.0.1:{program.port}{page}", timeout=30) as answer:
                answer.read()
        else:
            program.mi(page)
        time.sleep(0.05)  # twenty a second, however fast they are


def _make_sessions(bridge: Bridge) -> None:
    program = Program(bridge.mi_url, bridge.process.pid)
    with http_caller(program, mi_client.request("janus_send_request", ["gw", {"janus": "create"}])) as once:
        for _ in range(SESSIONS):
            once()
