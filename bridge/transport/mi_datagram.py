"""MI over datagrams, UDP and unix: one datagram is one request, its answer one datagram to where it came from.

Owns the listening socket, and what is said when the answer is no JSON-RPC. Must not know any method.
Authority: OpenSIPS module mi_datagram, less its faults: a unix answer leaves from the bound socket, so that a client
that has connected gets it too, and a slow command holds up nobody else.
"""

import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import trio

from bridge.errors import ConfigError, MalformedMessage
from bridge.protocol.budget import Holding
from bridge.protocol.caller import Caller
from bridge.protocol.framing import DATAGRAM_CEILING
from bridge.protocol.jsonrpc import render_error, too_large
from bridge.protocol.mi_address import UdpAddress, UnixAddress, parse_datagram_address
from bridge.transport.mi_ask import Reception, ask
from bridge.transport.peer_roles import CREDENTIALS_SPACE, PeerRoles
from bridge.transport.port_holder import Endpoint, Sockaddr, bind_fault, endpoint
from bridge.transport.trial import Once
from bridge.transport.unix_path import OwnedPath, bind_datagram, leads_to

log = logging.getLogger("bridge.mi")

_WAY_OUT = "use MI over HTTP ([mi] http), which has no such limit"
# Requests executed at the same time; the next ones wait in the kernel's buffer.
MAX_CONCURRENT = 1024
# A unix client that reads its answers late has a short queue (10 of them, where nobody changed that). Its answers are
# offered again after these pauses, in seconds, then dropped. The socket cannot be waited for: epoll knows nothing of
# the queues at the other ends of a socket that is not connected.
_OFFER_AGAIN = (0.002, 0.008, 0.03, 0.1, 0.4)

T = TypeVar("T")
Address = tuple[str, int] | tuple[str, int, int, int] | str | bytes | None
# Its bytes, where it came from (empty or None for a unix client that has no address), and who sent it.
Datagram = tuple[bytes, Address, Caller]


