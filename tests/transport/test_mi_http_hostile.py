"""Any bytes: well-formed answers, then a closed connection, and a server that lives on."""

import socket

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.transport.http_ends import HttpLimits
from tests.support.deadlines import HANG_SECONDS
from tests.support.examples import examples
from tests.support.http_peer import post, serve, split_answers
from tests.transport.test_mi_http import PAGES, STATUSES

# Pieces of requests, so that what comes out is often nearly right. No HEAD: its answers can only be told from others
# by who knows that it was sent.
PIECES = [
    *(request for _, request, *_ in STATUSES if len(request) < 500),
    *b"POST |GET |/mi|/metrics|?a=b| HTTP/1.1\r\n| HTTP/1.0\r\n|\r\n|\r\n\r\n|\n|\r|: |{}|0\r\n\r\n".split(b"|"),
    b"2\r\n{}\r\n",
    b"Host: 127.0.0.1\r\n",
    b"Content-Type: application/json\r\n",
    b"Content-Length: 2\r\n",
    b"Content-Length: 4294967296\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"Origin: null\r\n",
    b"\x00",
    post(b"[]"),
]
CHUNKS = st.lists(
    st.one_of(st.sampled_from(PIECES), st.lists(st.sampled_from(PIECES)).map(b"".join), st.binary(max_size=64)),
    max_size=12,
)


def exchange(address: tuple[str, int], chunks: list[bytes]) -> bytes:
    """Send piece by piece, half-close, and read to the end, blocking."""
    received = b""
    with socket.create_connection(address, timeout=HANG_SECONDS) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for chunk in chunks:
                client.sendall(chunk)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                received += data
        except ConnectionError:
            pass  # it may close whenever it has had enough
    return received


async def test_any_bytes_get_answers_or_a_closed_connection(nursery: trio.Nursery) -> None:
    served = await serve(nursery, limits=HttpLimits(max_body=64), pages=PAGES)
    seen: set[int] = set()

    @settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(CHUNKS)
    def check(chunks: list[bytes]) -> None:
        answers = split_answers(exchange((served.host, served.port), chunks))
        seen.update(answer.status for answer in answers)
        assert all(answer.header("Connection") != "close" for answer in answers[:-1])
        assert exchange((served.host, served.port), [post(b"!", "Connection: close")]).endswith(b"<!>")

    await trio.to_thread.run_sync(check)
    await served.until(connections=0)
    assert {200, 400} <= seen  # else it shows nothing
