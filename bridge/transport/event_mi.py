"""Events raised inside an OpenSIPS: ``mi:udp:HOST:PORT`` and ``mi:unix:PATH``, MI ``raise_event`` over its mi_datagram.

Owns the client's socket and which answer belongs to which raise. Must not know queues.
Authority: OpenSIPS modules/mi_datagram; contract 7.3.

One raise at a time awaits its answer: an OpenSIPS whose workers are blocked takes some 2,700 raises and then freezes
its MI process. A datagram may be lost, so the queue's task asks for a copy after each ``patience``; copies have one id,
and an answer to any of them settles the raise.
"""

import errno
import socket as sockets

import trio

from bridge.protocol.event_answers import read_answer, refusal
from bridge.protocol.event_delivery import NotSent, Parcel
from bridge.protocol.reply_socket import ReplySocket
from bridge.transport.event_address import Addresses, SocketAddress

_BUFFER = 65536
_NO_SUBSCRIBER = 480
_NOT_THERE = (errno.ECONNREFUSED, errno.ENOENT)
# OpenSIPS 3.4 and 3.5 answer 480 for some ms after a start, until their event_routes have subscribed (2 to 9 seen).
_STARTING = 1.0  # seconds after it could not be reached in which a 480 is not final


class MiSender:
    """Delivered is what was answered. A raise that is refused is final."""

    def __init__(self, socket: ReplySocket, addresses: Addresses) -> None:
        self._socket = socket
        self._addresses = addresses
        self._sock: sockets.socket | None = None
        self._owner: int | None = None
        self._peer: tuple[int, SocketAddress | str] | None = None
        self._away = False  # it could not be reached when it was last tried
        self._back_at = float("-inf")
        self._strange: tuple[str, int] = ("", 0)  # id of a raise, and answers without an id since its first copy

    def try_send(self, parcel: Parcel) -> bool:
        """False: there is always an answer to wait for."""
        return False

    async def send(self, parcel: Parcel, patience: float) -> None:
        """Send one copy and wait for an answer to any. Raises NotSent, Refused."""
        try:
            sock = await self._open(again=parcel.sent)
            if self._socket.path:
                with self._addresses.reach(self._socket, self._owner) as (path, self._owner):
                    sock.sendto(parcel.payload, path)
            else:
                sock.send(parcel.payload)
            parcel.sent = True
            with trio.move_on_after(patience):
                while True:
                    await trio.lowlevel.wait_readable(sock)
                    if self._settles(parcel, sock.recv(_BUFFER)):
                        return
        except BlockingIOError:
            raise NotSent("cannot be reached: its queue is full; is that OpenSIPS running?") from None
        except OSError as exc:
            # On udp that may be what became of an earlier copy: nobody listened, and this one did not leave.
            self.close()
            self._away = True
            hint = "; is mi_datagram loaded in that OpenSIPS, on this socket?" if exc.errno in _NOT_THERE else ""
            raise NotSent(f"cannot be reached: {exc.strerror}{hint}") from None
        raise NotSent(f"did not answer within {patience:g} s")

    def close(self) -> None:
        """Close the socket."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _settles(self, parcel: Parcel, data: bytes) -> bool:
        """Whether these bytes are the answer. Raises Refused where they are an error."""
        answer = read_answer(data)
        if answer.id is None:
            # "400 Parse_error", or no MI at all. It may be the answer to a late copy of the raise before: the first one
            # is let pass, and if this raise is at fault, its next copy brings the second.
            id, count = self._strange
            self._strange = parcel.event.id, count + 1 if id == parcel.event.id else 1
            if self._strange[1] < 2:
                return False
        elif answer.id != parcel.event.id:
            return False
        if self._away:
            self._away, self._back_at = False, trio.current_time()
        if answer.code == _NO_SUBSCRIBER and trio.current_time() - self._back_at < _STARTING:
            raise NotSent("is starting: it answers 480")
        if answer.error is not None:
            raise refusal(parcel.event.name, answer)
        return True

    async def _open(self, again: bool) -> sockets.socket:
        """The socket. ``again``: a copy was sent before, and if the host is a name, it may have moved."""
        if self._sock is not None and not again:
            return self._sock
        if self._socket.path:
            # OpenSIPS answers from a second, unnamed socket: a connected client would be refused its own answer, an
            # unbound one would get none. An empty path binds to a free abstract address.
            peer: tuple[int, SocketAddress | str] = sockets.AF_UNIX, self._socket.path
        else:
            peer = await self._addresses.resolve(self._socket)
        if self._sock is None or peer != self._peer:
            self.close()
            self._peer = peer
            self._sock = sockets.socket(peer[0], sockets.SOCK_DGRAM)
            self._sock.setblocking(False)
            if self._socket.path:
                self._sock.bind("")
            else:
                # Connected: only its answers come in, and so does the news that nobody listens there.
                self._sock.connect(peer[1])
        return self._sock
