"""The upgrade request as wsproto takes it.

Owns the bytes of its headers, and what it means where a peer closes the connection instead of an answer. What they say
is in ``protocol/upgrade.py``.
"""

from dataclasses import dataclass

from bridge.protocol.janus_url import JanusUrl
from bridge.protocol.upgrade import Headers, upgrade_headers

JANUS_HEAD = 3800  # bytes of path and headers from which Janus (libwebsockets: 4 KiB in all) closes without a word


class _Host(str):
    """A Host header as it is: wsproto would put it through IDNA, which refuses a label of 63 characters and a port."""

    __slots__ = ()

    def encode(self, _encoding: str = "", _errors: str = "") -> bytes:
        return super().encode("ascii")


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """``host`` is the Host header; ``headers`` are those beside the handshake's own."""

    host: str
    target: str
    headers: list[tuple[bytes, bytes]]

    @property
    def why_closed(self) -> str:
        """In words, where the peer closed the connection before a byte of its answer."""
        size = len(self.target) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        text = "the peer closed the connection instead of upgrading to WebSocket"
        if size <= JANUS_HEAD:
            return text
        return f"{text}; the request's path and headers have {size} bytes, Janus takes about {JANUS_HEAD}"


def upgrade_request(url: JanusUrl, origin: str | None, headers: Headers) -> UpgradeRequest:
    """The request for this URL, with the gateway's own ``headers``."""
    host, given = upgrade_headers(url, origin, headers)
    return UpgradeRequest(
        _Host(host), url.target, [(name.encode("ascii"), value.encode("ascii")) for name, value in given]
    )
