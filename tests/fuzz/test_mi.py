"""Bytes at the doors of the MI: every method, through dispatch and through the real sockets of each transport.

Whatever comes in, the answer is JSON-RPC or what the transport says instead of it, never "Server error", and the next
caller is served.
"""

import http.client
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import load
from bridge.core.mi import Registry
from bridge.daemon.parts import build
from bridge.errors import MalformedMessage
from bridge.transport.http_access import Access
from bridge.transport.http_ends import HttpLimits
from bridge.transport.http_listener import bound_address, open_listeners
from bridge.transport.mi_ask import Reception
from bridge.transport.mi_datagram import open_datagram, serve_mi_datagram
from bridge.transport.mi_fifo import MiFifo, serve_mi_fifo
from tests.fuzz.targets import fuzz
from tests.support.batches import serve_http
from tests.support.callers import OPERATOR, ask
from tests.support.deadlines import HANG_SECONDS
from tests.support.json_values import values

QUIET = ["log_level"]  # would change how the tests themselves log
GOOD = b'{"jsonrpc":"2.0","id":7,"method":"uptime"}'
SECONDS = HANG_SECONDS


def registry(folder: Path) -> Registry:
    """The MI of the whole service, which does not run: no gateway, nobody subscribed."""
    folder.mkdir(exist_ok=True)
    return build(load(None, [f'state.dir="{folder}"'], {})).mi


METHODS = [name for name in registry(Path(tempfile.mkdtemp())).which() if not name.endswith(tuple(QUIET))]
WORDS = ["gw", "E_JANUS_EVENT", "udp:127.0.0.1:9", "unix:/x", "tcp:127.0.0.1:1", "janus_id", "janus_command",
         "timeout", "event", "socket", "expire", "params", "all", "janus:", "statistics", '{"janus":"info"}', "[]",
         "10"]  # fmt: skip
arguments = st.sampled_from(WORDS) | values
requests = st.fixed_dictionaries(
    {
        "jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0"]),
        "method": st.sampled_from(METHODS) | st.text(max_size=6),
    },
    optional={
        "id": st.integers() | st.text(max_size=5) | values,
        "params": st.lists(arguments, max_size=4) | st.dictionaries(st.sampled_from(WORDS), arguments, max_size=4),
    },
)
jsons = (requests | st.lists(requests, max_size=2) | values).map(lambda value: json.dumps(value).encode())


def _damaged(what: tuple[bytes, int, bytes]) -> bytes:
    body, place, garbage = what
    place %= len(body) + 1
    return body[:place] + garbage + body[place + 1 :]


bodies = jsons | st.tuples(jsons, st.integers(0, 300), st.binary(max_size=3)).map(_damaged) | st.binary(max_size=40)


@fuzz
@given(body=bodies)
def test_dispatch_answers_in_json_rpc(body: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    mi = registry(tmp_path_factory.getbasetemp() / "state")

    async def dispatch() -> bytes | None:
        with trio.fail_after(SECONDS):
            return await ask(mi, body, OPERATOR)

    try:
        answer = trio.run(dispatch)
    except MalformedMessage:
        return
    if answer is not None:
        check_answer(json.loads(answer))


def check_answer(answer: Any) -> None:
    """As JSON-RPC wants it, and no fault of ours."""
    assert answer["jsonrpc"] == "2.0", answer
    assert ("result" in answer) != ("error" in answer), answer
    assert answer.get("error", {}).get("code") != -32000, answer


Shoot = Callable[[bytes], bytes]


def shoot_udp(port: int) -> Shoot:
    def shoot(body: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(SECONDS)
            client.connect(("127.0.0.1", port))
            return _exchange(client, body)

    return shoot


def shoot_unix(path: str) -> Shoot:
    def shoot(body: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(SECONDS)
            client.bind("")
            client.connect(path)
            return _exchange(client, body)

    return shoot


def _exchange(client: socket.socket, body: bytes) -> bytes:
    """Shoot, then ask something good; all that is answered before that has its answer."""
    client.send(body)
    client.send(GOOD)
    while True:
        answer = client.recv(65536)
        if b'"id":7' in answer and b"Up since" in answer:
            return answer
        if not answer.startswith((b"400", b"500")):
            check_answer(json.loads(answer))


def shoot_fifo(path: Path, folder: Path) -> Shoot:
    reply = folder / "reply"

    def shoot(body: bytes) -> bytes:
        with path.open("wb", buffering=0) as fifo:
            fifo.write(body[:4000] + b"\n")  # one line is one request; a FIFO takes 4,096 bytes as one
            if not reply.exists():
                os.mkfifo(reply)
            fd = os.open(reply, os.O_RDONLY | os.O_NONBLOCK)
            fifo.write(b":reply:" + GOOD + b"\n")
        os.set_blocking(fd, True)
        with open(fd, "rb", buffering=0) as answers:
            until = time.monotonic() + SECONDS
            while not (answer := answers.read(65536)):  # nobody writes to it yet
                assert time.monotonic() < until, f"no answer to a good request behind {body[:4000]!r}"
            return answer

    return shoot


def shoot_http(port: int) -> Shoot:
    def shoot(body: bytes) -> bytes:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as client:
            for one in (body, GOOD):
                client.request("POST", "/mi", one, {"Content-Type": "application/json"})
                response = client.getresponse()
                answer = response.read()
                if response.status == 200:
                    check_answer(json.loads(answer))
            return answer

    return shoot


@contextmanager
def short_folder() -> Iterator[Path]:
    """A unix socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("transport", ["udp", "unix", "fifo", "http"])
def test_any_bytes_leave_the_door_open(transport: str) -> None:
    """Not an async test: those have a time limit, which a long run exceeds."""
    with short_folder() as folder:
        trio.run(_besiege, transport, folder)


async def _besiege(transport: str, folder: Path) -> None:
    mi = registry(folder / "state")
    reception = Reception(mi.dispatch)
    async with trio.open_nursery() as nursery:
        await nursery.start(mi.run)
        if transport == "udp":
            udp = open_datagram("udp:127.0.0.1:0")
            await nursery.start(serve_mi_datagram, udp, reception)
            shoot = shoot_udp(int(udp.name.rpartition(":")[2]))
        elif transport == "unix":
            await nursery.start(serve_mi_datagram, open_datagram(f"unix:{folder / 'mi'}"), reception)
            shoot = shoot_unix(str(folder / "mi"))
        elif transport == "fifo":
            await nursery.start(serve_mi_fifo, MiFifo(str(folder / "fifo"), 0o622, str(folder)), reception)
            shoot = shoot_fifo(folder / "fifo", folder)
        else:
            (listener,) = await open_listeners("127.0.0.1:0", None)
            port = int(bound_address(listener).rpartition(":")[2])
            nursery.start_soon(_serve_http, listener, mi)
            shoot = shoot_http(port)

        @fuzz
        @given(body=bodies)
        def check(body: bytes) -> None:
            assert b"Up since" in shoot(body)

        await trio.to_thread.run_sync(check)
        nursery.cancel_scope.cancel()


async def _serve_http(listener: Any, mi: Registry) -> None:
    await serve_http([listener], mi.dispatch, Access(), root="mi", limits=HttpLimits(), pages={})
