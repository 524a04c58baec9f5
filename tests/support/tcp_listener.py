"""A TCP listener on loopback, senders to it, and events for them."""

import ipaddress

import trio

from bridge.protocol.event_delivery import Parcel
from bridge.protocol.event_payload import E_JANUS_EVENT, Event, encoding_of, janus_event
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses
from bridge.transport.event_stream import StreamSender
from tests.support.deadlines import HANG_SECONDS

ADDRESSES = Addresses([ipaddress.ip_network("127.0.0.0/8")], lambda socket: False)


class Listener:
    """Accepts one connection after the other, when asked."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self.port: int = listener.socket.getsockname()[1]

    async def accept(self) -> trio.SocketStream:
        return await self._listener.accept()

    def sender(self, method: str = "", reliable: bool = False) -> StreamSender:
        return StreamSender(self.socket(method, reliable), ADDRESSES)

    def socket(self, method: str = "", reliable: bool = False) -> ReplySocket:
        return ReplySocket("tcp", "127.0.0.1", self.port, method=method, reliable=reliable)


def parcel(number: int = 1, body: str = "{}", *, reliable: bool = False) -> Parcel:
    event = Event(E_JANUS_EVENT, janus_event("g1", "janusws://h", body), f"p-{number}", number, "g1")
    socket = ReplySocket("tcp", "h", 1, reliable=reliable)
    return Parcel(event, event.encoded(encoding_of(socket)), float("inf"))


async def read(stream: trio.SocketStream, size: int) -> bytes:
    data = bytearray()
    with trio.fail_after(HANG_SECONDS):
        while len(data) < size:
            data += await stream.receive_some()
    return bytes(data)
