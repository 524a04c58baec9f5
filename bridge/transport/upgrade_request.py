"""The upgrade of a connection to a WebSocket, without input and output.

Owns its request as wsproto takes it, where its answer ends, and what each other answer is called; the request's headers
are in ``protocol/upgrade.py``. Authority: RFC 6455, 4.1.
"""

import re
from dataclasses import dataclass
from typing import Final

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, RejectConnection, Request
from wsproto.utilities import RemoteProtocolError

from bridge.errors import ConnectFailed
from bridge.protocol.janus import SUBPROTOCOL
from bridge.protocol.janus_url import JanusUrl
from bridge.protocol.upgrade import Headers, refusal, upgrade_headers

# Bytes of path and headers from which Janus (libwebsockets: 4 KiB in all) closes without a word.
JANUS_HEAD: Final = 3800
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_STRADDLES: Final = 2  # bytes of it that may have come before


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


class Upgrade:
    """One upgrade: write ``request``, then let it ``read`` until it is ``done``."""

    def __init__(self, request: UpgradeRequest) -> None:
        self._engine = WSConnection(ConnectionType.CLIENT)
        self._last = b""
        self.done = False
        self.request = self._engine.send(
            Request(
                host=request.host,
                target=request.target,
                subprotocols=[SUBPROTOCOL],
                extra_headers=request.headers,
            )
        )

    def read(self, data: bytes) -> int:
        """Read the answer; returns how many bytes of ``data`` belong to it: what is behind it belongs to the WebSocket.

        Raises ConnectFailed.
        """
        before = self._last
        end = _HEAD_END.search(before + data)
        used = len(data) if end is None else end.end() - len(before)
        self._last = (before + data)[-_STRADDLES:]
        try:
            self._engine.receive_data(data[:used])
        except RemoteProtocolError as exc:
            raise ConnectFailed(f"the peer answered the WebSocket upgrade with something else: {exc}") from None
        for event in self._engine.events():
            if isinstance(event, RejectConnection):
                raise ConnectFailed(refusal(event.status_code))
            if isinstance(event, AcceptConnection):
                if event.subprotocol != SUBPROTOCOL:
                    raise ConnectFailed(f"the peer did not accept the sub-protocol {SUBPROTOCOL}: is this a Janus?")
                self.done = True
        return used
