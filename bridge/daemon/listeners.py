"""The doors of the MI: opened before anything is promised, closed before anything is taken apart.

Owns which listeners there are. Must not know methods: all lead to one ``dispatch``.
"""

import logging
import ssl
from collections.abc import Callable, Mapping
from functools import partial

import trio

from bridge.config import Config, MiSettings
from bridge.errors import ConfigError
from bridge.protocol.jsonrpc import Dispatch
from bridge.transport.http_access import Access
from bridge.transport.http_connection import Limits
from bridge.transport.http_stream import bound_address, open_listeners
from bridge.transport.mi_datagram import open_datagram, serve_mi_datagram
from bridge.transport.mi_fifo import MiFifo, serve_mi_fifo
from bridge.transport.mi_http import Page, serve_mi_http

log = logging.getLogger("bridge.mi")


class Listeners:
    """``open`` them in a nursery, ``reload`` their secrets, ``stop`` them: requests in flight are still answered."""

    def __init__(self, dispatch: Dispatch, pages: Mapping[str, Page]) -> None:
        self._dispatch = dispatch
        self._pages = pages
        self._access = Access()
        self._tls: ssl.SSLContext | None = None
        self._fifo: MiFifo | None = None
        self._stops: list[Callable[[], None]] = []

    async def open(self, config: Config, nursery: trio.Nursery) -> None:
        """Bind everything and serve. Raises ConfigError that names the address at fault."""
        mi = config.mi
        self.reload(config)
        if mi.http_tls_cert is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            _load_certificate(self._tls, mi)
        shown: list[str] = []
        for address in mi.http:
            opened = await open_listeners(address, self._tls)
            server = await nursery.start(
                partial(
                    serve_mi_http,
                    opened,
                    self._dispatch,
                    self._access,
                    root=mi.http_root,
                    limits=Limits(max_body=mi.max_body),
                    pages=self._pages,
                )
            )
            self._stops.append(server.stop)
            scheme = "http" if self._tls is None else "https"
            shown += [f"{scheme}://{bound_address(listener)}/{mi.http_root}" for listener in opened]
        for address in mi.datagram:
            socket = open_datagram(address, mi.unix_mode, mi.unix_group)
            await nursery.start(serve_mi_datagram, socket, self._dispatch)
            self._stops.append(socket.stop)
            shown.append(socket.name)
        if mi.fifo is not None:
            self._fifo = MiFifo(mi.fifo, mi.fifo_mode, mi.fifo_reply_dir)
            await nursery.start(serve_mi_fifo, self._fifo, self._dispatch)
            self._stops.append(self._fifo.stop)
            shown.append(f"fifo {mi.fifo}")
        for door in shown:
            log.info("listening on %s", door)

    def reload(self, config: Config) -> None:
        """Take the token, the networks and the certificate as they are configured now."""
        self._access.replace(config.mi.allow, config.mi.token)
        if self._tls is not None:
            try:
                _load_certificate(self._tls, config.mi)
            except ConfigError as exc:
                log.error("%s; the certificate from before stays in use", exc)
        if self._fifo is not None:
            self._fifo.check()

    def stop(self) -> None:
        """Accept nothing new."""
        for stop in self._stops:
            stop()


def _load_certificate(context: ssl.SSLContext, mi: MiSettings) -> None:
    assert mi.http_tls_cert is not None
    try:
        context.load_cert_chain(mi.http_tls_cert, mi.http_tls_key)
    except (OSError, ssl.SSLError) as exc:
        reason = exc.strerror or str(exc) if not isinstance(exc, ssl.SSLError) else exc.reason or "is no PEM file"
        raise ConfigError(f"[mi] http_tls_cert {mi.http_tls_cert}, http_tls_key {mi.http_tls_key}: {reason}") from None
