"""Commands: straight to Janus, and through the bridge.

Owns the callers. One caller: the same blocking loop over a socket for every way, so that only the way differs; rounds
of all ways alternate. Many callers: wrk, on one kept-alive connection a caller, and beside it trio-websocket pipelined.
"""

import json
import os
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
import trio_websocket

from bench.bed import EXISTS, Janus, attach, port_of
from bench.machine import cpu_seconds
from bridge.protocol.janus import SUBPROTOCOL
from tests.support.bridge import Bridge

ROUNDS, CALLS = 10, 300  # of one caller, for each way
SECONDS = 5  # of many callers, for each number of them

Once = Callable[[], None]


def one_caller(janus: Janus, bridge: Bridge, folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of one command, by way: p50 and p99."""
    [handle] = attach(bridge, 1)
    taken: dict[str, list[float]] = {}
    with (
        _raw(janus) as raw,
        http_caller(bridge, handle) as http,
        _udp(bridge, handle) as udp,
        _unix(folder, handle) as unix,
    ):
        ways: dict[str, Once] = {"raw socket": raw, "bridge, http": http, "bridge, udp": udp, "bridge, unix": unix}
        for _ in range(ROUNDS):
            for name, once in ways.items():
                taken.setdefault(name, []).extend(_time(once))
            taken.setdefault("trio-websocket", []).extend(trio.run(_trio_websocket, janus))
    return {name: percentiles(times) for name, times in taken.items()}


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
def _raw(janus: Janus) -> Iterator[Once]:
    """A WebSocket without any library: the least that a command can take."""
    with socket.create_connection(("127.0.0.1", janus.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = (
            "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
        )
        sock.sendall(f"GET /janus HTTP/1.1\r\n{headers}\r\n".encode())
        assert b" 101 " in sock.recv(4096)

        def ask(message: dict[str, Any]) -> Any:
            sock.sendall(_frame(json.dumps({**message, "transaction": "t"}).encode()))
            data = sock.recv(65_536)
            return json.loads(data[4:] if data[1] == 126 else data[2:])

        session = ask({"janus": "create"})["data"]["id"]
        attached = ask({"janus": "attach", "session_id": session, "plugin": "janus.plugin.videoroom"})
        frame = _frame(
            json.dumps(
                {
                    "janus": "message",
                    "session_id": session,
                    "handle_id": attached["data"]["id"],
                    "transaction": "t",
                    "body": EXISTS,
                }
            ).encode()
        )

        def once() -> None:
            sock.sendall(frame)
            sock.recv(65_536)

        yield once


def _frame(payload: bytes) -> bytes:
    """A masked text frame; the mask is zero."""
    assert len(payload) < 65_536
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + payload


@contextmanager
def http_caller(bridge: Bridge, handle: str) -> Iterator[Once]:
    """One kept-alive connection."""
    body = request(handle)
    head = (
        "POST /mi HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    whole = head.encode() + body
    with socket.create_connection(("127.0.0.1", port_of(bridge))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def once() -> None:
            sock.sendall(whole)
            sock.recv(65_536)

        yield once


@contextmanager
def _udp(bridge: Bridge, handle: str) -> Iterator[Once]:
    port = next(int(port) for port in re.findall(r"listening on udp:127\.0\.0\.1:(\d+)", bridge.log))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        yield _datagram(sock, request(handle))


@contextmanager
def _unix(folder: Path, handle: str) -> Iterator[Once]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(folder / f"caller-{os.getpid()}.sock"))
        sock.connect(str(folder / "mi.sock"))
        yield _datagram(sock, request(handle))


def _datagram(sock: socket.socket, body: bytes) -> Once:
    sock.settimeout(10)

    def once() -> None:
        sock.send(body)
        sock.recv(65_535)

    return once


async def _trio_websocket(janus: Janus) -> list[float]:
    """The library's public API, one command after the other."""
    async with _session(janus) as (socket_, message):
        times = []
        for _ in range(CALLS):
            begun = time.perf_counter()
            await socket_.send_message(json.dumps(message))
            json.loads(await socket_.get_message())
            times.append(time.perf_counter() - begun)
        return times


class _session:
    """A WebSocket by trio-websocket, with a session and a handle."""

    def __init__(self, janus: Janus) -> None:
        url = f"ws://127.0.0.1:{janus.port}/janus"
        self._opening = trio_websocket.open_websocket_url(url, subprotocols=[SUBPROTOCOL])

    async def __aenter__(self) -> tuple[Any, dict[str, Any]]:
        socket_ = await self._opening.__aenter__()

        async def ask(message: dict[str, Any]) -> Any:
            await socket_.send_message(json.dumps({**message, "transaction": "t"}))
            return json.loads(await socket_.get_message())

        session = (await ask({"janus": "create"}))["data"]["id"]
        attached = await ask({"janus": "attach", "session_id": session, "plugin": "janus.plugin.videoroom"})
        message = {"janus": "message", "session_id": session, "handle_id": attached["data"]["id"], "body": EXISTS}
        return socket_, {**message, "transaction": "t"}

    async def __aexit__(self, *exc: Any) -> None:
        await self._opening.__aexit__(*exc)


def many_callers(bridge: Bridge, folder: Path, callers: int, handles: int) -> dict[str, float]:
    """wrk for some seconds: commands/s, latency, and the bridge's processor time for each command."""
    bodies = ",".join(f"[==[{request(handle).decode()}]==]" for handle in attach(bridge, handles))
    script = folder / "wrk.lua"
    script.write_text(
        f'local bodies = {{{bodies}}}\nlocal n = 0\nwrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        "function request() n = n % #bodies + 1 return wrk.format(nil, nil, nil, bodies[n]) end\n"
    )
    url = f"http://127.0.0.1:{port_of(bridge)}/mi"
    before, used = _answered(bridge), cpu_seconds(bridge.process.pid)
    command = ["wrk", "-t1", f"-c{callers}", f"-d{SECONDS}", "--latency", "-s", str(script), url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used, answered = cpu_seconds(bridge.process.pid) - used, _answered(bridge) - before
    assert "Non-2xx" not in output, output
    p50, p99 = _latency(output, "50%"), _latency(output, "99%")
    return {
        "per_second": round(answered / SECONDS),
        "p50_ms": p50,
        "p99_ms": p99,
        "p99_to_p50": round(p99 / p50, 2),
        "cpu_us": round(used / answered * 1e6, 1),
    }


def _answered(bridge: Bridge) -> int:
    answer = bridge.mi("get_statistics", {"statistics": ["commands_answered"]})
    return int(answer["janus:commands_answered"])


def _latency(output: str, percent: str) -> float:
    match = re.search(rf"{percent}\s+([0-9.]+)(us|ms|s)\b", output)
    assert match is not None, output
    return round(float(match[1]) * {"us": 0.001, "ms": 1, "s": 1000}[match[2]], 4)


async def pipelined(janus: Janus, seconds: float = 3.0, callers: int = 64) -> float:
    """Commands/s of ``callers`` tasks over trio-websocket's public API, answers read by one task."""
    answered = 0
    async with _session(janus) as (socket_, message), trio.open_nursery() as nursery:
        slots = trio.Semaphore(callers)
        text = json.dumps(message)

        async def call() -> None:
            while True:
                await slots.acquire()
                await socket_.send_message(text)

        for _ in range(callers):
            nursery.start_soon(call)
        end = trio.current_time() + seconds
        while trio.current_time() < end:
            json.loads(await socket_.get_message())
            answered += 1
            slots.release()
        nursery.cancel_scope.cancel()
    return answered / seconds
