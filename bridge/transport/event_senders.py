"""Which sender serves which kind of reply socket.

Owns this choice alone. Must not know how any of them sends.
"""

from typing import TypeAlias

from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses
from bridge.transport.event_datagram import UdpSender, UnixSender
from bridge.transport.event_mi import MiSender
from bridge.transport.event_stream import StreamSender

EventSender: TypeAlias = UdpSender | UnixSender | StreamSender | MiSender


def open_sender(socket: ReplySocket, addresses: Addresses) -> EventSender:
    """A sender for a socket; it opens nothing before it sends."""
    match socket.kind:
        case "udp":
            return UdpSender(socket, addresses)
        case "unix":
            return UnixSender(socket, addresses)
        case "tcp":
            return StreamSender(socket, addresses)
        case "mi:udp" | "mi:unix":
            return MiSender(socket, addresses)
