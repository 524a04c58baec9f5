"""What of the examples needs no OpenSIPS: the programs that hear events, and what a migration changes."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import trio

from tests.e2e.conftest import BridgeFactory
from tests.e2e.test_main_job import attach, message, ready
from tests.support.janus import Janus
from tests.support.opensips import EXAMPLES, free_udp_port
from tests.support.process import ChildProcess
from tests.support.rabbitmq import RabbitMq


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
        while not consumer.output:  # until it has bound its socket, events go nowhere
            await bridge.send("gw1", message(handle, {"do": "say", "json": {"n": 1}}))
            await trio.sleep(0.02)
        assert consumer.output.splitlines()[0] == f"gw1 event from handle {handle}"
        janus.kill()
        while "gw1 is disconnected " not in consumer.output:
            assert consumer.exit_code is None, consumer.output
            await trio.sleep(0.005)
    finally:
        consumer.stop(5.0)


async def test_billing_has_each_event_once_whatever_ends_meanwhile(
    bridge_factory: BridgeFactory, janus: Janus, rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    """The program is killed in the middle of a burst."""
    subscriber = {"event": "E_JANUS_EVENT", "socket": f"rabbitmq:{rabbitmq.place}/exchange=janus?events"}
    file = tmp_path / "billing.db"
    with billing(rabbitmq, file) as program:
        bridge = bridge_factory({"gw1": janus.url}, **{"events.store": True, "events.subscribers": [subscriber]})
        await ready(bridge)
        handle = await attach(bridge)
        while "consuming" not in program.output:  # noqa: ASYNC110 - a file
            await trio.sleep(0.005)
        await bridge.send("gw1", message(handle, {"do": "burst", "n": 50, "size": 10}))
        await until_it_has(file, 1)
    await bridge.send("gw1", message(handle, {"do": "say", "json": {"n": 1}}))
    with billing(rabbitmq, file):
        await until_it_has(file, 51)
    last = (await bridge.ami("event_store_list"))["Gateways"][0]["last"]
    epoch = int(last.partition("-")[0])
    assert rows(file) == [("gw1", epoch, n, f"gw1/{epoch}-{n}") for n in range(2, 53)]  # 1 is "connected"
    rabbitmq.remove("janus-events")


async def until_it_has(file: Path, number: int) -> None:
    while len(rows(file)) < number:  # noqa: ASYNC110 - a file
        await trio.sleep(0.005)


@contextmanager
def billing(rabbitmq: RabbitMq, file: Path) -> Iterator[ChildProcess]:
    """rabbitmq_consumer.py, killed in the end."""
    command = [sys.executable, str(EXAMPLES / "rabbitmq_consumer.py"), rabbitmq.url, str(file)]
    program = ChildProcess(command, file.with_suffix(".log"))
    try:
        yield program
    finally:
        print(program.output)
        program.kill()


def rows(file: Path) -> list[tuple[str, int, int, str]]:
    """What it has, in the order of its rows."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(file)) as database:
        try:
            return database.execute("SELECT janus_id, epoch, n, id FROM event ORDER BY epoch, n").fetchall()
        except sqlite3.OperationalError:  # not begun yet
            return []


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
