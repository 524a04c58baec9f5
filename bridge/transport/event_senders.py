"""Which sender serves which kind of reply socket.

Owns this choice alone. Must not know how any of them sends.
"""

from collections.abc import Callable, Mapping
from typing import Final

from bridge.protocol.event_delivery import Sender
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses
from bridge.transport.event_datagram import UdpSender, UnixSender
from bridge.transport.event_mi import MiSender
from bridge.transport.event_stream import StreamSender

# A row for each of protocol.reply_socket.KINDS.
SENDERS: Final[Mapping[str, Callable[[ReplySocket, Addresses], Sender]]] = {
    "udp": UdpSender,
    "unix": UnixSender,
    "tcp": StreamSender,
    "mi:udp": MiSender,
    "mi:unix": MiSender,
}


def open_sender(socket: ReplySocket, addresses: Addresses) -> Sender:
    """A sender for a socket; it opens nothing before it sends."""
    return SENDERS[socket.kind](socket, addresses)
