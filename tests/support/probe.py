"""Is it up, and is it ours? The readiness question to a Janus, over a blocking socket, outside any event loop."""

import base64
import os
import socket
import ssl

from tests.support.frames import TEXT, masked

_SECONDS = 10.0


def answers(name: str, port: int, protocol: str, *, tls: bool) -> bool:
    """Whether a handshake and an ``info`` succeed within a second, and the answer has this ``server-name``.

    ``protocol``: "janus-protocol" on the API port, "janus-admin-protocol" on the admin port.
    """
    upgrade = (
        f"GET /janus HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
    )
    try:
        with _connect(port, tls) as stream:
            stream.sendall(upgrade.encode() + masked(TEXT, b'{"janus":"info","transaction":"ready?"}'))
            received = b""
            while f'"server-name":"{name}"'.encode() not in received:
                chunk = stream.recv(4096)
                if not chunk:
                    return False
                received += chunk
            return received.startswith(b"HTTP/1.1 101")
    except OSError:
        return False


def _connect(port: int, tls: bool) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
    if not tls:
        return plain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # readiness is asked here, not trust
    try:
        return context.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise
