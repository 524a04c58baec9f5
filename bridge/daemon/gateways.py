"""What is configured for single gateways, in the hands of the links: secrets, TLS files, and how to connect.

Owns the way from ``[janus.gateways.ID]`` to credentials and WebSocket options. Must not know sessions.
"""

import hashlib
import time
from collections.abc import Callable

import trio

from bridge.config import Config, GatewaySettings
from bridge.core.connection import Reports, WebSocket
from bridge.daemon.held import HeldSockets
from bridge.files import read_file
from bridge.protocol.budget import Budget
from bridge.protocol.credentials import Credentials
from bridge.protocol.gateway import Gateway
from bridge.protocol.plugin_types import PluginTypes
from bridge.transport.batch import Batch
from bridge.transport.janus_connect import open_and_run
from bridge.transport.tls import PEM_MAX, client_context
from bridge.transport.websocket_options import WebSocketOptions

_DEFAULTS = GatewaySettings()
UNFINISHED = 16  # messages of max_message_size that may wait for their last fragments at a time, of all gateways


class Gateways:
    """The configuration of all gateways, as of the last reload. ``batch`` serves what is not encrypted."""

    def __init__(
        self,
        config: Config,
        batch: Batch,
        held: HeldSockets | None = None,
        lease: Callable[[], float] | None = None,
        may_write: Callable[[], bool] | None = None,
    ) -> None:
        """``held`` keeps the sockets; None: they end with the process. ``may_write()``: whether this bridge of a
        cluster may write to a Janus now, ``lease()``: until which unix second; None: it always may.
        """
        self._lease, self._may_write = lease, may_write
        self._config = config
        self._batch = batch
        self._held = held
        self.unfinished = Budget(UNFINISHED * config.janus.max_message_size)
        self._fingerprints: dict[str, object] = {}
        self._turnstile = trio.Lock()
        self.changed(config)

    def settings(self, janus_id: str) -> GatewaySettings:
        """The section of a gateway; defaults where there is none."""
        return self._config.janus.gateways.get(janus_id, _DEFAULTS)

    def changed(self, config: Config) -> set[str]:
        """Take a new configuration; returns the gateways whose secrets, headers or TLS are others now."""
        self._config = config
        self._types = {name: self._types_of(settings) for name, settings in config.janus.gateways.items()}
        self._default_types = self._types_of(_DEFAULTS)
        before, self._fingerprints = (
            self._fingerprints,
            {janus_id: _fingerprint(settings) for janus_id, settings in config.janus.gateways.items()},
        )
        ids = before.keys() | self._fingerprints.keys()
        nothing = _fingerprint(_DEFAULTS)
        return {one for one in ids if before.get(one, nothing) != self._fingerprints.get(one, nothing)}

    def types(self, janus_id: str) -> PluginTypes:
        """What the plugins of a gateway take (contract 5.6)."""
        return self._types.get(janus_id, self._default_types)

    def _types_of(self, settings: GatewaySettings) -> PluginTypes:
        janus = self._config.janus
        return PluginTypes(
            janus.integer_members if settings.integer_members is None else settings.integer_members,
            janus.string_ids if settings.string_ids is None else settings.string_ids,
        )

    def credentials(self, janus_id: str) -> Credentials:
        """The secrets of a gateway."""
        settings = self.settings(janus_id)
        return Credentials(
            api_secret=settings.api_secret,
            token=settings.token,
            token_secret=settings.token_secret,
            token_ttl=settings.token_ttl,
            now=time.time,
            lease=self._lease,
        )

    async def connect(
        self, gateway: Gateway, reports: Reports, opened: Callable[[WebSocket], None], socket: int
    ) -> str:
        """core.connection.Connect over the real network."""
        assert gateway.url is not None, "a row with a fault has no link that connects"
        async with self._turnstile:  # one attempt a turn of the loop, in order: ten thousand at once would block it
            pass
        janus, settings = self._config.janus, self.settings(gateway.janus_id)
        tls = client_context(settings.tls_ca, settings.tls_cert, settings.tls_key) if gateway.url.tls else None
        options = WebSocketOptions(
            send_timeout=janus.janus_send_timeout / 1000,
            max_message_size=janus.max_message_size,
            max_frames=janus.janus_max_msg_chunks,
            tls=tls,
            tls_server_name=settings.tls_server_name,
            origin=settings.origin,
            headers=settings.headers,
            unfinished=self.unfinished,
            may_write=self._may_write,
        )
        keep, held = (None, None) if self._held is None else self._held.connects(gateway, socket)
        return await open_and_run(gateway.url, options, reports, opened, self._batch, keep, held=held)


def _fingerprint(settings: GatewaySettings) -> object:
    """Changes when a secret or a header does (Origin too), the server's name in TLS, or the content of a TLS file."""
    secrets = (settings.api_secret, settings.token, settings.token_secret, settings.token_ttl)
    request = (settings.headers, settings.origin, settings.tls_server_name)
    return secrets, request, tuple(_digest(name) for name in (settings.tls_ca, settings.tls_cert, settings.tls_key))


def _digest(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        return hashlib.sha256(read_file(name, PEM_MAX)).hexdigest()
    except OSError as exc:
        return f"{name}: {exc.strerror}"  # its absence is a state like any other; the connect will name it
