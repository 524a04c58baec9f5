"""The life of the process: start, signals, end.

Owns the order of things: what must be there before what, and what is let go first (contract 2, 8.1). Inner parts
end before outer ones: listeners, then commands in flight, then events, then links.
"""

import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import trio

from bridge.config import Config
from bridge.core.supervise import supervise
from bridge.daemon.database import database_of, require_room, secrets_of_rows
from bridge.daemon.events import EPOCH_FILE
from bridge.daemon.held_doors import HeldDoors
from bridge.daemon.listeners import Listeners
from bridge.daemon.news import status_of
from bridge.daemon.parts import build
from bridge.daemon.reload import Reload
from bridge.daemon.replacement import Replacement
from bridge.errors import ConfigError, TableRefused, TableUnavailable, WrongTableVersion
from bridge.protocol.gateway import TableRow
from bridge.protocol.humanize import plural
from bridge.protocol.redaction import Redaction
from bridge.transport import signals, successor
from bridge.transport.fd_store import FdStore
from bridge.transport.pages import pages
from bridge.transport.resolver import Resolver
from bridge.transport.state_dir import StateDir
from bridge.transport.systemd import Notifier

log = logging.getLogger("bridge")

STATUS_AFTER = 0.5  # seconds from news to what systemd is told: a start has thousands of them
REUNION = 1.0  # seconds for the gateways of the last process to be ready again, before callers are let in
DRAIN = 2.0  # seconds for commands in flight, and again for queued events


async def serve(config: Config, load: Callable[[], Config], redaction: Redaction | None = None) -> FdStore | None:
    """Run the bridge until SIGTERM, SIGINT or SIGUSR2. ``load`` reads the configuration again, for SIGHUP;
    ``redaction`` learns what must not be shown, as the log's does.

    Returns what the program is to hand on that replaces this one; None where none does. Raises ConfigError, or
    WrongTableVersion if the first attempt reached the database and found that.
    """
    state = StateDir(config.state.dir)
    state.take()
    try:
        require_room(config, state)
        return await Service(config, load, redaction or Redaction()).run()
    finally:
        state.release()


