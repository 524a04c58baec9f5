"""SIGHUP: what of a new configuration is taken, and what is said of the rest (contract 3.4).

Owns the order of a reload, and its verdict. Must not know signals, or when the process ends.
"""

import logging
import time
from collections.abc import Callable

import trio

from bridge.auto_reset_event import AutoResetEvent
from bridge.config import Config, difference, reloaded, secrets_of
from bridge.config.rules import conflicts
from bridge.daemon.database import database_of
from bridge.daemon.listeners import Listeners
from bridge.daemon.news import news_of
from bridge.daemon.parts import Parts, noted
from bridge.errors import BridgeError, ConfigError, TableUnavailable
from bridge.protocol import log_level
from bridge.protocol.redaction import Redaction
from bridge.transport.reload_verdict import write_verdict

log = logging.getLogger("bridge")


class Reload:
    """``load`` reads the configuration again and raises BridgeError. ``begun``, with time.monotonic() of then, and
    ``done`` tell systemd of each one; ``redaction`` learns what must not be shown.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        redaction: Redaction,
        parts: Parts,
        listeners: Listeners,
        begun: Callable[[float], None],
        done: Callable[[], None],
    ) -> None:
        self._config = config
        self._load = load
        self._redaction = redaction
        self._parts = parts
        self._listeners = listeners
        self._begun = begun
        self._done = done
        self._asked = AutoResetEvent()
        self._scope = trio.CancelScope()

    def ask(self) -> None:
        """One more; who asks while one is under way gets another one behind it."""
        self._asked.set()

    def stop(self) -> None:
        """No more, and the one that is under way is left."""
        self._scope.cancel()

    async def run(self) -> None:
        """Until ``stop``: beside the signals, as what hangs must not delay an end."""
        with self._scope:
            while True:
                await self._asked.wait()
                await self._once()

    async def _once(self) -> None:
        began = time.monotonic()
        self._begun(began)
        try:
            new = self._load()
            for path, reason in conflicts(reloaded(self._config, new)):  # e.g. no token, but the listeners of before
                raise ConfigError(f"{'.'.join(path)} {reason} until a restart")
        except BridgeError as exc:
            faults = [f"{exc}; everything stays as it is"]
        else:
            faults = await self._take(new)
        for fault in faults:
            log.error("reload: %s", fault)
        self._done()
        write_verdict(began, faults)

    async def _take(self, new: Config) -> list[str]:
        """What may change does, the rest is named. Returns a line for each thing that could not be taken."""
        changes = difference(self._config, new)
        for key in changes.restart:
            log.warning("reload: %s has changed; restart the service to apply it", key)
        self._config = config = reloaded(self._config, new)
        self._redaction.know("configuration", secrets_of(config))
        parts = self._parts
        logging.getLogger("bridge").setLevel(log_level.to_python(config.log.level))
        certificate, faults = self._listeners.reload(config)
        parts.events.configure(config)
        if parts.cluster is not None:
            parts.cluster.parts.ask.show(config.peers_token)
        others = parts.gateways.changed(config)
        parts.links.credentials_changed(others)
        database = database_of(config)
        parts.table.rows, parts.saved_table.sources = noted(database.rows, self._redaction), database.sources
        table = None
        try:
            table, _ = await parts.table.reload()
        except TableUnavailable as exc:
            faults.append(f"{exc}; the gateways stay as they are")
        log.info("reload: %s", news_of(changes.reloadable, others, table, certificate=certificate, faults=faults))
        return faults