class MiSocket:
    """A bound socket that ``serve_mi_datagram`` serves. ``name`` is its address, with the port that it really got."""

    def __init__(self, sock: socket.socket, name: str, owned: OwnedPath | None = None) -> None:
        self.name = name
        self.listening = trio.CancelScope()
        self._sock = sock
        self._owned = owned
        self._left = False

    def fileno(self) -> int:
        """The descriptor, -1 once it is closed."""
        return self._sock.fileno()

    def leave(self) -> None:
        """The socket goes on without this process: its name stays, and what is unread."""
        self._left = True
        if self._owned is not None:
            self._owned.leave()

    def stop(self) -> None:
        """Refuse what is sent from now on: the kernel does so for a unix socket. To UDP it would have to be closed, and
        who is in the middle of his request with it: there, ``end`` is the end.
        """
        if self._left:
            self.listening.cancel()
        elif self._owned is not None:
            self._owned.remove()
            self._sock.shutdown(socket.SHUT_RD)
            self.listening.cancel()

    def end(self) -> None:
        """Wait for no further request: ``serve_mi_datagram`` returns when what had come is answered."""
        self.listening.cancel()

    async def receive(self, roles: PeerRoles) -> "Datagram":
        """The next datagram."""
        while (received := self._take(roles)) is None:
            await trio.lowlevel.wait_readable(self._sock)
        return received

    def rest(self, roles: PeerRoles) -> "Datagram | None":
        """The next one that had come by the end, unless it is left to another process."""
        return None if self._left else self._take(roles)

    def _take(self, roles: PeerRoles) -> "Datagram | None":
        try:
            if self._owned is not None:
                body, ancillary, _flags, peer = self._sock.recvmsg(DATAGRAM_CEILING + 1, CREDENTIALS_SPACE)
                return body, peer, roles.of_unix(ancillary)
            body, peer = self._sock.recvfrom(DATAGRAM_CEILING + 1)
            return body, peer, roles.of("udp")
        except BlockingIOError:
            return None

    async def send(self, answer: bytes, peer: Address, held: Holding) -> bool:
        """Send, or give up: whatever goes wrong here concerns this one peer. ``held`` is for an answer that waits.
        False: the peer is there, and does not get it.
        """
        for pause in (*_OFFER_AGAIN, None):
            try:
                self._sock.sendto(answer, peer)  # type: ignore[arg-type]  # of one family, whichever it is
            except BlockingIOError:
                if pause is not None and held.resize(len(answer)):
                    await trio.sleep(pause)
                    continue
                log.warning("%s: dropped the answer to %s: its queue is full", self.name, _shown(peer))
                return False
            except OSError as exc:
                if exc.errno == errno.EMSGSIZE:
                    self._say_too_large(answer, peer)
                    return False
                log.debug("%s: no answer to %s: %s", self.name, _shown(peer), exc)  # it is gone
            return True
        return False

    def _say_too_large(self, answer: bytes, peer: Address) -> None:
        """The kernel takes less than the ceiling where net.core.wmem_default is small."""
        room = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2  # the other half is the kernel's own
        log.warning(
            "%s: dropped an answer of %d bytes to %s: net.core.wmem_default has room for about %d",
            *(self.name, len(answer), _shown(peer), room),
        )
        with suppress(OSError):
            self._sock.sendto(too_large(answer, room, _WAY_OUT), peer)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the socket; the name of a unix socket goes with it."""
        self._sock.close()
        if self._owned is not None:
            self._owned.close()


def open_datagram(
    address: str, mode: int = 0o660, group: str | None = None, found: socket.socket | None = None
) -> MiSocket:
    """Bind ``udp:HOST:PORT`` or ``unix:PATH`` (``[mi].datagram``); ``mode`` and ``group`` are for unix.

    ``found`` is the socket of another process that had this address; it is used or closed.

    Raises ConfigError with one line that says why it cannot be had.
    """
    try:
        match parse_datagram_address(address):
            case UdpAddress(host, port):
                return _found_udp(host, found) or open_udp(host, port)
            case UnixAddress(path):
                return open_unix(path, mode, group, found)
    except ValueError as exc:
        raise ConfigError(str(exc)) from None


def try_datagram(address: str, trial: Once) -> None:
    """Raise ConfigError where a start could not bind that."""
    try:
        match parse_datagram_address(address):
            case UdpAddress(host, port):
                _at_udp(host, port, trial.port)
            case UnixAddress(path):
                trial.name(path, fifo=False)
    except ValueError as exc:
        raise ConfigError(str(exc)) from None


def open_udp(host: str, port: int) -> MiSocket:
    """Bind a UDP port; 0 takes a free one. Raises ConfigError."""
    sock = _at_udp(host, port, lambda _wanted, bind: bind())
    return MiSocket(sock, str(UdpAddress(host, sock.getsockname()[1])))


def _at_udp(host: str, port: int, use: Callable[[Endpoint, Callable[[], socket.socket]], T]) -> T:
    """``use(wanted, bind)`` for the first address of a host. Raises ConfigError."""
    wanted: Endpoint | None = None
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
        wanted = endpoint("udp", sockaddr)
        return use(wanted, partial(_bound, family, sockaddr))
    except (OSError, UnicodeError) as exc:  # a name that IDNA refuses
        raise ConfigError(f"{UdpAddress(host, port)}: {bind_fault(exc, wanted)}") from None


def _bound(family: socket.AddressFamily, sockaddr: Sockaddr) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind(sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _found_udp(host: str, found: socket.socket | None) -> MiSocket | None:
    if found is None:
        return None
    if found.type != socket.SOCK_DGRAM or found.family not in (socket.AF_INET, socket.AF_INET6):
        found.close()
        return None
    found.setblocking(False)
    return MiSocket(found, str(UdpAddress(host, found.getsockname()[1])))


def open_unix(path: str, mode: int, group: str | None, found: socket.socket | None = None) -> MiSocket:
    """Bind a unix datagram socket (unix_path.bind_datagram), or take over the one that is. Raises ConfigError."""
    if found is not None and not leads_to(path, found):
        found.close()
        found = None
    sock, owned = bind_datagram(path, mode, group, found)
    return MiSocket(sock, str(UnixAddress(path)), owned)


async def serve_mi_datagram(
    sock: MiSocket,
    reception: Reception,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, or until ``sock.end()`` and what had come is answered. Closes ``sock``."""
    slots = trio.Semaphore(MAX_CONCURRENT)
    try:
        async with trio.open_nursery() as nursery:

            def serve(datagram: Datagram) -> None:
                held = Holding(reception.pending, datagram[2].name)
                nursery.start_soon(_answer, sock, reception, *datagram, held, slots)

            task_status.started()
            with sock.listening:
                while True:
                    await slots.acquire()
                    serve(await sock.receive(reception.roles))
            while (datagram := sock.rest(reception.roles)) is not None:
                serve(datagram)
                await slots.acquire()
    finally:
        sock.close()


async def _answer(
    sock: MiSocket,
    reception: Reception,
    body: bytes,
    peer: Address,
    caller: Caller,
    held: Holding,
    slots: trio.Semaphore,
) -> None:
    try:
        answer = await _reply(reception, body, caller)
        if answer is None or not peer:
            return
        fits = len(answer) <= DATAGRAM_CEILING
        if not fits:
            size = len(answer)
            log.warning("dropped an answer of %d bytes to %s: a datagram holds %d", size, caller.name, DATAGRAM_CEILING)
            answer = too_large(answer, DATAGRAM_CEILING, _WAY_OUT)
        if not (await sock.send(answer, peer, held) and fits):
            reception.lost()
    finally:
        held.release()
        slots.release()


async def _reply(reception: Reception, body: bytes, caller: Caller) -> bytes | None:
    if not body:
        return None
    if len(body) > DATAGRAM_CEILING:  # cut by the kernel
        reason = f"the request has more than {DATAGRAM_CEILING} bytes: {_WAY_OUT}"
        reception.refused(caller.name, reason)
        return render_error(MalformedMessage(reason), None)
    try:
        return await ask(reception.dispatch, body, caller)
    except MalformedMessage as exc:
        return render_error(exc, None)


def _shown(peer: Address) -> str:
    return repr(peer) if isinstance(peer, (str, bytes)) else str(peer)
