"""Writing to a Janus: in order, in time, and nothing behind a write that stalled (contract 5.8, 5.9)."""

import pytest
import trio

from bridge.transport.janus_socket import JanusSocket
from bridge.transport.janus_ws import BATCH, MAX_UNSENT_PONGS
from tests.support.deadlines import HANG_SECONDS
from tests.support.frames import PING, TEXT, frame
from tests.support.ws_pair import opened, settled, until


@pytest.mark.parametrize("kind", ["memory", "sockets"])
async def test_messages_are_written_in_order_and_together(kind: str) -> None:
    async with opened(kind) as (websocket, server, _, _), trio.open_nursery() as nursery:
        nursery.start_soon(server.read)
        texts = [f"{n}" * (n % 300) for n in range(500)]
        for text in texts:
            websocket.send_text(text.encode())
        await until(lambda: len(server.texts) == len(texts))
        assert server.texts == texts
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["memory", "sockets"])
async def test_close_is_polite_and_ends_writing(kind: str) -> None:
    async with opened(kind) as (websocket, server, _, ends), trio.open_nursery() as nursery:
        nursery.start_soon(server.read)
        websocket.send_text(b"last")
        websocket.close()
        websocket.send_text(b"too late")
        websocket.send_ping()
        websocket.close()
        await until(lambda: server.closed)
        assert server.closed is not None
        assert server.closed.code == 1000
        assert (server.texts, server.pings) == (["last"], 0)
        assert websocket.closing
        await server.stream.send_all(server.engine.send(server.closed.response()))
        await until(lambda: ends)
        assert ends == ["Janus closed the WebSocket with code 1000"]
        nursery.cancel_scope.cancel()


async def test_stalled_write_is_reported_once_and_nothing_is_written_behind_it() -> None:
    """The socket takes what its buffers hold; what comes is still read."""
    options = {"send_timeout": 0.1, "close_timeout": HANG_SECONDS}
    async with opened("sockets", **options) as (websocket, server, record, ends), trio.open_nursery() as nursery:
        websocket.send_text(b"x" * 3_000_000)
        await until(lambda: record.stalls)
        for _ in range(10):
            websocket.send_text(b"behind")
            websocket.send_ping()
        await server.stream.send_all(frame(TEXT, b"still read") + frame(PING, b""))
        await until(lambda: record.texts)
        websocket.close()
        received = bytearray()

        async def receive() -> None:
            while True:
                received.extend(await server.stream.receive_some())

        nursery.start_soon(receive)
        await settled()
        assert record.texts == ["still read"]
        assert record.stalls == 1
        assert ends == []
        # One frame that never ends: a masked "x" is one of four bytes, so nothing else can stand behind it.
        mask = received[10:14]
        assert {byte ^ mask[n % 4] for n, byte in enumerate(received[14:])} == {ord("x")}
        nursery.cancel_scope.cancel()


async def test_peer_that_does_not_read_gets_pongs_only_up_to_a_limit() -> None:
    async with opened("sockets", send_timeout=30) as (websocket, server, _, _):
        for _ in range(60):
            await server.stream.send_all(frame(PING, b"x" * 125) * 100)
        await settled()
        assert isinstance(websocket, JanusSocket)
        assert len(websocket._outbox.waits) < MAX_UNSENT_PONGS + BATCH * 131


async def test_message_that_has_to_wait_is_not_written_late() -> None:
    """A process that was stopped goes on, and others may have its sessions: the message stays unsent. Signs of life
    are no messages.
    """
    allowed = [True]
    async with opened(may_write=lambda: allowed[0]) as (websocket, server, record, _), trio.open_nursery() as nursery:
        nursery.start_soon(server.read)
        websocket.send_text(b"in time")
        await until(lambda: server.texts)
        allowed[0] = False
        websocket.send_ping()
        await until(lambda: server.pings)
        websocket.send_text(b"late")
        await until(lambda: record.stalls)
        allowed[0] = True
        websocket.send_text(b"behind")
        await settled()
        assert server.texts == ["in time"]
        nursery.cancel_scope.cancel()
