"""Calls the MI all the time, each call on a connection of its own, and writes what came of each into a file: a line of
what, and after how many seconds. Runs beside a container, in its network.
"""

import socket
import sys
import time

PAUSE = 0.01  # seconds between two calls
BODY = b'{"jsonrpc":"2.0","id":1,"method":"janus_send_request","params":["gw1",{"janus":"ping"}]}'
REQUEST = (
    b"POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


def call() -> str:
    """The outcome in a word."""
    try:
        with socket.create_connection(("127.0.0.1", 8889), timeout=60) as sock:
            sock.sendall(REQUEST)
            answer = b""
            while data := sock.recv(65536):
                answer += data
    except ConnectionRefusedError:
        return "refused"
    except OSError as exc:
        return f"{type(exc).__name__}"
    if not answer:
        return "closed"
    return "pong" if b'"pong"' in answer else answer.partition(b'"code":')[2][:3].decode() or "odd"


if __name__ == "__main__":
    with open(sys.argv[1], "w", buffering=1) as file:
        while True:
            began = time.monotonic()
            outcome = call()
            file.write(f"{outcome} {time.monotonic() - began:.3f}\n")
            time.sleep(PAUSE)
