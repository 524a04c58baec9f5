"""The calling side of an MI by itself: what it takes for an address, and for an answer. The command line: tests/cli."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ConfigError, MalformedMessage
from bridge.protocol.jsonrpc import RpcError
from bridge.transport.mi_client import MiClient, NothingAnswered
from tests.support.deadlines import HANG_SECONDS


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[Any]]]:
    """The URL of a UDP socket that answers with these, one a request; and the requests so far."""
    requests: list[Any] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(HANG_SECONDS)

        def serve() -> None:
            for answer in answers:
                body, peer = sock.recvfrom(65536)
                requests.append(json.loads(body))
                sock.sendto(answer, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"udp:127.0.0.1:{sock.getsockname()[1]}", requests
        thread.join()


def test_calls_are_numbered_and_have_what_was_given() -> None:
    with answering(b'{"result": 1}', b'{"result": null}') as (url, requests):
        client = MiClient(url)
        assert client.call("which") == 1
        assert client.call("x", ["é", {"a": 1}]) is None
    assert [request["id"] for request in requests] == ["1", "2"]
    assert ("params" in requests[0], requests[1]["params"]) == (False, ["é", {"a": 1}])


@pytest.mark.parametrize(
    ("answer", "code", "message", "data"),
    [
        (
            b'{"error": {"code": 404, "message": "Unknown Janus ID", "data": "no row"}}',
            404,
            "Unknown Janus ID",
            "no row",
        ),
        (b'{"error": {"code": -32601, "message": "Method not found"}}', -32601, "Method not found", None),
        (b'{"error": {}}', 0, "None", None),
        (b"400 Parse_error", 400, "Parse_error", None),
        (b"500 Internal server error: x", 500, "Internal server error: x", None),
    ],
)
def test_an_error_is_that_of_the_mi(answer: bytes, code: int, message: str, data: str | None) -> None:
    with answering(answer) as (url, _), pytest.raises(RpcError) as caught:
        MiClient(url).call("x")
    assert (caught.value.code, caught.value.message, caught.value.data) == (code, message, data)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"1", b'{"result"', b"404", b"\xff", b"4000 x"])
def test_what_is_no_answer_of_an_mi_is_said_to_be_none(answer: bytes) -> None:
    with answering(answer) as (url, _), pytest.raises(MalformedMessage):
        MiClient(url).call("x")


def test_silence_and_nobody_are_told_apart(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(NothingAnswered, match=rf"^udp:127.0.0.1:{port}: no answer within 0.05 s$"):
            MiClient(f"udp:127.0.0.1:{port}", timeout=0.05).call("x")
    with pytest.raises(NothingAnswered, match="Connection refused"):
        MiClient(f"udp:127.0.0.1:{port}").call("x")
    with pytest.raises(NothingAnswered, match=r"none: No such file or directory$"):
        MiClient(f"unix:{tmp_path}/none").call("x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h:x/mi", "host or port cannot be read"),
        ("http:///mi", "is not of the form http(s)://HOST[:PORT][/PATH]"),
        ("http://user:hunter2@h/mi", "is not of the form http(s)://HOST[:PORT][/PATH]"),
        ("http://h/\x1b", "has a blank, a control or a non-ASCII character"),
        ("ftp://h", "is none of http(s)://"),
        ("udp:h", "there is no port"),
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_sent(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MiClient(url)
    assert str(caught.value).startswith("--url ")
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_token_that_no_header_can_carry_is_refused_and_not_shown() -> None:
    for token in ("hunter2 ", "hunter2\n", "hünter2", "hunter\x7f2"):
        with pytest.raises(ConfigError, match=r"^the token must be printable ASCII without blanks$"):
            MiClient(token=token)
