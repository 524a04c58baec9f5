"""Who has an address that the bridge wants: a port, a socket's name, a file.

Owns the look into /proc, once, before the program ends for it, and which bound sockets are in whose way. Authority:
proc(5), /proc/net/tcp and unix, /proc/PID/fd; ip(7), ipv6(7) on who may bind beside whom.
"""

import errno
import ipaddress
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

Protocol: TypeAlias = Literal["tcp", "udp"]
IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
# As getaddrinfo(3) gives it, which is numeric.
Sockaddr: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

PROC = Path("/proc")
WAY_OUT = "stop that program, or set another address here"
_LISTENS = "0A"  # the state of a TCP socket
_PRIVILEGED = 1024


class Holder(NamedTuple):
    """``str`` of it is ``opensips (process 123)``."""

    number: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.number})"


class Endpoint(NamedTuple):
    """Where a socket is bound. TCP listeners of IPv6 leave IPv4 to others, as ours do."""

    protocol: Protocol
    host: IpAddress
    port: int

    def __str__(self) -> str:
        host = self.host if self.host.version == 4 else f"[{self.host}]"
        return f"{self.protocol}:{host}:{self.port}"

    def overlaps(self, other: "Endpoint") -> bool:
        """Whether another one cannot be bound where this one is wanted. An IPv6 socket may serve IPv4 as well."""
        if (self.protocol, self.port) != (other.protocol, other.port):
            return False
        if self.host.version == other.host.version:
            return self.host == other.host or self.host.is_unspecified or other.host.is_unspecified
        if self.host.version == 6 and self.protocol == "tcp":
            return False
        return (self.host if self.host.version == 6 else other.host).is_unspecified


class Bound(NamedTuple):
    """``socket:[INODE]``, where it is bound, and whether it is served there; a TCP connection only began there."""

    link: str
    place: Endpoint
    served: bool


def endpoint(protocol: Protocol, sockaddr: Sockaddr) -> Endpoint:
    """What is wanted of a protocol."""
    return Endpoint(protocol, _plain(ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])), int(sockaddr[1]))


def bind_fault(exc: OSError | UnicodeError, wanted: Endpoint | None = None, proc: Path = PROC) -> str:
    """Why an address cannot be bound, in words, and what to do; with the program that has its port, where that may be
    known. ``wanted``: None where it was not even found.
    """
    words = getattr(exc, "strerror", None) or str(exc)
    number = exc.errno if isinstance(exc, OSError) and wanted is not None else None
    if wanted is None or number not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
        return words
    if number == errno.EADDRNOTAVAIL:
        return f"{words}: this machine does not have {wanted.host}; `ip address` lists what it has"
    if number == errno.EACCES:
        return (
            f"{words}; ports below {_PRIVILEGED} are for root: set a higher one" if wanted.port < _PRIVILEGED else words
        )
    return in_use(wanted, {one.link for one in bound_there(wanted, proc)}, proc)


def in_use(wanted: Endpoint, sockets: set[str], proc: Path = PROC) -> str:
    """What is said of these sockets, which are in its way."""
    words = os.strerror(errno.EADDRINUSE)
    for process in with_socket(sockets, proc):
        return f"{words} by {process}; {WAY_OUT}"
    return f"{words}; `ss -{wanted.protocol[0]}lnp` as root shows by which process"


def bound_there(wanted: Endpoint, proc: Path = PROC) -> list[Bound]:
    """Those in its way: of TCP the listeners; where there is none, whoever else."""
    try:
        found = [one for one in _sockets(wanted.protocol, proc) if wanted.overlaps(one.place)]
    except (OSError, ValueError, IndexError):
        return []
    return [one for one in found if one.served] or found


def named_so(path: str) -> set[str]:
    """``socket:[INODE]`` of the unix sockets that were bound to a path."""
    try:
        lines = (PROC / "self/net/unix").read_bytes().splitlines()[1:]
    except OSError:
        return set()
    fields = [line.split(maxsplit=7) for line in lines]
    return {f"socket:[{int(one[6])}]" for one in fields if len(one) == 8 and one[7] == os.fsencode(path)}


def with_socket(sockets: set[str], proc: Path = PROC) -> list[Holder]:
    """The processes that have one of these open, the oldest first; of another user's nothing is known."""
    return list(_holders(lambda fd: _link(fd) in sockets, proc)) if sockets else []


def with_file(path: str | Path) -> list[Holder]:
    """The same of the file of that name."""
    try:
        wanted = os.lstat(path)
    except OSError:
        return []

    def has(fd: Path) -> bool:
        try:
            return os.path.samestat(os.stat(fd), wanted)
        except OSError:
            return False

    return list(_holders(has, PROC))


def links_of(process: Holder) -> set[str]:
    """What all its descriptors are."""
    try:
        return {_link(fd) for fd in (PROC / str(process.number) / "fd").iterdir()}
    except OSError:
        return set()


def _holders(has: Callable[[Path], bool], proc: Path) -> Iterator[Holder]:
    try:
        numbers = sorted(int(one.name) for one in proc.iterdir() if one.name.isdecimal())
    except OSError:
        return
    for number in numbers:
        try:
            if any(map(has, (proc / str(number) / "fd").iterdir())):
                yield Holder(number, (proc / str(number) / "comm").read_text(errors="replace").strip())
        except OSError:  # another user's, or it has ended
            pass


def _link(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except OSError:
        return ""


def _sockets(protocol: Protocol, proc: Path) -> Iterator[Bound]:
    for table in (protocol, f"{protocol}6"):
        # Below self: /proc/net is out of sight where the unit says ProcSubset=pid.
        for line in (proc / "self/net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            host, _, port = fields[1].partition(":")
            if int(fields[9]):  # 0: nobody's any more (TIME_WAIT)
                served = protocol == "udp" or fields[3] == _LISTENS
                yield Bound(f"socket:[{int(fields[9])}]", Endpoint(protocol, _host(host), int(port, 16)), served)


def _host(text: str) -> IpAddress:
    """Words of 32 bits, each as a number of this machine's."""
    words = (int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8))
    return _plain(ipaddress.ip_address(b"".join(words)))


def _plain(host: IpAddress) -> IpAddress:
    return (host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None) or host
