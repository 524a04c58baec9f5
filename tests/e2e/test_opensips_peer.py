"""When a script asks another bridge: with a real OpenSIPS, real bridges, and what only looks like one."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.e2e.conftest import BridgeFactory
from tests.e2e.test_main_job import ready
from tests.support.bridge import Bridge
from tests.support.janus import Janus
from tests.support.opensips import NEEDS_OPENSIPS, OpenSips
from tests.support.sip import SipCaller

pytestmark = NEEDS_OPENSIPS

BOTH = pytest.mark.parametrize("example", ["sync.cfg", "async.cfg"])
ONE_WORKER = {"udp_workers = 4": "udp_workers = 1"}
NEW_CONNECTION = '\trest_append_hf("Connection: close");\n'
STOPPING = "HTTP/1.1 503 Service Unavailable", "<html><body>The bridge is stopping; nothing was done</body></html>"
ANSWER = "HTTP/1.1 200 OK", json.dumps({"jsonrpc": "2.0", "result": {"name": "first"}, "id": "1"})
NO_ANSWER = "", ""


def asks(peer: Bridge) -> dict[str, str]:
    """What an administrator changes: the line of the peer, with its address."""
    return {
        '#$avp(janus_peer) := "https://sip2.example.org:8889/mi"': f'$avp(janus_peer) := "{peer.mi_url}"',
        **ONE_WORKER,
    }


@pytest.fixture
async def peer(bridge_factory: BridgeFactory, janus: Janus) -> Bridge:
    bridge = bridge_factory({"gw1": janus.url})
    await ready(bridge)
    return bridge


@BOTH
async def test_where_its_bridge_is_down(
    example: str, bridge_factory: BridgeFactory, peer: Bridge, janus: Janus, tmp_path: Path
) -> None:
    own = bridge_factory({"gw1": janus.url})
    await ready(own)
    with OpenSips(tmp_path / "opensips", example, bridge=own.mi_url, replace=asks(peer)) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            assert (await caller.request("OPTIONS", "gw1")).status == 200
            assert await commands(peer) == 0
            own.stop()
            assert (await caller.request("OPTIONS", "gw1")).status == 200
            assert await commands(peer) == 1
            peer.stop()
            assert (await caller.request("OPTIONS", "gw1")).status == 503


async def test_which_says_on_a_kept_connection_that_it_stops(
    bridge_factory: BridgeFactory, peer: Bridge, janus: Janus, tmp_path: Path
) -> None:
    """Without the line that the include file has for each command, libcurl reads there what a real bridge said."""
    own = bridge_factory({"gw1": janus.url})
    await ready(own)
    kept = asks(peer) | {NEW_CONNECTION: ""}
    with OpenSips(tmp_path / "opensips", "sync.cfg", bridge=own.mi_url, replace=kept) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            assert (await caller.request("OPTIONS", "gw1")).status == 200
            own.stop()
            assert (await caller.request("OPTIONS", "gw1")).status == 200
            assert await commands(peer) == 1
            assert "connect refused" not in opensips.log
            assert (await caller.request("OPTIONS", "gw1")).status == 200


@BOTH
async def test_which_has_done_nothing(example: str, peer: Bridge, tmp_path: Path) -> None:
    async with answers([STOPPING, STOPPING]) as url:
        with OpenSips(tmp_path / "opensips", example, bridge=url, replace=asks(peer)) as opensips:
            async with SipCaller(opensips.sip_port) as caller:
                for number in (1, 2):
                    assert (await caller.request("OPTIONS", "gw1")).status == 200
                    assert await commands(peer) == number
                reply = await caller.request("OPTIONS", "nobody")  # the third: it takes no connection any more
                assert (reply.status, reply.reason) == (404, "No Such Janus")


@BOTH
async def test_never_where_the_outcome_is_open(example: str, peer: Bridge, tmp_path: Path) -> None:
    front = "HTTP/1.1 503 Service Unavailable", "<html><body><h1>503 Service Unavailable</h1></body></html>"
    gateway = "HTTP/1.1 502 Bad Gateway", ""
    no_bridge = "HTTP/1.1 200 OK", "nothing was done"
    async with answers([ANSWER, NO_ANSWER, front, gateway, no_bridge]) as url:
        with OpenSips(tmp_path / "opensips", example, bridge=url, replace=asks(peer)) as opensips:
            async with SipCaller(opensips.sip_port) as caller:
                assert (await caller.request("OPTIONS", "gw1")).headers["x-janus"].startswith("first")
                for _ in range(4):
                    assert (await caller.request("OPTIONS", "gw1")).status == 503
                assert await commands(peer) == 0
                await opensips.until_logged("Janus gw1: no answer from janus-bridge")
                await opensips.until_logged("Janus gw1: janus-bridge refuses: HTTP 503 503 Service Unavailable")
                await opensips.until_logged("Janus gw1: janus-bridge refuses: HTTP 502")
                await opensips.until_logged("Janus gw1: something else than janus-bridge answers")


async def test_never_after_a_bridge_that_dies_with_the_command(peer: Bridge, tmp_path: Path) -> None:
    """On a kept connection libcurl would ask again by itself, and be refused: as if nothing had been done."""
    async with answers([ANSWER, NO_ANSWER], keep=True) as url:
        with OpenSips(tmp_path / "opensips", "sync.cfg", bridge=url, replace=asks(peer)) as opensips:
            async with SipCaller(opensips.sip_port) as caller:
                assert (await caller.request("OPTIONS", "gw1")).status == 200
                assert (await caller.request("OPTIONS", "gw1")).status == 503
                assert await commands(peer) == 0


async def test_the_reason_of_a_failure_is_not_that_of_the_one_before(peer: Bridge, tmp_path: Path) -> None:
    """AVPs are stacks: what a command left below would be there again after the next one."""
    twice = 'route(JANUS_SEND_REQUEST, "nobody", "{}", "answer");\n\tif (route(JANUS_SEND_REQUEST, $rU'
    told = {
        "if (route(JANUS_SEND_REQUEST, $rU": twice,
        "$json(info/name) $json(info/version_string)": "$(avp(answer)[1]) $avp(janus_error)",
    }
    with OpenSips(tmp_path / "opensips", "sync.cfg", bridge=peer.mi_url, replace=told) as opensips:
        async with SipCaller(opensips.sip_port) as caller:
            assert (await caller.request("OPTIONS", "gw1")).headers["x-janus"] == "<null> <null>"


async def commands(bridge: Bridge) -> int:
    return int((await bridge.ami("get_statistics", [["commands"]]))["janus:commands"])


@asynccontextmanager
async def answers(lines: Sequence[tuple[str, str]], *, keep: bool = False) -> AsyncIterator[str]:
    """The URL of what answers one request after the other so, then takes no connection; NO_ANSWER ends one with the
    request in its hands. ``keep``: it keeps its connection, where the client lets it.
    """
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
    left = list(lines)

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            while left:
                head = await request(stream)
                if not head:
                    return
                status, body = left.pop(0)
                if not left:
                    await listener.aclose()
                if (status, body) == NO_ANSWER:
                    return
                kept = keep and b"Connection: close" not in head
                connection = "" if kept else "Connection: close\r\n"
                answer = f"{status}\r\n{connection}Content-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                await stream.send_all(answer.encode())
                if not kept:
                    return

    async def accept() -> None:
        while left:
            await serve(await listener.accept())

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/mi"
        nursery.cancel_scope.cancel()


async def request(stream: trio.SocketStream) -> bytes:
    """The head of the next request, all of which was read; b"" where the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    [length] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
    while len(body) < length:
        body += await stream.receive_some()
    return head
