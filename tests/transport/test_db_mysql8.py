"""MySQL 8's default authentication without TLS, ``caching_sha2_password``: against a script of the server's side.

Debian has MariaDB only, which does not know it. Authority: MySQL Internals, "Caching SHA-2 Pluggable Authentication":
a password that the server has not cached is asked for in full, encrypted with the server's RSA key.
"""

import functools
import struct

import pytest
import trio
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bridge.errors import TableRefused
from bridge.protocol.db_url import MysqlUrl
from bridge.transport.db import JanusTable

NONCE = b"twentybyteslongnonce"
CAPABILITIES = 0x000FF7DF  # without TLS; with the plugin's name in the greeting
GREETING = (
    b"\x0a8.4.0\0"
    + struct.pack("<I8sxHBHHB10x", 7, NONCE[:8], CAPABILITIES & 0xFFFF, 255, 2, CAPABILITIES >> 16, 21)
    + NONCE[8:]
    + b"\0caching_sha2_password\0"
)
FULL_AUTHENTICATION, PUBLIC_KEY_REQUEST, MORE = b"\x01\x04", b"\x02", b"\x01"


async def receive(stream: trio.SocketStream) -> tuple[int, bytes]:
    """The number and the body of one packet."""

    async def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await stream.receive_some(size - len(data))
            assert more
            data += more
        return data

    head = await exactly(4)
    return head[3], await exactly(int.from_bytes(head[:3], "little"))


async def send(stream: trio.SocketStream, number: int, body: bytes) -> None:
    await stream.send_all(len(body).to_bytes(3, "little") + bytes([number]) + body)


@pytest.mark.parametrize("password", ["hunter2", "é日本: longer than the nonce, and more"])
async def test_the_password_is_given_encrypted(password: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    given: list[bytes] = []

    async def server(stream: trio.SocketStream) -> None:
        await send(stream, 0, GREETING)
        number, login = await receive(stream)
        assert b"caching_sha2_password" in login
        await send(stream, number + 1, FULL_AUTHENTICATION)
        number, asked = await receive(stream)
        assert asked == PUBLIC_KEY_REQUEST
        await send(stream, number + 1, MORE + pem)
        number, encrypted = await receive(stream)
        mixed = key.decrypt(encrypted, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
        given.append(bytes(byte ^ NONCE[place % len(NONCE)] for place, byte in enumerate(mixed)))
        await send(stream, number + 1, b"\xff" + struct.pack("<H", 1049) + b"#42000Unknown database 'd'")

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(functools.partial(trio.serve_listeners, server, [listener]))
        port = listener.socket.getsockname()[1]
        with pytest.raises(TableRefused, match="Unknown database 'd'"):
            await JanusTable(MysqlUrl("127.0.0.1", port, "d", "u", password)).rows()
        nursery.cancel_scope.cancel()
    assert given == [password.encode() + b"\0"]
