"""A link, or a registry of them, with the real WebSocket client and without the rest of the program."""

import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import trio

from bridge.core.connection import Connect, Reports, WebSocket
from bridge.core.environment import LinkCluster, LinkEnvironment, LinkSettings
from bridge.core.link import JanusLink
from bridge.core.pending import AwaitedAnswer
from bridge.core.registry import LinkRegistry
from bridge.core.stats import Stats
from bridge.core.timers import Timers
from bridge.daemon.held import HeldSockets
from bridge.errors import BridgeError
from bridge.protocol import codec
from bridge.protocol.command import JanusCommand, read_command
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway, TableRow, read_rows
from bridge.protocol.plugin_types import UNKNOWN, PluginTypes
from bridge.protocol.session import SavedSession
from bridge.transport.batch import Batch
from bridge.transport.fd_store import FdStore
from bridge.transport.janus_connect import open_and_run
from bridge.transport.websocket_options import WebSocketOptions
from tests.support.deadlines import HANG_SECONDS
from tests.support.janus import GEN

LATER = 3600.0  # a time limit that ends when the test says so: LinkBed.time_out()


async def caller(link: JanusLink, command: JanusCommand, timeout: float) -> dict[str, Any]:
    """Janus's answer to a command. Raises the error that it ends in. Its cancellation is a caller who leaves."""
    reply = AwaitedAnswer(command.name)
    pending = link.request(command, timeout, reply)
    try:
        await reply.wait()
    finally:
        pending.abandon()
    return reply.result()


