"""What answers on the database's port is no MySQL server, or one that wants more than it should get."""

import functools
import struct
from collections.abc import Awaitable, Callable

import pytest
import trio

from bridge.errors import TableRefused, TableUnavailable
from bridge.protocol.db_url import MysqlUrl
from bridge.transport.db import JanusTable

PASSWORD = "hunter2"
CAPABILITIES = 0x000FF7DF  # without TLS; with the plugin's name in the greeting
GREETING = (
    b"\x0a8.0.36\0"
    + struct.pack("<I8sxHBHHB10x", 7, b"saltsalt", CAPABILITIES & 0xFFFF, 45, 2, CAPABILITIES >> 16, 21)
    + b"moresaltmore\0mysql_native_password\0"
)


def packet(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


async def error_of(serve: Callable[[trio.SocketStream], Awaitable[None]], deadline: float = 5) -> TableUnavailable:
    """What reading a table from such a server raises."""
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(functools.partial(trio.serve_listeners, serve, [listener]))
        port = listener.socket.getsockname()[1]
        table = JanusTable(MysqlUrl("127.0.0.1", port, "opensips", "opensips", PASSWORD), deadline=deadline)
        with pytest.raises(TableUnavailable) as caught:
            await table.rows()
        nursery.cancel_scope.cancel()
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "greeting",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        b"\0",
        packet(0, b""),
        packet(0, b"\x0a"),
        packet(0, b"\x0anot a number\0" + bytes(60)),
        packet(0, GREETING[:30]),
        packet(0, GREETING[:25]),
        packet(0, b"\xff"),
        packet(0, b"\xff\x15\x04#28000Go\naway\x1b[31m"),
        packet(0, b"\xff\x15\x04#28000Access denied with " + PASSWORD.encode()),
        packet(0, GREETING) + packet(2, b""),
        packet(0, GREETING) + packet(2, b"\xfe"),
        packet(0, GREETING) + packet(2, b"\xfesuch_plugin\0"),
        packet(0, GREETING) + packet(2, b"\xfesha256_password\0salt"),
        packet(0, GREETING) + packet(2, b"\x01"),
        packet(0, GREETING) + packet(2, b"\0") + packet(1, b"\0"),
    ],
)
async def test_any_answer_is_one_line(greeting: bytes) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(greeting)
        await stream.send_eof()
        async for _ in stream:
            pass

    error = await error_of(serve)
    assert str(error).isprintable()


async def test_an_error_that_is_cut_within_the_password_shows_no_part_of_it() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(packet(0, b"\xff\x15\x04#28000" + b"x" * 295 + PASSWORD.encode() + b"y" * 99))

    assert PASSWORD[:3] not in str(await error_of(serve))


async def test_silence_after_the_greeting_ends_at_the_deadline() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(packet(0, GREETING))
        await trio.sleep_forever()

    error = await error_of(serve, deadline=0.3)
    assert not isinstance(error, TableRefused)


async def test_a_byte_now_and_then_does_not_put_the_deadline_off() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        for byte in packet(0, GREETING + bytes(1000)):
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.02)

    error = await error_of(serve, deadline=1.0)
    assert str(error).endswith("no answer within 1 s")


async def test_nobody_gets_the_password_in_clear_just_by_asking() -> None:
    heard = b""

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal heard
        await stream.send_all(packet(0, GREETING))
        heard += await stream.receive_some()
        await stream.send_all(packet(2, b"\xfemysql_clear_password\0"))
        heard += await stream.receive_some()

    error = await error_of(serve)
    assert isinstance(error, TableRefused)
    assert "clear text" in str(error)
    assert b"opensips" in heard
    assert PASSWORD.encode() not in heard
