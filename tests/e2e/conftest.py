"""The installed program beside real servers: a started bridge by option, and a socket that hears its events."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridge import Bridge
from tests.support.fake_systemd import FakeSystemd
from tests.support.janus import Janus
from tests.support.receivers import Receiver, udp_receiver
from tests.support.tables import sqlite_table

BridgeFactory = Callable[..., Bridge]


@pytest.fixture
def events() -> Iterator[Receiver]:
    """A UDP socket that waits for events."""
    with udp_receiver() as receiver:
        yield receiver


@pytest.fixture
def bridge_factory(tmp_path: Path, events: Receiver) -> Iterator[BridgeFactory]:
    """``bridge_factory({"gw1": janus.url}, **{"mi.token": "x"})``: a started bridge with this table in SQLite.

    Every E_JANUS_EVENT goes to the fixture ``events``.
    """
    started: list[Bridge] = []

    def start(
        rows: dict[str, str], *, systemd: FakeSystemd | None = None, arguments: Sequence[str] = (), **options: Any
    ) -> Bridge:
        folder = tmp_path / f"bridge-{len(started) + 1}"
        folder.mkdir()
        subscribers = [{"event": "E_JANUS_EVENT", "socket": events.name}]
        settings = {"events.subscribers": subscribers, **options}
        if "janus.janus_db_url" not in settings:
            settings["janus.janus_db_url"] = sqlite_table(folder / "opensips.db", rows)
        bridge = Bridge(folder, settings, systemd=systemd, arguments=arguments).start()
        started.append(bridge)
        return bridge

    yield start
    for bridge in started:
        exit_code = bridge.stop()
        print(bridge.log)  # pytest shows it where the test failed
        assert exit_code == 0


@pytest.fixture
def bridge(bridge_factory: BridgeFactory, janus: Janus) -> Bridge:
    """One bridge, one gateway "gw1": the session-wide Janus."""
    return bridge_factory({"gw1": janus.url})
