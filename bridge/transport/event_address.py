"""Where a reply socket's host is, and whether events may go there.

Owns which Resolver looks a name up, and ``[events].allow``, which is looked at after each look-up: a name that is let
in today may point elsewhere tomorrow. Must not know what is sent.
Authority: contract 7.6; OpenSIPS event_datagram and event_stream, which are IPv4 only.
"""

import functools
import ipaddress
import socket as sockets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import trio

from bridge.protocol.event_delivery import NotSent
from bridge.protocol.host_port import Network
from bridge.protocol.reply_socket import KINDS, ReplySocket
from bridge.transport.event_unix import UnixPaths
from bridge.transport.resolver import Resolver

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
_LookUp: TypeAlias = Callable[..., Awaitable[list[tuple[Any, ...]]]]

LOOKUP_TIMEOUT = 3.0  # seconds
CALLER_SHARE = 4  # names that one caller of MI may have looked up at a time
_CALLER_THREADS = 64  # of all callers together


class Addresses:
    """The way to all sockets. ``trusted(socket)``: the configuration names it, and neither ``allow`` nor ``unix`` binds
    it.
    """

    def __init__(
        self,
        allow: Sequence[Network],
        trusted: Callable[[ReplySocket], bool],
        unix: UnixPaths | None = None,
        own_ports: Iterable[int] = (),
    ) -> None:
        """``unix``: which paths others may name, None for none. ``own_ports``: of the bridge's own MI over UDP, which
        would take an event for a request, with the role of that door.
        """
        self._allow = tuple(allow)
        self._own_ports = frozenset(own_ports)
        self._trusted = trusted
        self._unix = unix or UnixPaths(())
        # A name whose server is silent holds its thread for long. None of these kinds waits for another, and in the
        # first two every name has its thread: there are as many as are configured, or as MI may subscribe.
        self._configured = Resolver()
        self._subscribed = Resolver()
        self._callers = Resolver(_CALLER_THREADS, CALLER_SHARE)

    async def admit(self, socket: ReplySocket, caller: str) -> None:
        """Raise NotSent if ``caller`` may not have events sent there now: not allowed, or no such host, or it asks for
        too many names at a time.
        """
        if socket.path:
            if not self._trusted(socket):
                self._unix.admit(socket.path)
        else:
            await self._permitted(socket, functools.partial(self._callers.look_up, owner=caller))

    @contextmanager
    def reach(self, socket: ReplySocket, owner: int | None) -> Iterator[tuple[str, int | None]]:
        """The path of a subscribed unix socket while the block runs, and whose it is; ``owner``: whose it was before.
        Raises NotSent, OSError.
        """
        if self._trusted(socket):
            yield socket.path, owner
        else:
            with self._unix.reach(socket.path, owner) as found:
                yield found

    async def resolve(self, socket: ReplySocket, turn: int = 0) -> tuple[int, SocketAddress]:
        """Family and address of a subscribed socket with a host. A name may have several: they take turns, from 0 on.
        Raises NotSent.
        """
        resolver = self._configured if self._trusted(socket) else self._subscribed
        found = await self._permitted(socket, resolver.look_up)
        return found[turn % len(found)]

    async def _permitted(self, socket: ReplySocket, look_up: _LookUp) -> list[tuple[int, SocketAddress]]:
        found = await self._look_up(socket, look_up)
        if self._trusted(socket):
            return found
        if KINDS[socket.kind].over == "udp" and socket.port in self._own_ports:
            found = [(family, address) for family, address in found if not _is_here(address)]
            if not found:
                raise NotSent("is the MI of this bridge")
        allowed = [one for one in found if any(_ip(one[1]) in network for network in self._allow)]
        if not allowed:
            raise NotSent(f"{found[0][1][0]} is not in [events].allow")
        return allowed

    async def _look_up(self, socket: ReplySocket, look_up: _LookUp) -> list[tuple[int, SocketAddress]]:
        # IPv4 first, and alone where OpenSIPS has no other.
        family = sockets.AF_UNSPEC if KINDS[socket.kind].ipv6 else sockets.AF_INET
        kind = sockets.SOCK_STREAM if KINDS[socket.kind].over == "tcp" else sockets.SOCK_DGRAM
        question = (socket.host, socket.port, family, kind)
        try:
            found = sockets.getaddrinfo(*question, flags=sockets.AI_NUMERICHOST)
        except sockets.gaierror:  # a name
            try:
                with trio.fail_after(LOOKUP_TIMEOUT):
                    found = await look_up(*question)
            except OSError as exc:
                raise NotSent(f"host {socket.host!r} is not found: {exc.strerror}") from None
            except trio.TooSlowError:
                raise NotSent(f"host {socket.host!r} is not found within {LOOKUP_TIMEOUT:g} s") from None
        pairs = [(int(item[0]), cast("SocketAddress", item[4])) for item in found]
        return sorted(pairs, key=lambda pair: pair[0] != sockets.AF_INET)


def _ip(address: SocketAddress) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address[0].partition("%")[0])


def _is_here(address: SocketAddress) -> bool:
    """Whether it leads to a listener on loopback, which is where MI over UDP listens."""
    ip = getattr(_ip(address), "ipv4_mapped", None) or _ip(address)
    return ip.is_loopback or ip.is_unspecified
