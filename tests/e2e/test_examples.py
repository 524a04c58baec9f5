"""What of the examples needs no OpenSIPS: the program that hears events, and what a migration changes."""

import sys
from collections.abc import Callable
from pathlib import Path

import trio

from tests.e2e.conftest import BridgeFactory
from tests.e2e.test_main_job import attach, message, ready
from tests.support.janus import Janus
from tests.support.opensips import EXAMPLES, free_udp_port
from tests.support.process import ChildProcess


async def test_the_consumer_prints_what_janus_says(
    bridge_factory: BridgeFactory, janus_factory: Callable[[], Janus], tmp_path: Path
) -> None:
    janus = janus_factory()
    bridge = bridge_factory({"gw1": janus.url})
    port = free_udp_port()
    consumer = ChildProcess([sys.executable, str(EXAMPLES / "event_consumer.py"), str(port)], tmp_path / "consumer.log")
    try:
        for event in ("E_JANUS_EVENT", "E_JANUS_STATUS"):
            await bridge.ami("event_subscribe", [event, f"udp:127.0.0.1:{port}"])
        await ready(bridge)
        handle = await attach(bridge)
        said = f"gw1 event from handle {handle}\n"
        while said not in consumer.output:  # until it has bound its socket, events go nowhere
            assert consumer.exit_code is None, consumer.output
            await bridge.send("gw1", message(handle, {"do": "say", "json": {"n": 1}}))
            await trio.sleep(0.02)
        janus.kill()
        while "gw1 is disconnected " not in consumer.output:
            assert consumer.exit_code is None, consumer.output
            await trio.sleep(0.005)
    finally:
        consumer.stop(5.0)


def test_a_migrated_script_changes_by_one_line_a_call() -> None:
    before, after = (script(EXAMPLES / name) for name in ("module_before.cfg", "module_after.cfg"))
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 3
    for old, new in changed:
        assert "janus_send_request(" in old
        assert "route(JANUS_SEND_REQUEST, " in new


def script(config: Path) -> list[str]:
    """The lines of its routes."""
    text = config.read_text(encoding="utf-8")
    return text[text.index("\nroute {") :].splitlines()
