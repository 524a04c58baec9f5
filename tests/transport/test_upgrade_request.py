"""The upgrade without sockets: where its answer ends, and what other answers are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConnectFailed
from bridge.protocol.janus_url import JanusUrl
from bridge.transport.upgrade_request import Upgrade, upgrade_request
from tests.support.frames import TEXT, accept_key, frame

URL = JanusUrl.parse("ws://janus.example:1234/janus")
BEHIND = frame(TEXT, b"\r\n\r\n") + b"\r\n\r\n"


def answer(upgrade: Upgrade, protocol: str = "janus-protocol") -> bytes:
    lines = upgrade.request.decode().split("\r\n")
    key = next(line[19:] for line in lines if line.lower().startswith("sec-websocket-key: "))
    head = f"HTTP/1.1 101 X\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key)}\r\n"
    return f"{head}Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()


@given(st.lists(st.integers(1, 60), max_size=20))
def test_the_answer_ends_where_it_ends(cuts: list[int]) -> None:
    """What is behind it is not read: it belongs to the WebSocket, byte for byte."""
    upgrade = Upgrade(upgrade_request(URL, None, ()))
    wire = answer(upgrade) + BEHIND
    for cut in [*cuts, len(wire)]:
        if not upgrade.done:
            wire = wire[upgrade.read(wire[:cut]) :]
    assert upgrade.done
    assert wire == BEHIND


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"HTTP/1.1 403 No\r\nContent-Length: 1000\r\n\r\n", "with HTTP 403: check headers and origin$"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "with something else: Bad HTTP message$"),
        (b"x" * 100_000, "with something else: Bad HTTP message$"),
    ],
    ids=["refused", "TLS", "no end"],
)
def test_another_answer_has_its_words(wire: bytes, reason: str) -> None:
    with pytest.raises(ConnectFailed, match=reason):
        Upgrade(upgrade_request(URL, None, ())).read(wire)


def test_another_sub_protocol_is_no_janus() -> None:
    upgrade = Upgrade(upgrade_request(URL, None, ()))
    with pytest.raises(ConnectFailed, match="something else: unrecognized subprotocol"):
        upgrade.read(answer(upgrade, "chat"))
