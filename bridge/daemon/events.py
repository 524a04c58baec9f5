"""The Event Interface and its log, built from a configuration.

Owns which of their parts gets what, where events must not go, and what a ``tls_domain`` stands for. Starts nothing.
"""

import logging
import os
import ssl
from collections.abc import Iterator

from bridge.config import Config
from bridge.core.event_log import EventLog, LogLimits
from bridge.core.event_log_writer import LogWriter, StoreLimits
from bridge.core.event_sender import QueueLimits
from bridge.core.evi import EventInterface
from bridge.core.stats import Stats
from bridge.errors import ConnectFailed
from bridge.protocol.event_delivery import NotSent, Sender
from bridge.protocol.event_record import StoreFailed
from bridge.protocol.mi_address import UdpAddress, UnixAddress, parse_datagram_address
from bridge.protocol.redaction import Redaction
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.epoch import take_epoch
from bridge.transport.event_address import Addresses
from bridge.transport.event_rabbitmq import fault_of_system
from bridge.transport.event_senders import open_sender
from bridge.transport.event_store import EventStore
from bridge.transport.event_unix import UnixPaths
from bridge.transport.steady_clock import SteadyClock
from bridge.transport.tls import client_context

log = logging.getLogger("bridge.evi")

EPOCH_FILE = "epoch"


class EventParts:
    """``evi``; ``log_writer`` where there is a log; and what changes with the configuration."""

    def __init__(self, config: Config, stats: Stats, redaction: Redaction, newest: int = 0) -> None:
        """``redaction`` learns the passwords of sockets; ``newest``: the newest epoch of this node in its cluster."""
        self._config = config
        self._redaction = redaction
        events = config.events
        clock = SteadyClock()
        self.log_writer, epoch = _events_log(config, stats, newest, clock)
        self.evi = evi = EventInterface(
            self._open_sender,
            stats,
            QueueLimits(events.queue_events, events.queue_bytes, events.max_age),
            clock,
            pending_bytes=events.pending_bytes,
            epoch=epoch,
            numbered=events.numbered,
            events_log=None if self.log_writer is None else self.log_writer.events,
        )
        doors = [parse_datagram_address(address) for address in config.mi.datagram]
        ports = [address.port for address in doors if isinstance(address, UdpAddress)]
        unix = UnixPaths(events.allow_unix, _own_sockets(config))
        self._addresses = Addresses(events.allow, evi.is_configured, unix, ports)

    def configure(self, config: Config) -> None:
        """Make the configured subscriptions, and the domains of TLS, those of this configuration."""
        self._config = config
        subscribers = config.events.subscribers
        pairs = [(one.event, one.socket) for one in subscribers]
        self.evi.configure(pairs, {(one.event, one.socket): one.filter for one in subscribers if one.filter})

    async def admit(self, socket: ReplySocket, caller: str) -> None:
        """Raise NotSent if ``caller`` may not have events sent there now, or nothing can be sent there at all."""
        self._learn(socket)
        fault = fault_of_system(socket)
        if fault is None and socket.target is not None and socket.target.tls_domain:
            fault = self._fault_of_domain(socket.target.tls_domain)
        if fault is not None:
            raise NotSent(fault)
        await self._addresses.admit(socket, caller)

    def _open_sender(self, socket: ReplySocket) -> Sender:
        self._learn(socket)
        return open_sender(socket, self._addresses, self._tls_of)

    def _learn(self, socket: ReplySocket) -> None:
        if socket.password is not None:
            others = (one.socket.password for event in self.evi.events() for one, _ in self.evi.subscribers(event))
            self._redaction.know("subscribers", [*others, socket.password])

    def _fault_of_domain(self, name: str) -> str | None:
        known = name in self._config.events.tls_domains
        return None if known else f"tls_domain {name!r} has no section [events.tls_domains.{name}]"

    def _tls_of(self, domain: str, host: str) -> tuple[ssl.SSLContext, str]:
        fault = self._fault_of_domain(domain)
        if fault is not None:
            raise ConnectFailed(fault)
        files = self._config.events.tls_domains[domain]
        return client_context(files.tls_ca, files.tls_cert, files.tls_key), files.tls_server_name or host


def _events_log(config: Config, stats: Stats, newest: int, clock: SteadyClock) -> tuple[LogWriter | None, int]:
    """The log of events, where there is one, and the epoch of this life."""
    events, epoch_file, node_id = config.events, config.state.dir / EPOCH_FILE, config.cluster.my_node_id
    if not events.store:
        return None, take_epoch(epoch_file, newest=newest, node_id=node_id)
    full = events.store_sync == "full"
    store = EventStore(config.state.dir / "events.db", full=full, clock=clock, most_wal=events.store_bytes)
    try:
        contents = store.open()
    except StoreFailed as exc:
        log.error("[events] store: %s; events are not kept until a restart", exc)
        return None, take_epoch(epoch_file, newest=newest, node_id=node_id)
    epoch = take_epoch(epoch_file, newest=max(contents.epoch, newest), node_id=node_id)
    waiting = LogLimits(events.queue_events, events.queue_bytes, full)
    limits = StoreLimits(events.store_age, events.store_bytes, events.store_delay / 1000)
    return LogWriter(EventLog(store, contents, stats, epoch, waiting), store, limits), epoch


def _own_sockets(config: Config) -> Iterator[str]:
    """What acts on what it is sent: the MI, systemd, the database."""
    for address in map(parse_datagram_address, config.mi.datagram):
        if isinstance(address, UnixAddress):
            yield address.path
    if config.mi.fifo is not None:
        yield config.mi.fifo
    yield os.environ.get("NOTIFY_SOCKET", "/run/systemd/notify")
    for url in (config.janus.janus_db_url, config.cluster.db_url):
        if url is not None and url.unix_socket is not None:
            yield url.unix_socket
