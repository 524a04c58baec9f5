"""Events as datagrams: ``udp:HOST:PORT`` and ``unix:PATH``, as OpenSIPS's event_datagram sends them.

Owns the two senders' sockets. Must not know queues. Authority: OpenSIPS modules/event_datagram, udp(7), unix(7).
"""

import errno
import socket as sockets
from abc import ABC, abstractmethod
from collections.abc import Callable

import trio

from bridge.protocol.event_delivery import EventRefused, NotSent, Parcel
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses


class _DatagramSender(ABC):
    """What both have in common: a datagram goes at once, or when there is room for it, or not now."""

    _hand_over: Callable[[bytes], int]  # set by _open

    def __init__(self, full: str) -> None:
        self._full = full
        self._sock: sockets.socket | None = None

    @abstractmethod
    async def _open(self) -> sockets.socket:
        """Set ``_sock`` and ``_hand_over``. Raises NotSent or OSError."""

    def try_send(self, parcel: Parcel) -> bool:
        """Hand over, if the socket is open and there is room."""
        if self._sock is None:
            return False
        try:
            self._hand_over(parcel.payload)
        except BlockingIOError:
            return False
        except OSError as exc:  # send() will open anew, and say what is wrong
            self._fail(exc)
            return False
        return True

    async def send(self, parcel: Parcel, patience: float) -> None:
        """Open, wait until there is room. Raises NotSent, Refused."""
        try:
            sock = self._sock or await self._open()
            with trio.move_on_after(patience):
                while True:
                    try:
                        self._hand_over(parcel.payload)
                        return
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(sock)
        except OSError as exc:
            self._fail(exc)
            raise NotSent(f"cannot be reached: {exc.strerror}") from None
        raise NotSent(self._full)

    def close(self) -> None:
        """Close the socket."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _fail(self, error: OSError) -> None:
        if error.errno == errno.EMSGSIZE:
            raise EventRefused("too_large", f"does not take datagrams of this size: {error.strerror}")
        self.close()


class UdpSender(_DatagramSender):
    """Delivered is what the kernel took.

    The socket is not connected, as OpenSIPS's is not: the kernel then keeps ICMP errors to itself. On a connected one a
    receiver's absence would be reported with the next datagram, which has no part in it and would not be sent. A name
    is looked up again after any error, it may have moved.
    """

    def __init__(self, socket: ReplySocket, addresses: Addresses) -> None:
        super().__init__("is too slow: the kernel has no room for more")
        self._socket = socket
        self._addresses = addresses

    async def _open(self) -> sockets.socket:
        family, address = await self._addresses.resolve(self._socket)
        self._sock = sock = _datagram_socket(family)
        self._hand_over = lambda payload: sock.sendto(payload, address)
        return sock


class UnixSender(_DatagramSender):
    """Delivered is what lies in the receiver's queue: a unix datagram is never lost on its way.

    The socket is connected, so that the kernel can say when a full queue has room again; when the receiver is gone it
    is connected anew, to whatever is bound to the path by then.
    """

    def __init__(self, socket: ReplySocket, addresses: Addresses) -> None:
        super().__init__("is too slow: its queue has no room for more")
        self._socket = socket
        self._addresses = addresses
        self._owner: int | None = None

    async def _open(self) -> sockets.socket:
        with self._addresses.reach(self._socket, self._owner) as (path, self._owner):
            self._sock = sock = _datagram_socket(sockets.AF_UNIX)
            sock.connect(path)
        self._hand_over = sock.send
        return sock


def _datagram_socket(family: int) -> sockets.socket:
    sock = sockets.socket(family, sockets.SOCK_DGRAM)
    sock.setblocking(False)
    return sock
