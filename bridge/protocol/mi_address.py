"""Where an MI answers datagrams: ``udp:HOST:PORT`` and ``unix:PATH``.

Owns these texts, for the listener (``[mi].datagram``) and the client (``janus-bridge mi --url``) alike.
Authority: OpenSIPS mi_datagram's ``socket_name``, which takes IPv6 in brackets; the prefix ``unix:`` is ours.
"""

from dataclasses import dataclass

from bridge.protocol.numbers import read_port


@dataclass(frozen=True, slots=True)
class UdpAddress:
    """``host`` is without brackets; port 0 asks a listener for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"udp:{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """``path`` is absolute."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


def parse_datagram_address(text: str) -> UdpAddress | UnixAddress:
    """Read an address. Raises ValueError with one line that names the part at fault."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        if not rest.startswith("/") or "\0" in rest:
            raise ValueError(f"{text!r}: the path is not absolute")
        return UnixAddress(rest)
    if kind != "udp":
        raise ValueError(f"{text!r} is neither udp:HOST:PORT nor unix:PATH")
    host, _, port = rest.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: IPv6 is written in brackets, udp:[::1]:8080")
    if not host or not host.isprintable():
        raise ValueError(f"{text!r}: the host is empty or unprintable")
    number = read_port(port, least=0)
    if number is None:
        raise ValueError(f"{text!r}: port {port!r} is not a number up to 65535")
    return UdpAddress(host, number)
