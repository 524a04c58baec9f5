"""Where a reply socket's host is, and whether events may go there.

Owns name look-ups for events, on threads of their own, and ``[events].allow``, which is looked at after each look-up:
a name that is let in today may point elsewhere tomorrow. Must not know what is sent.
Authority: contract 7.6; OpenSIPS event_datagram and event_stream, which are IPv4 only.
"""

import functools
import ipaddress
import socket as sockets
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import trio

from bridge.protocol.event_delivery import NotSent
from bridge.protocol.reply_socket import ReplySocket

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

LOOKUP_TIMEOUT = 3.0  # seconds
_LOOKUP_THREADS = 8


class Addresses:
    """Look-ups for all sockets. ``trusted(socket)``: the configuration names it, and ``allow`` does not bind it."""

    def __init__(self, allow: Sequence[Network], trusted: Callable[[ReplySocket], bool]) -> None:
        self._allow = tuple(allow)
        self._trusted = trusted
        self._threads = trio.CapacityLimiter(_LOOKUP_THREADS)

    async def admit(self, socket: ReplySocket) -> None:
        """Raise NotSent if events may not go there now: not allowed, or no such host. Unix paths may always."""
        if not socket.path:
            await self.resolve(socket)

    async def resolve(self, socket: ReplySocket) -> tuple[int, SocketAddress]:
        """Family and address of a socket with a host. Raises NotSent."""
        found = await self._look_up(socket)
        if self._trusted(socket):
            return found[0]
        for family, address in found:
            if any(ipaddress.ip_address(address[0].partition("%")[0]) in network for network in self._allow):
                return family, address
        raise NotSent(f"{found[0][1][0]} is not in [events].allow")

    async def _look_up(self, socket: ReplySocket) -> list[tuple[int, SocketAddress]]:
        # IPv4 first, and alone where OpenSIPS has no other.
        family = sockets.AF_UNSPEC if socket.kind == "mi:udp" else sockets.AF_INET
        kind = sockets.SOCK_STREAM if socket.kind == "tcp" else sockets.SOCK_DGRAM
        look_up = functools.partial(sockets.getaddrinfo, socket.host, socket.port, family, kind)
        try:
            found = look_up(flags=sockets.AI_NUMERICHOST)
        except sockets.gaierror:  # a name
            try:
                with trio.fail_after(LOOKUP_TIMEOUT):
                    found = await trio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=self._threads)
            except OSError as exc:
                raise NotSent(f"host {socket.host!r} is not found: {exc.strerror}") from None
            except trio.TooSlowError:
                raise NotSent(f"host {socket.host!r} is not found within {LOOKUP_TIMEOUT:g} s") from None
        pairs = [(int(item[0]), cast("SocketAddress", item[4])) for item in found]
        return sorted(pairs, key=lambda pair: pair[0] != sockets.AF_INET)
