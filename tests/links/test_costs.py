"""What one command and one event cost, in turns of the event loop and in Python calls: a guard that needs no clock.

The ceilings are what was counted when they were written, and a margin of a sixth; of a third where the calls of
libraries are among them, which vary with their versions. Whoever makes a command dearer sees it here; whoever makes it
cheaper lowers them.
"""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from bridge.core.commands_janus import janus_commands
from bridge.core.mi import Registry
from bridge.protocol.plugin_types import UNKNOWN
from bridge.transport.http_access import Access
from bridge.transport.http_listener import bound_address, open_listeners
from bridge.transport.mi_http import serve_mi_http
from tests.support.calls import Calls
from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import GEN, Janus
from tests.support.linkbed import LinkBed, running

COMMANDS, EVENTS = 300, 2000
ATTEMPTS = 10
# Counted: 0.01 turns and 60 calls a command, 62 with those of libraries but trio; 16 and 20 an event. Turns of trio
# are the clock's, too: five a second, and on a machine that is busy with other things a command lasts for longer.
TURNS_PER_COMMAND, TURNS_PER_SECOND = 0.1, 6
CALLS_PER_COMMAND, ALL_CALLS_PER_COMMAND = 70, 75
CALLS_PER_EVENT, ALL_CALLS_PER_EVENT = 19, 26


class Turns(trio.abc.Instrument):
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


def ask_many(port: int, handle: str, count: int) -> None:
    """A caller with one kept-alive connection, in a thread of its own."""
    command = {"janus": "message", "handle_id": handle, "body": {"request": "exists", "room": 1}, "transaction": "t"}
    body = json.dumps({"jsonrpc": "2.0", "id": "1", "method": "janus_send_request", "params": ["gw", command]}).encode()
    head = (
        f"POST /mi HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(HANG_SECONDS)
        for _ in range(count):
            sock.sendall(head.encode() + body)
            assert b'"result"' in sock.recv(65_536)


@pytest.mark.skipif(sys.gettrace() is not None, reason="coverage and debuggers add calls of their own")
async def test_a_command_through_http(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed, trio.open_nursery() as nursery:
        await bed.ready()
        registry = Registry(bed.stats)

        async def no_reload() -> Any:
            raise AssertionError

        registry.add(*janus_commands(bed.registry, no_reload, 5.0, lambda _: UNKNOWN))
        listeners = await open_listeners("127.0.0.1:0")
        await nursery.start(serve_mi_http, listeners, registry.dispatch, Access(), bed.batch)
        port = int(bound_address(listeners[0]).rpartition(":")[2])
        handle = await bed.attach("janus.plugin.videoroom")

        async def run(count: int) -> None:
            await trio.to_thread.run_sync(ask_many, port, handle, count)

        await run(20)  # the first of everything is dearer

        async def cost() -> tuple[float, float, float]:
            turns, began = Turns(), trio.current_time()
            trio.lowlevel.add_instrument(turns)
            await run(COMMANDS)
            trio.lowlevel.remove_instrument(turns)
            of_the_clock = TURNS_PER_SECOND * (trio.current_time() - began)
            with Calls(but=str(Path(trio.__file__).parent)) as calls:
                await run(COMMANDS)
            return (turns.count - of_the_clock) / COMMANDS, calls.own / COMMANDS, calls.all / COMMANDS

        # A machine that is busy meanwhile adds to it, and takes nothing away: the least of some counts.
        for _ in range(ATTEMPTS):
            turns, own, all_ = await cost()
            print(f"{turns:.2f} turns, {own:.0f} calls a command, {all_:.0f} with libraries")
            if turns <= TURNS_PER_COMMAND and own <= CALLS_PER_COMMAND and all_ <= ALL_CALLS_PER_COMMAND:
                break
        assert turns <= TURNS_PER_COMMAND
        assert own <= CALLS_PER_COMMAND
        assert all_ <= ALL_CALLS_PER_COMMAND
        nursery.cancel_scope.cancel()


@pytest.mark.skipif(sys.gettrace() is not None, reason="coverage and debuggers add calls of their own")
async def test_an_event(janus: Janus) -> None:
    async with running(LinkBed(), {"gw": janus.url}) as bed:
        await bed.ready()
        handle = await bed.attach(GEN)
        body = {"do": "burst", "n": EVENTS, "size": 100}
        with Calls() as calls:
            await bed.ask({"janus": "message", "handle_id": handle, "body": body})
            await bed.until(lambda: len(bed.events) == EVENTS)
        own, all_ = calls.own / EVENTS, calls.all / EVENTS
        print(f"{own:.0f} calls an event, {all_:.0f} with libraries")
        assert own <= CALLS_PER_EVENT
        assert all_ <= ALL_CALLS_PER_EVENT
