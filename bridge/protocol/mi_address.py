"""Where an MI answers datagrams: ``udp:HOST:PORT`` and ``unix:PATH``.

Owns these texts, for the listener (``[mi].datagram``) and the client (``janus-bridge mi --url``) alike.
Authority: OpenSIPS mi_datagram's ``socket_name``, which takes IPv6 in brackets; the prefix ``unix:`` is ours.
"""

from dataclasses import dataclass

from bridge.protocol.host_port import bracketed, read_host_port


@dataclass(frozen=True, slots=True)
class UdpAddress:
    """``host`` is without brackets; port 0 asks a listener for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"udp:{bracketed(self.host)}:{self.port}"


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
    try:
        return UdpAddress(*read_host_port(rest, least=0))
    except ValueError as exc:
        raise ValueError(f"{text!r}: {exc}") from None
