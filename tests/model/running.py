"""The bridge that a run is held against: inside this process, where its tasks and objects can be counted, or installed.

Knows how to start, reload and measure it; nothing of what is asked of it.
"""

import gc
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import trio

from bridge.config import load
from bridge.core.connection import JanusConnection
from bridge.core.pending import PendingRequest
from bridge.daemon.service import serve
from bridge.protocol.event_delivery import Parcel
from tests.model.site import MAX_MESSAGE, Site
from tests.support import mi_client
from tests.support.bridge import Bridge, toml
from tests.support.deadlines import HANG_SECONDS
from tests.support.ports import free_port

COUNTED = (PendingRequest, JanusConnection, Parcel)  # what a command, a connection and an event live as


class RunningBridge(Protocol):
    """A running bridge."""

    mi_url: str
    datagram: Path  # its MI socket

    def reload(self) -> None:
        """SIGHUP."""

    def remains(self) -> dict[str, int]:
        """What must be the same whenever nothing is to be done: descriptors, and what else can be counted."""


def settings(folder: Path, site: Site) -> dict[str, Any]:
    """Small limits, so that a short run meets them."""
    events = ("E_JANUS_EVENT", "E_JANUS_STATUS")
    return {
        "mi.datagram": [f"unix:{folder / 'mi'}"],
        "janus.janus_db_url": site.table_url,
        "janus.janus_ping_interval": 1,
        "janus.max_in_flight": 100,
        "janus.max_message_size": MAX_MESSAGE,
        "janus.reconnect_min": 0.05,
        "janus.reconnect_max": 1,
        "events.subscribers": [{"event": event, "socket": site.receiver.name} for event in events],
        "events.queue_events": 300,
        "state.dir": str(folder / "state"),
    }


class BridgeInside:
    """Made by live_inside(). What the run itself has open is counted too: it comes and goes with the bridge's."""

    def __init__(self, folder: Path, port: int) -> None:
        self.mi_url = f"http://127.0.0.1:{port}/mi"
        self.datagram = folder / "mi"

    def reload(self) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    def remains(self) -> dict[str, int]:
        gc.collect()
        objects = gc.get_objects()
        return {
            "descriptors": len(os.listdir("/proc/self/fd")),
            "tasks": trio.lowlevel.current_statistics().tasks_living,
            **{kind.__name__: sum(type(item) is kind for item in objects) for kind in COUNTED},
        }


class BridgeOutside:
    """The installed program."""

    def __init__(self, folder: Path, bridge: Bridge) -> None:
        self.mi_url, self.reload = bridge.mi_url, bridge.reload
        self.datagram = folder / "mi"
        self._proc = Path(f"/proc/{bridge.process.pid}")

    def remains(self) -> dict[str, int]:
        return {"descriptors": len(list((self._proc / "fd").iterdir()))}

    def memory(self) -> int:
        """Resident bytes."""
        return int((self._proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def live_inside(folder: Path, site: Site) -> AsyncIterator[BridgeInside]:
    """Run the whole service as a task. Ends as by SIGTERM, and must then leave nothing open."""
    port = free_port()
    options: Mapping[str, Any] = {**settings(folder, site), "mi.http": [f"127.0.0.1:{port}"], "log.level": -1}

    def load_again() -> Any:
        return load(None, [f"{key}={toml(value)}" for key, value in options.items()], {})

    running = BridgeInside(folder, port)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, load_again(), load_again)
        with trio.fail_after(HANG_SECONDS):
            while not await _answers(running.mi_url):  # noqa: ASYNC110 - it cannot tell
                await trio.sleep(0.01)
        yield running
        os.kill(os.getpid(), signal.SIGTERM)


async def _answers(url: str) -> bool:
    try:
        await mi_client.acall(url, "uptime")
    except OSError:
        return False
    return True
