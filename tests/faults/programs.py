"""What the tests of the installed program have in common."""

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from tests.support import mi_client
from tests.support.bridge import Bridge
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.janus import GEN
from tests.support.mi_client import MiError

PING = {"janus": "ping"}


async def normal(bridge: Bridge, seconds: float = HANG_SECONDS, janus_id: str = "gw1") -> None:
    """Show that a command is answered within so many seconds."""
    with in_time(seconds):
        while True:
            try:
                assert (await bridge.send(janus_id, PING))["janus"] == "pong"
                return
            except MiError as error:
                if error.code != 503:
                    raise
            await trio.sleep(0.01)


async def until_logged(bridge: Bridge, text: str, seconds: float = HANG_SECONDS) -> None:
    """Wait for a line of the log."""
    with in_time(seconds):
        while text not in bridge.log:  # noqa: ASYNC110 - a file
            await trio.sleep(0.01)


async def saved(bridge: Bridge) -> None:
    """Wait until the disk has the sessions of a bridge that is to be killed: a thread writes them, behind answers."""
    rows = (await bridge.ami("janus_list"))["Gateways"]
    lines = [f'"session_id":{one["session"].removesuffix("...")}' for row in rows for one in row["sessions"]]
    journal = Path(bridge.options["state.dir"]) / "sessions.jsonl"
    with in_time(HANG_SECONDS):
        while not all(line in journal.read_text() for line in lines):  # noqa: ASYNC110 - a file
            await trio.sleep(0.01)


async def statistic(bridge: Bridge, name: str) -> int:
    """One figure of ``get_statistics``."""
    return int((await bridge.ami("get_statistics", [[name]]))[f"janus:{name}"])


async def attach(bridge: Bridge, janus_id: str = "gw1") -> str:
    """A new handle of janus.plugin.gen."""
    answer = await bridge.send(janus_id, {"janus": "attach", "plugin": GEN})
    return str(answer["data"]["id"])


def message(handle: str, body: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    return {"janus": "message", "handle_id": handle, "body": dict(body), **members}


@contextmanager
def limited(bridge: Bridge, kind: int, value: int) -> Iterator[None]:
    """A limit (resource.RLIMIT_...) of the running process, lifted at the end."""
    pid = bridge.process.pid
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


async def over_udp(address: tuple[str, int], method: str, params: Any = None) -> Any:
    """An MI method over a datagram: needs no descriptor of the bridge. Raises MiError."""
    with trio.fail_after(mi_client.SECONDS), trio.socket.socket(type=trio.socket.SOCK_DGRAM) as socket:
        await socket.connect(address)
        await socket.send(mi_client.request(method, params))
        return mi_client.result(await socket.recv(65_536))
