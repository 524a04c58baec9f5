"""A cluster of bridges: installed programs on one table, who calls them, and what was heard of them.

Owns the configuration that makes them a cluster. Must not know how a bridge does its part: options, MI, the subcommand
``cluster release`` and events are all it uses.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import trio
from pymysql import MySQLError

from bridge.auto_reset_event import AutoResetEvent
from tests.support.bridge import PROGRAM, Bridge, BridgeFailed, toml
from tests.support.deadlines import HANG_SECONDS, in_time
from tests.support.janus import GEN
from tests.support.mi_client import MiError, Unserved
from tests.support.ports import free_port
from tests.support.receivers import Receiver

CLUSTER = 1
REPEATABLE = 503
_POLL_SECONDS = 0.01


class ClusterBed:
    """``with ClusterBed(tmp_path, db_url, 2, events) as bed:``; its bridges are nodes 1, 2 ... and run.

    ``db_url`` leads to the table, and to the cluster's. Every event of each goes to ``events``, numbered.
    """

    def __init__(
        self,
        folder: Path,
        db_url: str,
        bridges: int,
        events: Receiver,
        options: Mapping[str, Any] | None = None,
        *,
        each: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """``options``: of all bridges; ``each``: of the first, the second ..., e.g. a database host of its own."""
        self.bridges: list[Bridge] = []
        self._started: list[Bridge] = []
        for number in range(1, bridges + 1):
            port = free_port()
            own = folder / f"node-{number}"
            own.mkdir()
            settings = {
                "janus.janus_db_url": db_url,
                "cluster.cluster_id": CLUSTER,
                "cluster.my_node_id": number,
                "cluster.my_node_url": f"http://127.0.0.1:{port}/mi",
                "mi.http": [f"127.0.0.1:{port}"],
                "events.numbered": True,
                "events.subscribers": [
                    {"event": name, "socket": events.name} for name in ("E_JANUS_EVENT", "E_JANUS_STATUS")
                ],
                **(options or {}),
                **(each[number - 1] if each else {}),
            }
            self.bridges.append(Bridge(own, settings))

    def __enter__(self) -> Self:
        try:
            command(self.bridges[0], "db", "init")
            for bridge in self.bridges:
                self._started.append(bridge)
                bridge.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bridge in self.bridges if kind is not None else ():
            print(bridge.options["cluster.my_node_id"], "exit code", bridge.process.exit_code, bridge.log)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to all that run."""
        for bridge in self._started:
            bridge.kill()


