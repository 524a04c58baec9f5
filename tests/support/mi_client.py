"""A plain caller of MI over HTTP: one connection a call, blocking (the demo, sync tests) or in trio (async tests)."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import trio

from tests.support.deadlines import HANG_SECONDS

SECONDS = HANG_SECONDS


class MiError(Exception):
    """The answer has ``error``."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(json.dumps(error))
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: str | None = error.get("data")


class Unserved(MiError):
    """HTTP refused the request, as a bridge that stops does (503): nothing was done. The message is its page."""


def request(method: str, params: Any = None) -> bytes:
    """The bytes of one JSON-RPC request, with the id "1"."""
    body = {"jsonrpc": "2.0", "id": "1", "method": method}
    return json.dumps(body if params is None else {**body, "params": params}).encode()


def result(answer: bytes) -> Any:
    """What the answer's bytes give the caller. Raises MiError."""
    message = json.loads(answer)
    assert (message["jsonrpc"], message["id"]) == ("2.0", "1"), message
    if "error" in message:
        raise MiError(message["error"])
    return message["result"]


def call(url: str, method: str, params: Any = None) -> Any:
    """``params``: a list (positional) or an object (named). Raises MiError, OSError."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=SECONDS)
    try:
        connection.request("POST", where.path, request(method, params), {"Content-Type": "application/json"})
        return result(connection.getresponse().read())
    finally:
        connection.close()


async def acall(url: str, method: str, params: Any = None) -> Any:
    """As call(), in trio; raises Unserved, too."""
    status, _, body = await post(url, request(method, params))
    if status != 200:
        raise Unserved({"code": status, "message": body.decode()})
    return result(body)


async def post(url: str, body: bytes, content_type: str = "application/json") -> tuple[int, bytes, bytes]:
    """Status, head and body of the answer to one POST on a connection of its own."""
    where = urlsplit(url)
    with trio.fail_after(SECONDS):
        async with await trio.open_tcp_stream(str(where.hostname), where.port or 80) as stream:
            head = (
                f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n"
                f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            await stream.send_all(head.encode() + body)
            received = b"".join([chunk async for chunk in stream])
    answer_head, _, answer_body = received.partition(b"\r\n\r\n")
    return int(answer_head.split()[1]), answer_head, answer_body
