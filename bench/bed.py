"""What is measured: a private Janus, the installed bridge, handles of the videoroom plugin.

Owns starting them. Uses the beds of the tests: what is measured is what is tested.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge import resources
from tests.support.bridge import Bridge
from tests.support.janus import Janus

EXISTS = {"request": "exists", "room": 1234}  # a synchronous videoroom request: the shortest way through a plugin


@contextmanager
def running(
    folder: Path, rows: Mapping[str, str], program: type[Bridge] = Bridge, /, **options: Any
) -> Iterator[Bridge]:
    """A bridge with this table, every gateway ready."""
    folder.mkdir()
    database = folder / "bench.db"
    connection = sqlite3.connect(database)
    connection.executescript(resources.path("sql/janus-create.sqlite.sql").read_text(encoding="utf-8"))
    connection.executemany("INSERT INTO janus (janus_id, janus_url) VALUES (?, ?)", list(rows.items()))
    connection.commit()
    connection.close()
    bridge = program(folder, {"janus.janus_db_url": f"sqlite://{database}", **options})
    with bridge:
        await_ready(bridge, len(rows))
        yield bridge


def await_ready(bridge: Bridge, count: int) -> None:
    """Until so many gateways are ready."""
    while bridge.mi("get_statistics", {"statistics": ["gateways_ready"]})["janus:gateways_ready"] < count:
        time.sleep(0.005)


def attach(bridge: Bridge, count: int, plugin: str = "janus.plugin.videoroom") -> list[str]:
    """Handles on the gateway "gw"."""
    command = {"janus": "attach", "plugin": plugin}
    return [bridge.mi("janus_send_request", ["gw", command])["data"]["id"] for _ in range(count)]


def port_of(bridge: Bridge) -> int:
    """Where its HTTP MI listens."""
    return int(bridge.mi_url.rsplit(":", 1)[1].partition("/")[0])


__all__ = ["EXISTS", "Janus", "attach", "await_ready", "port_of", "running"]
