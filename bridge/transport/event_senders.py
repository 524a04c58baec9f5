"""Which sender serves which kind of reply socket.

Owns this choice alone. Must not know how any of them sends.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from bridge.protocol.event_delivery import Sender
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses
from bridge.transport.event_datagram import UdpSender, UnixSender
from bridge.transport.event_mi import MiSender
from bridge.transport.event_rabbitmq import RabbitmqSender, TlsOf
from bridge.transport.event_stream import StreamSender

MakeSender: TypeAlias = Callable[[ReplySocket, Addresses, TlsOf], Sender]


def _plain(sender: Callable[[ReplySocket, Addresses], Sender]) -> MakeSender:
    """It knows no TLS."""
    return lambda socket, addresses, _: sender(socket, addresses)


# A row for each of protocol.reply_socket.KINDS.
SENDERS: Final[Mapping[str, MakeSender]] = {
    "udp": _plain(UdpSender),
    "unix": _plain(UnixSender),
    "tcp": _plain(StreamSender),
    "mi:udp": _plain(MiSender),
    "mi:unix": _plain(MiSender),
    "rabbitmq": RabbitmqSender,
}


def open_sender(socket: ReplySocket, addresses: Addresses, tls_of: TlsOf) -> Sender:
    """A sender for a socket; it opens nothing before it sends. ``tls_of`` gives what a tls_domain stands for."""
    return SENDERS[socket.kind](socket, addresses, tls_of)
