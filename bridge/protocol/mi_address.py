"""Where an MI answers: datagrams at ``udp:HOST:PORT`` and ``unix:PATH``, a peer's requests at its ``my_node_url``.

Owns these texts, for the listener (``[mi].datagram``) and the client (``janus-bridge mi --url``) alike.
Authority: OpenSIPS mi_datagram's ``socket_name``, which takes IPv6 in brackets; the prefix ``unix:`` is ours.
"""

import re
from dataclasses import dataclass

from bridge.protocol.host_port import bracketed, read_host, read_host_port


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


_HTTP = re.compile(r"(https?)://([^/?#@]*)(/[!-\"$-<>-~]*)?", re.IGNORECASE)
_MOST = 255  # characters: the column of janus_node


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """``host`` is without brackets; ``path`` begins with /."""

    tls: bool
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"http{'s' if self.tls else ''}://{bracketed(self.host)}:{self.port}{self.path}"


def parse_http_address(text: str) -> HttpAddress:
    """Read ``http(s)://HOST[:PORT][/PATH]``; without a path it is ``/mi``. Raises ValueError with one line that names
    the part at fault.
    """
    match = _HTTP.fullmatch(text)
    if match is None or len(text) > _MOST:
        raise ValueError(f"is not of the form http(s)://HOST[:PORT][/PATH], with at most {_MOST} characters")
    tls, place = match[1].lower() == "https", match[2]
    if re.search(r":\d*$", re.sub(r"^\[[^\]]*\]", "", place)):
        host, port = read_host_port(place)
    else:
        host, port = read_host(place), 443 if tls else 80
    return HttpAddress(tls, host, port, match[3] or "/mi")