def command(bridge: Bridge, *words: str) -> str:
    """A subcommand with this bridge's settings; what it prints. Raises BridgeFailed."""
    settings = [word for key, value in bridge.options.items() for word in ("-o", f"{key}={toml(value)}")]
    done = subprocess.run([PROGRAM, *words, *settings], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BridgeFailed(done.stdout + done.stderr)
    return done.stdout


def release(bridge: Bridge) -> None:
    """What the unit's ExecStopPost= does when the process is over, whatever ended it."""
    command(bridge, "cluster", "release")


async def released(bridge: Bridge) -> None:
    """The same, where the database serves: again as long as it is too busy to answer in the time that this has."""
    with trio.fail_after(HANG_SECONDS):
        while True:
            try:
                return await trio.to_thread.run_sync(release, bridge)
            except BridgeFailed as failed:
                if "no answer within" not in str(failed):
                    raise


class Server(Protocol):
    """MariaDb, or Galera."""

    def execute(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]: ...


async def written(bridge: Bridge, server: Server, janus_id: str = "gw1") -> None:
    """Wait until the table has all sessions of a bridge that is to die: where the database is slow, they are made all
    the same, and lost with it (contract 11.1).
    """
    database = str(bridge.options["janus.janus_db_url"]).rpartition("/")[2]

    def rows() -> set[str]:
        try:
            found = server.execute("SELECT session_id FROM janus_session", database=database)
        except (RuntimeError, MySQLError):  # it does not serve just now
            return set()
        return {f"{str(session_id)[:4]}..." for (session_id,) in found}  # as janus_list shortens it

    with trio.fail_after(HANG_SECONDS):
        while True:
            (row,) = (await bridge.ami("janus_list", [janus_id]))["Gateways"]
            if {session["session"] for session in row["sessions"]} <= await trio.to_thread.run_sync(rows):
                return
            await trio.sleep(_POLL_SECONDS)


async def heir_of(bridge: Bridge, server: Server) -> int:
    """The node that has its sessions by now, in a cluster in which each had as many as any other."""
    database = str(bridge.options["janus.janus_db_url"]).rpartition("/")[2]
    owners = "SELECT node_id FROM janus_session GROUP BY node_id ORDER BY COUNT(*) DESC"
    with trio.fail_after(HANG_SECONDS):
        while True:
            nodes = [int(node) for (node,) in server.execute(owners, database=database)]
            if bridge.options["cluster.my_node_id"] not in nodes:
                return nodes[0]
            await trio.sleep(_POLL_SECONDS)


async def ready(bridge: Bridge, janus_id: str = "gw1") -> None:
    """Wait until it has a session there."""
    await answered(bridge, {"janus": "attach", "plugin": "janus.plugin.echotest"}, janus_id)


async def attach(bridge: Bridge, janus_id: str = "gw1") -> str:
    """A new handle of janus.plugin.gen."""
    return str((await answered(bridge, {"janus": "attach", "plugin": GEN}, janus_id))["data"]["id"])


async def handle_at_the_first(bed: ClusterBed) -> tuple[Bridge, Bridge, str]:
    """The first bridge, with this new handle, and the second, which it knows, and which is ready to take it over."""
    first, second = bed.bridges
    await ready(second)
    with trio.fail_after(HANG_SECONDS):
        while len((await first.ami("janus_cluster_list"))["Nodes"]) < 2:  # noqa: ASYNC110 - asked now and then
            await trio.sleep(_POLL_SECONDS)
    return first, second, await attach(first)


async def answered(bridge: Bridge, asked: Mapping[str, Any], janus_id: str = "gw1") -> Any:
    """Janus's answer, as a caller gets it who repeats what was not sent. Raises MiError for any other end."""
    with trio.fail_after(HANG_SECONDS):
        while True:
            try:
                return await bridge.send(janus_id, asked)
            except MiError as error:
                if error.code != REPEATABLE:
                    raise
            await trio.sleep(_POLL_SECONDS)


async def caught_up(bridge: Bridge, handle: str, seconds: float) -> None:
    """Show that the handle answers there within so many seconds."""
    with in_time(seconds):
        assert await lives(bridge, handle)


def says(handle: str, **body: Any) -> dict[str, Any]:
    """A message to a handle of janus.plugin.gen."""
    return {"janus": "message", "handle_id": handle, "body": body}


async def lives(bridge: Bridge, handle: str, janus_id: str = "gw1") -> bool:
    """Whether the handle answers there."""
    answer = await answered(bridge, says(handle, n=1), janus_id)
    return bool(answer["janus"] == "success")


def was_refused(error: OSError) -> bool:
    """Whether nobody listens there, in trio's words: nothing was sent."""
    group = error.__cause__
    return isinstance(group, BaseExceptionGroup) and group.split(ConnectionRefusedError)[0] is not None


@dataclass
class Listener:
    """What came to a socket, in its order. ``run`` is a task."""

    receiver: Receiver
    bodies: list[dict[str, Any]] = field(default_factory=list)  # of E_JANUS_EVENT: janus_body, and its janus_seq
    statuses: list[dict[str, Any]] = field(default_factory=list)  # of E_JANUS_STATUS; ``detail`` as an object
    _heard: AutoResetEvent = field(default_factory=AutoResetEvent)

    async def run(self) -> None:
        """Listen until it is cancelled."""
        while True:
            params = json.loads(await self.receiver.receive())["params"]
            if "status" in params:
                self.statuses.append({**params, "detail": json.loads(params["detail"])})
            else:
                self.bodies.append({**json.loads(params["janus_body"]), "janus_seq": params["janus_seq"]})
            self._heard.set()
            await trio.lowlevel.checkpoint()

    def numbers(self, handle: str) -> list[int]:
        """Of the events that janus.plugin.gen counts."""
        data = [body["plugindata"]["data"] for body in self.bodies if str(body.get("sender")) == handle]
        return [one["i"] for one in data if "i" in one]

    def told(self, status: str) -> list[dict[str, Any]]:
        """Every E_JANUS_STATUS with this status."""
        return [params for params in self.statuses if params["status"] == status]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for the thing itself, which something that comes makes true."""
        with trio.fail_after(HANG_SECONDS):
            while not condition():
                await self._heard.wait()


@dataclass
class BusyCaller:
    """Asks a handle again and again, one command at a time, at the first of ``bridges`` that takes connections."""

    bridges: Sequence[Bridge]
    handle: str
    janus_id: str = "gw1"
    outcomes: Counter[str] = field(default_factory=Counter)  # "answered", or an error's code
    longest: float = 0.0  # seconds from one answer to the next
    over: bool = False

    async def run(self, pause: float = 0.002) -> None:
        """Ask until ``over``."""
        number, last = 0, trio.current_time()
        while not self.over:
            number += 1
            answer = await self._ask(number)
            if answer is not None:
                now = trio.current_time()
                self.longest, last = max(self.longest, now - last), now
            await trio.sleep(pause)

    async def _ask(self, number: int) -> Any:
        for bridge in self.bridges:
            try:
                answer = await bridge.send(self.janus_id, says(self.handle, n=number))
            except Unserved:  # it stops, and took this connection before
                continue
            except MiError as error:
                self.outcomes[str(error.code)] += 1
                return None
            except OSError as error:
                if not was_refused(error):
                    raise
                continue
            assert answer["plugindata"]["data"]["echo"]["n"] == number, answer
            self.outcomes["answered"] += 1
            return answer
        self.outcomes["refused"] += 1
        return None