class Service:
    """One run of the bridge."""

    def __init__(self, config: Config, load: Callable[[], Config], redaction: Redaction) -> None:
        self._config = config
        self._notifier = Notifier(os.environ)
        self._told = ""
        self._redaction = redaction
        self._store = FdStore(self._notifier, os.environ)
        self._parts = build(config, redaction, self._store)
        self._cluster = self._parts.cluster
        self._opening = trio.CancelScope()
        self._replacement = Replacement(self._fault_of_replacement)
        self._refusal: ConfigError | TableRefused | None = None
        self._tabled = trio.Event()  # the first table is there
        parts = self._parts
        wrong_token, lost = (partial(parts.stats.add, name) for name in ("token_failures", "mi_answers_lost"))
        self._listeners = Listeners(
            parts.mi.dispatch,
            parts.batch,
            pages(parts.metrics.figures),
            parts.pending,
            wrong_token,
            parts.mi.refused,
            lost,
            HeldDoors(self._store),
        )
        done = partial(self._tell_status, "READY=1")
        self._reload = Reload(config, load, redaction, parts, self._listeners, self._tell_reloading, done)

    async def run(self) -> FdStore | None:
        """Until a signal ends it; see ``serve``."""
        trio.socket.set_custom_hostname_resolver(Resolver())
        try:
            with trio.open_signal_receiver(*signals.OBEYED) as received, signals.taken():
                if await self._bind(received):
                    await self._live(received)
        finally:
            if self._store.outlives:  # also where the start failed: the next one finds them
                self._listeners.leave()
            with trio.CancelScope(shield=True):
                await self._notifier.heard()
            self._listeners.close()
            self._parts.batch.close()
            if self._parts.log_writer is not None:
                self._parts.log_writer.close()
            if self._cluster is not None:
                self._cluster.close()
            self._notifier.close()
        if self._refusal is not None:
            raise self._refusal
        log.info("stopped")
        return self._store if self._replacement.decided else None

    async def _bind(self, received: AsyncIterator[int]) -> bool:
        """Beside the signals: the look-up of a name must not delay an end. False: one came. Raises ConfigError."""
        fault, bound = None, False
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await self._obey(received)
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                await self._listeners.bind(self._config)
                bound = True
            except ConfigError as exc:
                fault = exc
            nursery.cancel_scope.cancel()
        if fault is not None:
            raise fault
        return bound

    async def _live(self, received: AsyncIterator[int]) -> None:
        """Everything runs in here."""
        parts = self._parts
        async with trio.open_nursery() as outer:
            outer.start_soon(supervise, parts.batch.run, "the sockets", log)
            outer.start_soon(supervise, parts.timers.run, "the timers", log)
            outer.start_soon(parts.metrics.run)
            outer.start_soon(self._notifier.run)
            outer.start_soon(supervise, parts.journal.run, "the session journal", log)
            if parts.log_writer is not None:
                outer.start_soon(supervise, parts.log_writer.run, "the log of events", log)
            await outer.start(parts.mi.run)
            await outer.start(parts.links.run)
            await outer.start(parts.evi.run)
            if self._cluster is not None:
                await outer.start(self._cluster.side.run)
                outer.start_soon(self._cluster.run, self._tabled, self._store)
            parts.evi.restore()
            parts.events.configure(self._config)
            async with trio.open_nursery() as doors:
                doors.start_soon(self._open, outer, doors)
                doors.start_soon(self._reload.run)
                with trio.CancelScope() as obeying:
                    outer.start_soon(self._replacement.run, obeying)
                    await self._obey(received)
                self._replacement.stop()
                await self._stop(outer, doors)
            outer.cancel_scope.cancel()

    async def _open(self, outer: trio.Nursery, doors: trio.Nursery) -> None:
        """The cluster, the first table, and then the doors. Beside the signals: what hangs must not delay an end."""
        with self._opening:
            try:
                if self._cluster is not None:
                    epoch_file = self._config.state.dir / EPOCH_FILE
                    await self._cluster.begin(self._parts.evi, self._parts.journal, self._store, epoch_file)
                await self._first_table()
            except (ConfigError, TableRefused) as exc:
                self._refusal = exc
                outer.cancel_scope.cancel()
                return
            with trio.move_on_after(REUNION):  # so that no caller hears 503 only because he was early
                await self._parts.held.settled()
                await self._parts.links.reunited()
            await self._listeners.serve(doors)
            outer.start_soon(self._parts.table.run)
            outer.start_soon(self._watchdog)
            outer.start_soon(self._keep_status)
            self._say_ready()

    async def _first_table(self) -> None:
        if self._config.uses_default_table:
            try:
                await database_of(self._config).create()
            except WrongTableVersion:
                raise
            except TableUnavailable as exc:
                log.error("cannot create the default table: %s; fix that, then run `janus-bridge db init`", exc)
        await self._parts.table.first(self._kept)
        self._tabled.set()

    def _kept(self) -> tuple[list[TableRow], float] | None:
        saved = self._parts.saved_table.load()
        if saved is not None:
            self._redaction.know("table", secrets_of_rows(saved.rows))
        return saved

    def _say_ready(self) -> None:
        table, links = self._parts.table, self._parts.links
        log.info("ready: table %s, %s", table.freshness, plural(len(links), "gateway"))
        self._tell_status("READY=1")

    def _status(self) -> str:
        return f"STATUS={status_of(self._parts.table.freshness, self._parts.links)}"

    def _tell_status(self, *lines: str) -> None:
        self._told = self._status()
        self._notifier.tell(*lines, self._told)

    async def _keep_status(self) -> None:
        """What systemd shows is true within a second, whoever read the table and whichever gateway was lost."""
        while True:
            await self._parts.links.news.wait()
            await trio.sleep(STATUS_AFTER)
            if self._status() != self._told:
                self._tell_status()

    async def _obey(self, received: AsyncIterator[int]) -> None:
        async for number in received:
            if number == signal.SIGHUP:
                self._reload.ask()
            elif number == signal.SIGUSR2:
                self._replacement.ask()
            else:
                log.info("%s: stopping", signal.Signals(number).name)
                return

    async def _fault_of_replacement(self) -> str | None:
        return self._store.fault() or await successor.fault(successor.command())

    def _tell_reloading(self, began: float) -> None:
        self._notifier.tell("RELOADING=1", f"MONOTONIC_USEC={began * 1e6:.0f}")

    async def _watchdog(self) -> None:
        """Fed by the event loop itself: a loop that hangs is restarted by systemd."""
        interval = self._notifier.watchdog_interval
        while interval is not None:
            self._notifier.tell("WATCHDOG=1")
            await trio.sleep(interval)

    async def _stop(self, outer: trio.Nursery, doors: trio.Nursery) -> None:
        if self._replacement.decided:
            log.info("SIGUSR2: the program replaces itself")
            self._tell_reloading(time.monotonic())
        else:
            self._notifier.tell("STOPPING=1")
        self._opening.cancel()
        self._reload.stop()
        self._parts.links.stopping = True
        cluster = self._cluster if not self._replacement.decided else None
        if cluster is not None:
            await cluster.hand_over()
        hand_over = self._store.outlives or self._replacement.decided
        if hand_over:
            self._listeners.leave()
        await self._listeners.stop(doors)
        until = trio.current_time() + DRAIN
        await self._parts.links.stop(hand_over=hand_over)
        self._listeners.end()
        outer.start_soon(self._fail_the_rest, max(until, trio.current_time()))
        # Whatever is still being answered then has its answer; a client that does not read it has a moment.
        doors.cancel_scope.deadline = max(until, trio.current_time()) + 1
        await self._parts.evi.drain(trio.current_time() + DRAIN)
        if cluster is not None:
            await cluster.leave()

    async def _fail_the_rest(self, when: float) -> None:
        """What went to another bridge, or takes its time, has as long as what went to a Janus."""
        await trio.sleep_until(when)
        if self._cluster is not None:
            self._cluster.side.errands.stop()
        self._parts.mi.stop()