@dataclass
class LinkBed:
    """What links need, and a record of what they say. ``options`` may be changed before a connect."""

    start: str = "test"
    settings: LinkSettings = field(default_factory=LinkSettings)
    options: WebSocketOptions = field(default_factory=WebSocketOptions)
    credentials: dict[str, Credentials] = field(default_factory=dict)
    saved: dict[tuple[str, str], dict[int, SavedSession]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[tuple[str, str, str, dict[str, Any]]] = field(default_factory=list)
    connects: list[Gateway] = field(default_factory=list)
    connector: Connect | None = None  # in place of the real network
    types: PluginTypes = UNKNOWN
    batch: Batch = field(init=False)  # while it runs
    look_every: float = 0.001  # seconds between looks at what is waited for
    store: FdStore | None = None  # keeps the sockets
    cluster: LinkCluster | None = None
    inherited: Callable[[Gateway], Sequence[int]] = lambda gateway: ()  # those of a connector

    def __post_init__(self) -> None:
        self.stats = Stats()
        self.timers = Timers()
        self._changed = trio.Event()
        self.held: HeldSockets | None = None
        if self.store is not None:
            self.held = HeldSockets(
                self.store, self._on_status, lambda: list(self.saved), self._saved, self._left_behind
            )
        self.environment = LinkEnvironment(
            start=self.start,
            connect=self._connect,
            timers=self.timers,
            stats=self.stats,
            wanted=lambda: True,
            raise_event=self._on_event,
            raise_status=self._on_status,
            save=self._save,
            sockets=self.sockets,
            ready=self._on_ready,
            uniform=random.Random(1).uniform,
            wall=time.time,
            settings=self.settings,
            cluster=self.cluster,
        )
        self.registry = LinkRegistry(
            self.environment,
            lambda janus_id: self.credentials.setdefault(janus_id, Credentials()),
            self._saved,
        )

    def _saved(self, gateway: Gateway) -> tuple[SavedSession, ...]:
        return tuple(self.saved.get((gateway.janus_id, gateway.janus_url), {}).values())

    def _left_behind(self, gateway: Gateway) -> None:
        self.registry.left_behind(gateway, self._saved(gateway))

    def sockets(self, gateway: Gateway) -> Sequence[int]:
        """Of the last process, which go on."""
        return self.inherited(gateway) if self.held is None else self.held.sockets(gateway)

    async def _connect(
        self, gateway: Gateway, reports: Reports, opened: Callable[[WebSocket], None], socket: int
    ) -> str:
        self.connects.append(gateway)
        if self.connector is not None:
            return await self.connector(gateway, reports, opened, socket)
        assert gateway.url is not None
        keep, held = (None, None) if self.held is None else self.held.connects(gateway, socket)
        return await open_and_run(gateway.url, self.options, reports, opened, self.batch, keep, held=held)

    def _on_ready(self, gateway: Gateway) -> None:
        if self.held is not None:
            self.held.ready(gateway)

    def _on_event(self, gateway: Gateway, body: str, members: dict[str, Any]) -> None:
        self.events.append(codec.parse(body))
        self._tell()

    def _on_status(self, gateway: Gateway, status: str, reason: str, detail: str) -> None:
        self.statuses.append((gateway.janus_id, status, reason, codec.parse(detail)))
        self._tell()

    def _save(self, gateway: Gateway, session: SavedSession) -> None:
        if self.cluster is not None and not session.handles:
            self.cluster.sessions.save(gateway, session)
        saved = self.saved.setdefault((gateway.janus_id, gateway.janus_url), {})
        before = saved.get(session.session_id)
        if before is not None and session.handles:
            plugins = dict(before.handles) | dict(session.handles)
            session = before._replace(handles=tuple((one, plugin) for one, plugin in plugins.items() if plugin))
        saved[session.session_id] = session
        if session.gone:
            del saved[session.session_id]

    def _tell(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], Any], seconds: float = HANG_SECONDS) -> None:
        """Wait until something is true: looked at after every event, and every ``look_every``."""
        with trio.fail_after(seconds):
            while not condition():
                self._changed = trio.Event()
                with trio.move_on_after(self.look_every):
                    await self._changed.wait()

    def reconcile(self, rows: Mapping[str, str]) -> Any:
        """Make the table say this: janus_id -> URL."""
        gateways, _ = read_rows(TableRow(n, janus_id, url) for n, (janus_id, url) in enumerate(rows.items(), 1))
        difference = self.registry.reconcile(gateways)
        if self.held is not None:
            self.held.table(gateways.values())
        return difference

    async def ready(self, janus_id: str = "gw") -> JanusLink:
        """The link, once it is ready."""
        link = self.registry.find(janus_id)
        await self.until(lambda: link.shown_state == "ready")
        return link

    def time_out(self) -> None:
        """Run what waits for a time that is LATER, the newest first: nothing that waits for another one is sent."""
        soon = trio.current_time() + LATER / 2
        for link in self.registry:
            for pending in reversed(list(link.requests.of_callers)):
                if pending.deadline > soon:
                    pending.expire()
        for deadline, together in sorted(self.timers.waiting.items(), reverse=True):
            for timer in reversed(together if deadline > soon else ()):
                callback = timer.callback
                timer.cancel()
                if callback is not None:
                    callback()

    async def ask(
        self, command: Mapping[str, Any], timeout: float = HANG_SECONDS, janus_id: str = "gw"
    ) -> dict[str, Any]:
        """Send a command as a caller does."""
        link = self.registry.find(janus_id)
        return await caller(link, read_command(dict(command), self.types, link.book.plugin_of), timeout)

    async def attach(self, plugin: str = GEN, janus_id: str = "gw", **members: Any) -> str:
        """A new handle, of the managed session unless ``session_id`` names another one."""
        answer = await self.ask({"janus": "attach", "plugin": plugin, **members}, janus_id=janus_id)
        assert answer["janus"] == "success", answer
        return str(answer["data"]["id"])

    async def message(self, handle: str, body: Mapping[str, Any], timeout: float = HANG_SECONDS, **members: Any) -> Any:
        """Send a plugin message; returns the whole answer."""
        return await self.ask({"janus": "message", "handle_id": handle, "body": dict(body), **members}, timeout)

    async def echo(self, handle: str, n: int = 1, **members: Any) -> None:
        """Show that a handle of janus.plugin.gen is alive."""
        answer = await self.message(handle, {"n": n}, **members)
        assert answer["janus"] == "success", answer
        assert answer["plugindata"]["data"]["echo"]["n"] == n

    async def ask_in_vain(self, command: Mapping[str, Any], janus_id: str = "gw") -> BridgeError:
        """Send a command and let its time be over once it was accepted; the error."""
        link, errors = self.registry.find(janus_id), []
        before = link.requests.in_flight

        async def fail() -> None:
            try:
                await self.ask(command, LATER, janus_id)
            except BridgeError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await self.until(lambda: link.requests.in_flight > before)
            self.time_out()
        return errors[0]

    def set_options(self, **changes: Any) -> None:
        """Change what the next connect uses."""
        self.options = replace(self.options, **changes)

    def names(self) -> list[str]:
        """The statuses so far, without their details."""
        return [status for _, status, _, _ in self.statuses]


@asynccontextmanager
async def running(bed: LinkBed, rows: Mapping[str, str]) -> AsyncIterator[LinkBed]:
    """Run the bed's registry over these rows. At the end links are cancelled as by SIGKILL: Janus is told nothing."""
    bed.batch = Batch()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bed.timers.run)
            nursery.start_soon(bed.batch.run)
            await nursery.start(bed.registry.run)
            bed.reconcile(rows)
            yield bed
            nursery.cancel_scope.cancel()
    finally:
        bed.batch.close()
