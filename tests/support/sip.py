"""A SIP caller of a few lines: one UDP socket that sends a request and reads its final answer.

Authority: RFC 3261, as far as a test on loopback needs it: no retransmission, no authentication, one dialog.
"""

import itertools
import secrets
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trio

_LARGEST = 65535


@dataclass(frozen=True, slots=True)
class Reply:
    """``headers`` by name in lower case; of several with one name, the first."""

    status: int
    reason: str
    headers: dict[str, str]
    body: str


class SipCaller:
    """``async with SipCaller(port) as caller:`` talks to the SIP server on that UDP port of 127.0.0.1."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._sequence = itertools.count(1)
        self._socket = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.call_id = secrets.token_hex(8)
        self.to_tag = ""  # of the dialog, after a 2xx brought it

    async def __aenter__(self) -> Self:
        await self._socket.bind(("127.0.0.1", 0))
        await self._socket.connect(("127.0.0.1", self._server_port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def request(self, method: str, user: str, body: str = "", content_type: str = "text/plain") -> Reply:
        """Send it to sip:USER@server and return the final reply; an INVITE's is acknowledged."""
        sequence = next(self._sequence)
        await self._send(method, user, sequence, body, content_type)
        while True:
            reply = _parse(await self._socket.recv(_LARGEST))
            if reply.status >= 200 and reply.headers["cseq"] == f"{sequence} {method}":
                break
        if method == "INVITE":
            to_tag = reply.headers["to"].partition(";tag=")[2]
            await self._send("ACK", user, sequence, to_tag=to_tag)
            self.to_tag = to_tag if reply.status < 300 else self.to_tag
        return reply

    async def _send(
        self, method: str, user: str, sequence: int, body: str = "", content_type: str = "", to_tag: str = ""
    ) -> None:
        to_tag = to_tag or self.to_tag
        host, port = self._socket.getsockname()
        server = f"127.0.0.1:{self._server_port}"
        content = body.encode()
        head = (
            f"{method} sip:{user}@{server} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{secrets.token_hex(8)}",
            "Max-Forwards: 70",
            f'From: "Zoë \\"Z\\" Test" <sip:test@{host}:{port}>;tag={self.call_id}',
            f"To: <sip:{user}@{server}>" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {self.call_id}",
            f"CSeq: {sequence} {method}",
            f"Contact: <sip:test@{host}:{port}>",
            *([f"Content-Type: {content_type}"] if content else []),
            f"Content-Length: {len(content)}",
        )
        await self._socket.send("\r\n".join((*head, "", "")).encode() + content)


def _parse(datagram: bytes) -> Reply:
    head, _, body = datagram.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    _, status, reason = first.split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return Reply(int(status), reason, headers, body)
